"""iFormer-M with Mask R-CNN on COCO, 1x: 40.8 box AP, 37.9 mask AP (iFormer, arXiv 2501.15369, Table 5).

12 epochs in MMDetection's standard settings, as the authors' repository says; batch and learning rate of EfficientMod,
with batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance_batch32.py',
    '_base_/schedules/adamw_1x_batch32.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='iformer_m', norm_eval=True, pretrained=True),
)
published = dict(box_ap=40.8, mask_ap=37.9)
