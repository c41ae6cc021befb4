"""Knowledge distillation: the student learns from the target's labels and from the teacher's predictions.

The paper's temperature and weight are not known; sweep them: `--cfg-options model.temperature=4 model.alpha=0.9`.
Another teacher: `model.teacher.config=CONFIG model.teacher.checkpoint=FILE`. No result was published for these data.
"""

_base_ = './shvit_unet_scenes_student.py'

model = dict(
    type='DistilledSegmentor',
    teacher=dict(
        config='configs/buildings/shvit_unet_scenes_teacher.py',
        checkpoint='work_dirs/shvit_unet_scenes_teacher/iter_20000.pth',
    ),
    temperature=2.0,
    alpha=0.5,
)
