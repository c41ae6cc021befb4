"""U-Net on EfficientNet-Lite0 on tens of drone tiles of 0.1 to 0.2 m a pixel, as `prepare_data.py geotiles` splits
them.

A recipe for few labels: ImageNet weights; half resolution, in which a crop shows four times the ground for the same
work (predictions are enlarged to the tile's); turns, flips and scales of 0.7 to 1.4; cross entropy with dice; AdamW,
the backbone at a third of the rate, down a cosine; and the mean of the weights over time, which is what is scored.
Ours: no result was published.
"""

_base_ = './efficientnet_lite0_unet_tiles.py'

train_pipeline = [
    dict(type='LoadAerialImage', keep_mib=64),
    dict(type='LoadBuildingMask', keep_mib=64),
    dict(type='RandomResize', scale=(256, 256), ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='RandomRotate', prob=0.5, degree=(90, 90), seg_pad_val=255),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadAerialImage'),
    dict(type='Resize', scale_factor=0.5, keep_ratio=True),
    dict(type='LoadBuildingMask'),
    dict(type='LoadBuildings'),
    dict(
        type='PackSegInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'scale_factor', 'building_ids', 'building_heights_m'),
    ),
]
model = dict(decode_head=dict(loss_decode=dict(name='bce+dice')))
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3)), norm_decay_mult=0.0),
)
train_cfg = dict(max_iters=300, val_interval=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=300, T_max=280, eta_min=0),
]
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1), logger=dict(interval=20))
custom_hooks = [
    dict(type='Curves'),
    dict(type='EMAHook', momentum=0.02, begin_iter=50, update_buffers=True),
]
auto_scale_lr = dict(enable=False)
