"""Deep mutual learning of two EfficientNet-Lite0, as in `shvit_unet_scenes_dml.py`; see there.

Both begin with the same published weights, apart in the decoder alone. No result was published for these data.
"""

_base_ = './efficientnet_lite0_unet_scenes_student.py'

model = dict(type='MutualLearningSegmentor', peer=None, weight=1.0, predict_with='first')
default_hooks = dict(peer=dict(type='PeerApart'))
