"""Supervised domain adaptation of EfficientNet-Lite0, as in `shvit_unet_scenes_sda.py`; see there.

No result was published for these data.
"""

_base_ = './efficientnet_lite0_unet_scenes_student.py'

load_from = 'work_dirs/efficientnet_lite0_unet_scenes_teacher/iter_20000.pth'
default_hooks = dict(
    source_model=dict(type='SourceModel', config='configs/buildings/efficientnet_lite0_unet_scenes_teacher.py'),
)
