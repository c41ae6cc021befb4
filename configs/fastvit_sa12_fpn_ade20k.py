"""FastViT-SA12 with Semantic FPN on ADE20K: 38.0 mIoU (as iFormer, arXiv 2501.15369, quotes it).

Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='fastvit_sa12', pretrained=True),
)
published = dict(miou=38.0)
