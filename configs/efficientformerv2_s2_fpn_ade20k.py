"""EfficientFormerV2-S2 with Semantic FPN on ADE20K: 42.4 mIoU (EfficientMod, arXiv 2403.19963, Table 7), whose recipe
this is.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformerv2_s2', pretrained=True),
)
published = dict(miou=42.4, params_m='16.3', macs_g='27.7', macs_with_attention=False)
