"""Knowledge distillation from EfficientNet-Lite0 to itself, as in `shvit_unet_scenes_kd.py`; see there.

No result was published for these data.
"""

_base_ = './efficientnet_lite0_unet_scenes_student.py'

model = dict(
    type='DistilledSegmentor',
    teacher=dict(
        config='configs/buildings/efficientnet_lite0_unet_scenes_teacher.py',
        checkpoint='work_dirs/efficientnet_lite0_unet_scenes_teacher/iter_20000.pth',
    ),
    temperature=2.0,
    alpha=0.5,
)
