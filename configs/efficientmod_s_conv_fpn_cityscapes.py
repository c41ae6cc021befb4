"""EfficientMod-s-Conv with Semantic FPN on Cityscapes. No result was published.

The head of `efficientmod_s_conv_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s_conv', drop_path_rate=0.02, pretrained=True),
)
