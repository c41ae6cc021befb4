"""SHViT-S4 with Semantic FPN on Cityscapes. No result was published.

The head of `shvit_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(1, 2, 3, 4, 5), pretrained=True),
    neck=dict(num_outs=5),
    decode_head=dict(in_index=[0, 1, 2, 3, 4]),
)
