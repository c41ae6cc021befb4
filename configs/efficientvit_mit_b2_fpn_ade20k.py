"""EfficientViT-B2 (MIT) with Semantic FPN on ADE20K. No result was published.

Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMIT', arch='b2', pretrained=True),
)
