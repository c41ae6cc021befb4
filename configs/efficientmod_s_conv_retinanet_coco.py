"""EfficientMod-s-Conv with RetinaNet on COCO, 1x. No result was published.

Recipe as in `efficientmod_s_conv_maskrcnn_coco.py`.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientMod', arch='s_conv', drop_path_rate=0.02, pretrained=True),
)
