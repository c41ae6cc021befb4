"""U-Net on EfficientNet-Lite0 on the large noisy source of the scenes: the model that knowledge is taken from.

The recipe is that of `shvit_unet_scenes_teacher.py`, so that the two compare. No result was published for these data.
"""

_base_ = [
    '../_base_/models/efficientnet_lite0_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_source.py',
    '../_base_/building_runtime.py',
]

train_dataloader = dict(
    batch_size=8, dataset=dict(data_prefix=dict(img_path='source/images', seg_map_path='source/masks'))
)
