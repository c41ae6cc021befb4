"""Supervised domain adaptation: the whole teacher, nothing frozen, trained on the target like the student.

So does the authors' code, with the learning rate of the teacher; a lower one: `--cfg-options
optim_wrapper.optimizer.lr=1e-4`. No result was published for these data.
"""

_base_ = './shvit_unet_scenes_student.py'

load_from = 'work_dirs/shvit_unet_scenes_teacher/iter_20000.pth'
default_hooks = dict(
    source_model=dict(type='SourceModel', config='configs/buildings/shvit_unet_scenes_teacher.py'),
)
