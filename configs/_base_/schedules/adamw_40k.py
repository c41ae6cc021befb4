"""40k iterations with AdamW, the schedule of EfficientMod for Semantic FPN on ADE20K.

Batch 32 (8 GPUs x 4) of 20,210 images: 631 iterations an epoch, 63 epochs.
"""

train_cfg = dict(type='ResumableIterTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-4, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1000, end=40000, T_max=39000, eta_min=0),
]
auto_scale_lr = dict(enable=True, base_batch_size=32)
