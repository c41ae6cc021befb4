"""The network of `efficientnet_lite0_unet_scenes_teacher.py` on the small clean target alone: the baseline.

U-Net on EfficientNet-Lite0 is one of the two best students of the paper (arXiv 2311.03867v1), which gives no figure
of its own for it. No result was published for these data.
"""

_base_ = [
    '../_base_/models/efficientnet_lite0_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_target.py',
    '../_base_/building_runtime.py',
]

train_dataloader = dict(
    batch_size=8, dataset=dict(data_prefix=dict(img_path='target/images', seg_map_path='target/masks'))
)
