"""ResNet-50 with Semantic FPN on ADE20K: 36.7 mIoU (as PVT, arXiv 2102.12122, and its followers quote it).

Recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='resnet50', pretrained=True),
)
published = dict(miou=36.7)
