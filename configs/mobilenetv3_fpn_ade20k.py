"""MobileNetV3-Large with Semantic FPN on ADE20K. No result was published.

Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='mobilenetv3_large_100', pretrained=True),
)
