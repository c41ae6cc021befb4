"""EfficientFormerV2-S2 with Mask R-CNN on COCO, 1x: 43.4 box AP, 39.5 mask AP (EfficientMod, arXiv 2403.19963, Table
7).

Its recipe: plain FPN, AdamW 2e-4, batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformerv2_s2', norm_eval=True, pretrained=True),
)
published = dict(box_ap=43.4, mask_ap=39.5, params_m='32.2')
