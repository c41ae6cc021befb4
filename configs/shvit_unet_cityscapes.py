"""SHViT-S4 with U-Net's decoder on Cityscapes, its stem feeding the fine levels. Ours: no result was published.

Another decoder of segmentation_models.pytorch: `--cfg-options model.decode_head.decoder=MAnet`.
"""

_base_ = [
    '_base_/models/unet_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(0, 1, 2, 3, 4, 5), pretrained=True),
)
