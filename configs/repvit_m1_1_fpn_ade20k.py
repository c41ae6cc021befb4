"""RepViT-M1.1 with Semantic FPN on ADE20K: 40.6 mIoU (RepViT, arXiv 2307.09283, its repository).

Recipe of EfficientMod (arXiv 2403.19963), which decays by a cosine instead of a polynomial.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='repvit_m1_1', pretrained=True),
)
published = dict(miou=40.6)
