"""EfficientNet-Lite0 on source and target mixed, as in `shvit_unet_scenes_mixed.py`; see there.

No result was published for these data.
"""

_base_ = [
    '../_base_/models/efficientnet_lite0_unet.py',
    '../_base_/datasets/building_scenes_mixed.py',
    '../_base_/schedules/building_mixed.py',
    '../_base_/building_runtime.py',
]
