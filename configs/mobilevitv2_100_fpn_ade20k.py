"""MobileViTv2-1.0 with Semantic FPN on ADE20K.

The paper (arXiv 2206.02680) trains PSPNet and DeepLabV3 on ADE20K; no result was published for Semantic FPN. Recipe as
in `efficientformerv2_s2_fpn_ade20k.py`; images as its weights of ImageNet know them, from 0 to 1.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(type='TimmBackbone', arch='mobilevitv2_100', out_indices=(1, 2, 3, 4), pretrained=True),
)
