"""ResNet-50 with RetinaNet on COCO, 1x. No result was published.

Recipe as in `resnet50_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='resnet50', norm_eval=True, pretrained=True),
)
