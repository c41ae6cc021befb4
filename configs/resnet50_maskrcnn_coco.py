"""ResNet-50 with Mask R-CNN on COCO, 1x: 38.0 box AP, 34.4 mask AP (as PVT, arXiv 2102.12122, and its followers quote
it).

A peer under the recipe of EfficientMod, with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='resnet50', norm_eval=True, pretrained=True),
)
published = dict(box_ap=38.0, mask_ap=34.4)
