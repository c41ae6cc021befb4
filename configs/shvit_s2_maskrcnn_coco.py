"""SHViT-S2 with Mask R-CNN on COCO, 1x: the recipe of `shvit_maskrcnn_coco.py`. No result was published."""

_base_ = 'shvit_maskrcnn_coco.py'

model = dict(backbone=dict(arch='s2'))
