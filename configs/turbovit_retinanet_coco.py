"""A TurboViT-style network with RetinaNet on COCO, 1x. No result and no weights were published.

Recipe as in `turbovit_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TurboViT', arch='w64', pretrained=False),
)
