"""MobileViT-S with Semantic FPN on ADE20K.

The paper (arXiv 2110.02178) trains DeepLabV3 on PASCAL VOC; no result was published for Semantic FPN. Recipe as
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
    backbone=dict(type='TimmBackbone', arch='mobilevit_s', out_indices=(1, 2, 3, 4), pretrained=True),
)
