"""The network of `shvit_unet_scenes_teacher.py` on source and target mixed: the other baseline. Ours, no result was
published.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/building_scenes_mixed.py',
    '../_base_/schedules/building_mixed.py',
    '../_base_/building_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
