"""EfficientMod-s-Conv with Semantic FPN on ADE20K: 43.5 mIoU (EfficientMod, arXiv 2403.19963, Table 7), whose recipe
this is.

The authors' own config does not build, as it has the neck of s.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s_conv', drop_path_rate=0.02, pretrained=True),
)
published = dict(miou=43.5, params_m='16.7', macs_g='29.0')
