"""The study for a GPU: the leaf configs as they stand, ImageNet weights, 3,200 source and 800 target tiles at 0.3 m.

    tools/transfer_study.py configs/buildings/study.py --num-processes 4

On several GPUs the runs take them in turn.
"""

_base_ = './study_sample.py'

title = 'SDA, KD and DML on off-nadir scenes'
data = dict(
    gsd_m=0.3,
    tile_px=512,
    domains=dict(
        source=dict(num_tiles=3200),
        target=dict(num_tiles=800),
        val=dict(num_tiles=200),
        test=dict(num_tiles=400),
    ),
)
seeds = (0, 1, 2, 3, 4)
angle_seeds = (0, 1, 2)
methods = dict(
    mixed=dict(options=dict(_delete_=True)),
    student_long=dict(
        options={
            '_delete_': True,
            'train_cfg.max_iters': 25000,
            'train_cfg.val_interval': 2500,
            'default_hooks.checkpoint.interval': 2500,
            'param_scheduler.1.end': 25000,
            'param_scheduler.1.T_max': 24900,
        }
    ),
)
options = dict(_delete_=True)
