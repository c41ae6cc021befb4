"""Domain adaptation part by part, after the authors' PGFiT: the decoder first, then stages 3 to 1, then the stem.

Five phases of ten epochs at one learning rate, so that the last parts learn as fast as the first. PGFiT ends a phase
after five epochs without a better score: `--cfg-options default_hooks.gradual.patience=5 train_cfg.val_interval=100`.
No result was published.
"""

_base_ = './shvit_unet_scenes_sda.py'

default_hooks = dict(gradual=dict(type='GradualFineTuning', phase_iters=1000))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100)]
find_unused_parameters = True  # frozen ones, on several GPUs
