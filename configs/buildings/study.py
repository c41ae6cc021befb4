"""The study for a GPU: the leaf configs' networks from ImageNet weights, 3,200 source and 800 target tiles at 0.3 m.

    tools/transfer_study.py configs/buildings/study.py --num-processes 4

On several GPUs the runs take them in turn. Teacher 20,000 steps, the others 5,000 on the target, or 25,000 in all.
"""

_base_ = './study_axes.py'

title = 'SDA, KD and DML on off-nadir scenes'
data = dict(
    gsd_m=0.3,
    tile_px=512,
    domains=dict(source=dict(num_tiles=3200), target=dict(num_tiles=800), val=dict(num_tiles=40)),
)
target_tiles = 800
methods = dict(
    teacher=dict(steps=20000),
    aligned=dict(steps=20000),
    aligned_told=dict(steps=20000),
    clean=dict(steps=20000),
    student=dict(steps=5000),
    student_long=dict(steps=25000),
    mixed=dict(steps=25000),
    kd=dict(steps=5000),
    kd_hard=dict(steps=5000),
    dml=dict(steps=12500),
    sda=dict(steps=5000),
    sda_aligned=dict(steps=5000),
    gradual=dict(steps=5000),
    sda_half=dict(steps=2500),
    kd_sda=dict(steps=2500),
)
options = dict(_delete_=True)
step_options = {
    '_delete_': True,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1 / 10,
    'default_hooks.checkpoint.interval': 1 / 10,
    'param_scheduler.0.end': 1 / 40,
    'param_scheduler.1.begin': 1 / 40,
    'param_scheduler.1.end': 1,
    'param_scheduler.1.T_max': 39 / 40,
}
axes = dict(
    clean=dict(
        points=[
            (4, {'target_tiles': 4, 'options.train_dataloader.batch_size': 4}),
            *((number, {'target_tiles': number}) for number in (16, 64, 256, 800)),
        ],
        replicates=5,
    ),
    angle=dict(replicates=5),
    gsd=dict(replicates=5),
)
