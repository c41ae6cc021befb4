"""FastViT-SA12 with Mask R-CNN on COCO, 1x: 38.9 box AP, 35.9 mask AP (as SHViT, arXiv 2401.16456, Table 5, and iFormer
quote FastViT). Recipe of EfficientMod, with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='fastvit_sa12', norm_eval=True, pretrained=True),
)
published = dict(box_ap=38.9, mask_ap=35.9)
