"""Deep mutual learning: two students learn from the target's labels and from each other's predictions.

The paper's weight is not known; sweep it: `--cfg-options model.weight=0.5`. Every checkpoint is one of an ordinary
student, for the config of that too; to score the peer: `model.predict_with=peer`. No result was published.
"""

_base_ = './shvit_unet_scenes_student.py'

model = dict(type='MutualLearningSegmentor', peer=None, weight=1.0, predict_with='first')
default_hooks = dict(peer=dict(type='PeerApart'))
