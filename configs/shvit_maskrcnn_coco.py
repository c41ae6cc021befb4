"""SHViT-S4 with Mask R-CNN on COCO, 1x: 39.0 box AP, 35.9 mask AP (SHViT, arXiv 2401.16456, Table 5).

Recipe of the authors' `downstream/` folder: their neck with two transposed convolutions for strides 8 and 4, AdamW
1e-4, batch 16, batch norms in eval mode while training.
"""

_base_ = [
    '_base_/models/maskrcnn.py',
    '_base_/datasets/coco_instance.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
)
published = dict(box_ap=39.0, mask_ap=35.9)
