"""EfficientViT-B2 (MIT) with RetinaNet on COCO, 1x. No result was published.

Recipe as in `efficientvit_mit_b2_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMIT', arch='b2', norm_eval=True, pretrained=True),
)
