"""EfficientMod-s with Semantic FPN on Cityscapes. No result was published.

The head of `efficientmod_s_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s', drop_path_rate=0.02, pretrained=True),
)
