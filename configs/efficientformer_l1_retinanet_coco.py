"""EfficientFormer-L1 with RetinaNet on COCO, 1x. No result was published.

Recipe as in `efficientformer_l1_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformer_l1', norm_eval=True, pretrained=True),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))
