"""SHViT-S4 with Semantic FPN on ADE20K. No result was published.

Recipe of EfficientMod (arXiv 2403.19963); strides 4 and 8 come from the stem.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', out_indices=(1, 2, 3, 4, 5), pretrained=True),
    neck=dict(num_outs=5),
    decode_head=dict(in_index=[0, 1, 2, 3, 4]),
)
