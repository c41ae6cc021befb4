"""EfficientViT-B2 (MIT) with Mask R-CNN on COCO, 1x. No result was published.

Recipe of EfficientMod (arXiv 2403.19963), with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='EfficientViTMIT', arch='b2', norm_eval=True, pretrained=True),
)
