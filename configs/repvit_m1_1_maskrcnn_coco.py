"""RepViT-M1.1 with Mask R-CNN on COCO, 1x: 39.8 box AP, 37.2 mask AP (RepViT, arXiv 2307.09283, its repository).

Its recipe: plain FPN, AdamW 2e-4; batch norms in eval mode. Levels are the ends of the stages, as in its segmentation.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='repvit_m1_1', norm_eval=True, pretrained=True),
)
published = dict(box_ap=39.8, mask_ap=37.2)
