"""The network of `shvit_unet_scenes_teacher.py` on the small clean target alone: the baseline.

No result was published for these data.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_target.py',
    '../_base_/building_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
train_dataloader = dict(
    batch_size=8, dataset=dict(data_prefix=dict(img_path='target/images', seg_map_path='target/masks'))
)
