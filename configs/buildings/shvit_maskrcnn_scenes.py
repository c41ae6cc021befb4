"""SHViT-S4 with Mask R-CNN on the small clean target of the scenes, scored per building height.

No result was published for these data. The network and schedule of `shvit_maskrcnn_buildings.py`, whose data have no
heights. For tiles of `tools/prepare_data.py geotiff`: `shvit_maskrcnn_tiles.py`.
"""

_base_ = [
    '../_base_/models/maskrcnn.py',
    '../_base_/datasets/building_scenes_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/building_instance_runtime.py',
]

model = dict(
    backbone=dict(type='SHViT', arch='s4', norm_eval=True, pretrained=True),
    neck=dict(type='UpsamplingFPN', out_channels=256, num_outs=5, num_upsamples=2),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
)
train_dataloader = dict(dataset=dict(ann_file='target/instances.json', data_prefix=dict(img='target/images/')))
train_cfg = dict(max_epochs=36, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=36, milestones=[27, 33], gamma=0.1),
]
