"""MobileViTv2-1.0 with RetinaNet on COCO, 1x.

The paper (arXiv 2206.02680) trains SSDLite at 320x320; no result was published for RetinaNet. Recipe as in
`efficientformerv2_s2_retinanet_coco.py`; images as its weights of ImageNet know them, from 0 to 1.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(
        type='TimmBackbone', arch='mobilevitv2_100', out_indices=(1, 2, 3, 4), norm_eval=True, pretrained=True
    ),
)
