"""FastViT-SA12 with Semantic FPN on Cityscapes. No result was published.

The head of `fastvit_sa12_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='fastvit_sa12', pretrained=True),
)
