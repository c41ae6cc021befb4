"""A TurboViT-style network with Mask R-CNN on COCO, 1x. No result and no weights were published.

Recipe of EfficientMod (arXiv 2403.19963), from random weights or from your own.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TurboViT', arch='w64', pretrained=False),
)
