"""CPUBone-B0 with Semantic FPN on ADE20K: 37.9 mIoU (CPUBone, arXiv 2603.26425, its repository).

The code of the authors' segmentor was not published: recipe of EfficientMod (arXiv 2403.19963).
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='cpubone_b0_bfrobust', pretrained=True),
)
published = dict(miou=37.9)
