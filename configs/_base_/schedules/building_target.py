"""5k iterations of `building_source.py` on a small target.

Batch 8 (1 GPU) of 800 tiles: 100 iterations an epoch, 50 epochs.
"""

_base_ = './building_source.py'

train_cfg = dict(max_iters=5000, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=5000, T_max=4900, eta_min=0),
]
