"""80k iterations with AdamW for Cityscapes. Ours: mmseg's length for this data set, EfficientMod's optimiser.

Batch 16 (8 GPUs x 2) of 2,975 images: 185 iterations an epoch, 432 epochs.
"""

_base_ = './adamw_40k.py'

train_cfg = dict(max_iters=80000, val_interval=8000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1000, end=80000, T_max=79000, eta_min=0),
]
auto_scale_lr = dict(base_batch_size=16)
