"""SHViT-S4 with Mask R-CNN on the roofs of BONAI, scored per building height. Ours: no result was published.

24 epochs, as BONAI's authors train (arXiv 2204.13637). A tile may show hundreds of buildings: more than the usual 100
are kept.
"""

_base_ = [
    '../_base_/models/maskrcnn.py',
    '../_base_/datasets/bonai_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/building_instance_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    test_cfg=dict(rcnn=dict(max_per_img=500)),
)
train_cfg = dict(max_epochs=24, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=24, milestones=[16, 22], gamma=0.1),
]
