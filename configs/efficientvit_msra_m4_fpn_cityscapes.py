"""EfficientViT-M4 (MSRA) with Semantic FPN on Cityscapes. No result was published.

The head of `efficientvit_msra_m4_fpn_ade20k.py`, the recipe of `_base_/schedules/adamw_80k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn_cityscapes.py',
    '_base_/datasets/cityscapes.py',
    '_base_/schedules/adamw_80k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMSRA', arch='m4', out_indices=(1, 2, 3, 4, 5), pretrained=True),
    neck=dict(num_outs=5),
    decode_head=dict(in_index=[0, 1, 2, 3, 4]),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(attention_bias=dict(decay_mult=0.0))))
