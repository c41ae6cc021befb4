"""EfficientMod-s-Conv with Mask R-CNN on COCO, 1x: 42.1 box AP, 38.5 mask AP (EfficientMod, arXiv 2403.19963, Table 7).

Recipe of the authors: plain FPN, AdamW 2e-4, batch 32.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s_conv', drop_path_rate=0.02, pretrained=True),
)
published = dict(box_ap=42.1, mask_ap=38.5, params_m='32.6')
