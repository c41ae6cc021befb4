"""Temperature and weights of KD and DML, which the paper does not state: a small sweep on the sample's scenes.

    tools/transfer_study.py configs/buildings/study_sweep.py

KD with T 2 and alpha 0.5, and DML with weight 1, are those of the sample study.
"""

_base_ = './study_sample.py'

title = 'KD by temperature and alpha, DML by weight: a sweep on the sample'
angles_deg = ()
angle_seeds = ()
seeds = (0, 1)
methods = dict(
    student=None,
    student_long=None,
    mixed=None,
    sda=None,
    **{
        f'kd_t{temperature}_a{alpha}': dict(
            title=f'KD, T {temperature}, α {alpha}',
            description=f'knowledge distillation with temperature {temperature} and alpha {alpha}',
            config='configs/buildings/shvit_unet_scenes_kd.py',
            teacher=dict(
                method='teacher',
                options={'model.teacher.checkpoint': 'checkpoint', 'model.teacher.config': 'config'},
            ),
            options={'model.temperature': temperature, 'model.alpha': alpha},
            uses_source=True,
        )
        for temperature in (1, 4)
        for alpha in (0.1, 0.5, 0.9)
    },
    **{
        f'dml_w{weight}': dict(
            title=f'DML, weight {weight}',
            description=f'deep mutual learning with weight {weight}',
            config='configs/buildings/shvit_unet_scenes_dml.py',
            options={'model.weight': weight},
        )
        for weight in (0.3, 3.0)
    },
)
