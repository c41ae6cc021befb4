"""FastViT-SA12 with RetinaNet on COCO, 1x. No result was published.

Recipe as in `fastvit_sa12_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='fastvit_sa12', norm_eval=True, pretrained=True),
)
