"""A TurboViT-style network with Semantic FPN on Cityscapes. No result and no weights were published.

The head of `turbovit_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TurboViT', arch='w64', pretrained=False),
)
