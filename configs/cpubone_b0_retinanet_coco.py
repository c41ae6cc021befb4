"""CPUBone-B0 with RetinaNet on COCO, 1x: 37.5 AP (CPUBone, arXiv 2603.26425, its repository).

The code of the authors' detector was not published: recipe of EfficientMod, with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/retinanet_fpn.py',
    '_base_/datasets/coco_detection_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='cpubone_b0_bfrobust', norm_eval=True, pretrained=True),
)
published = dict(box_ap=37.5)
