"""EfficientFormerV2-S2 with RetinaNet on COCO, 1x. No result was published.

Recipe as in `efficientformerv2_s2_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformerv2_s2', norm_eval=True, pretrained=True),
)
