"""Domain adaptation part by part, as in `shvit_unet_scenes_sda_gradual.py`; see there.

No result was published for these data.
"""

_base_ = './efficientnet_lite0_unet_scenes_sda.py'

default_hooks = dict(gradual=dict(type='GradualFineTuning', phase_iters=1000))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100)]
find_unused_parameters = True  # frozen ones, on several GPUs
