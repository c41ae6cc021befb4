"""EfficientFormer-L1 with Mask R-CNN on COCO, 1x: 37.9 box AP, 35.4 mask AP (arXiv 2206.01191).

Recipe of the authors' repository: plain FPN, AdamW with twice the learning rate of `adamw_1x.py` at its batch of 16 and
a weight decay of 1e-4; batch norms in eval mode.
"""

_base_ = [
    '_base_/models/maskrcnn_fpn.py',
    '_base_/datasets/coco_instance.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='TimmBackbone', arch='efficientformer_l1', norm_eval=True, pretrained=True),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))
published = dict(box_ap=37.9, mask_ap=35.4)
