"""MobileNetV3-Large with RetinaNet on COCO, 1x: 29.9 AP, as EfficientViT (arXiv 2305.07027) quotes it.

Recipe of EfficientMod (arXiv 2403.19963), with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='mobilenetv3_large_100', norm_eval=True, pretrained=True),
)
published = dict(box_ap=29.9)
