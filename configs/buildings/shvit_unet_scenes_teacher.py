"""SHViT-S4 with U-Net's decoder on the large noisy source of the scenes: the model that knowledge is taken from.

The network of all configs for the scenes, so that they differ in nothing but what is learnt from what; the paper's
best teacher is U-Net on VGG19 (arXiv 2311.03867v1). No result was published for these data.
"""

_base_ = [
    '../_base_/models/building_unet.py',
    '../_base_/datasets/building_scenes.py',
    '../_base_/schedules/building_source.py',
    '../_base_/building_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
train_dataloader = dict(
    batch_size=8, dataset=dict(data_prefix=dict(img_path='source/images', seg_map_path='source/masks'))
)
