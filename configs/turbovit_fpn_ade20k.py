"""A TurboViT-style network with Semantic FPN on ADE20K. No result and no weights were published.

Recipe of EfficientMod (arXiv 2403.19963), from random weights or from your own.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TurboViT', arch='w64', pretrained=False),
)
