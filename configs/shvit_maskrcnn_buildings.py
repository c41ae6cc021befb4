"""SHViT-S4 with Mask R-CNN, fine-tuned on a single-class building set in COCO format. Ours: no result was published.

Starts from ImageNet weights; from a detector trained on COCO with `--cfg-options load_from=CHECKPOINT`, whose
class-wise layers are then trained anew. 36 epochs, the learning rate divided by 10 after 27 and 33.
"""

_base_ = [
    '_base_/models/maskrcnn.py',
    '_base_/datasets/buildings_instance.py',
    '_base_/schedules/adamw_1x.py',
    '_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
)
train_cfg = dict(max_epochs=36, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=36, milestones=[27, 33], gamma=0.1),
]
