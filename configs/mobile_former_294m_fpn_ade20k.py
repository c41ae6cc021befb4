"""Mobile-Former-294M (arXiv 2108.05895) with Semantic FPN on ADE20K. No result was published.

Recipe as in `efficientmod_s_fpn_ade20k.py`.
"""

_base_ = [
    '_base_/models/semantic_fpn.py',
    '_base_/datasets/ade20k.py',
    '_base_/schedules/adamw_40k.py',
    '_base_/segmentation_runtime.py',
]

model = dict(backbone=dict(type='MobileFormer', arch='294m', out_indices=(1, 2, 3, 4)))
