"""300 iterations for tens of tiles: AdamW down a cosine, the backbone, which has weights, at a third of the rate.

Batch 4 (1 GPU) of 20 tiles: 60 epochs.
"""

_base_ = './building_target.py'

train_cfg = dict(max_iters=300, val_interval=100)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3)), norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=300, T_max=280, eta_min=0),
]
auto_scale_lr = dict(base_batch_size=4)
