"""25k iterations of `building_source.py`: those of teacher and domain adaptation together."""

_base_ = './building_source.py'

train_cfg = dict(max_iters=25000, val_interval=2500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=500, end=25000, T_max=24500, eta_min=0),
]
