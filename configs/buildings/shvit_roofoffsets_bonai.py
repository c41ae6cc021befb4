"""SHViT-S4 with Mask R-CNN, offsets and heights on BONAI. Ours: no result was published for this network.

LOFT-FOA (arXiv 2204.13637) reaches a footprint F1 of 64.3 with ResNet-50 and four stacks of convolutions for the
offsets; schedule and number of buildings as in `shvit_maskrcnn_bonai.py`.
"""

_base_ = [
    '../_base_/models/maskrcnn_roof_offsets.py',
    '../_base_/datasets/bonai_roof_offsets.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/building_instance_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
    test_cfg=dict(rcnn=dict(max_per_img=500)),
)
train_cfg = dict(max_epochs=24, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=24, milestones=[16, 22], gamma=0.1),
]
