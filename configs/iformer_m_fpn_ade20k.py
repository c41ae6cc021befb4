"""iFormer-M with Semantic FPN on ADE20K: 42.4 mIoU (iFormer, arXiv 2501.15369, Table 5).

Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='iformer_m', pretrained=True),
)
published = dict(miou=42.4)
