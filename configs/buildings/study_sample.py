"""SDA against KD and DML in half an hour on two cores: a small network, from random weights, on rendered scenes.

    tools/transfer_study.py configs/buildings/study_sample.py

The city is Melbourne's where its footprints are at hand (data/README.md), else an invented one. At 0.6 m a pixel, one
of the paper's resolutions (1.2, 0.6 and 0.3 m):

- The source is large and noisy: every tile is seen at its own angle (10 to 40 degrees off nadir, the range of SpaceNet
  4's "off nadir" collects) from its own direction, as in a mosaic of flights, and labelled with the footprints on the
  ground, displaced by a registration error of 1.5 m. With one angle and direction for all, a network could learn the
  displacement: it would be no noise.
- The target is small and clean: near nadir, as an orthophoto is, labelled with the roofs that are seen.
- val and test are like the target, on ground of their own.

All methods train the same network, from random weights, for the same number of steps; SDA starts from the teacher, KD
is taught by it. The mixed baseline and a control on the target alone have the steps of teacher and SDA together. The
paper's temperature and weights are unknown; ours are those of the leaf configs, and `study_sweep.py` varies them. At
each of the angles, everything that uses the source is trained again on a source seen at that angle alone, from any
direction.
"""

title = 'SDA, KD and DML on off-nadir scenes: the sample study'
data = dict(
    type='RenderedScenes',
    city=dict(
        footprints=['data/melbourne/buildings.gpkg'],
        height_column='structure_height_m',
        structure_column='structure_id',
        otherwise=dict(size_m=2000, seed=0),
    ),
    gsd_m=0.6,
    tile_px=256,
    domains=dict(
        source=dict(num_tiles=160, off_nadir_deg=(10, 40), registration_error_m=1.5, label='footprint'),
        target=dict(num_tiles=16, off_nadir_deg=(0, 10), label='roof'),
        val=dict(num_tiles=8, off_nadir_deg=(0, 10), label='roof'),
        test=dict(num_tiles=40, off_nadir_deg=(0, 10), label='roof'),
    ),
    ground_shares=dict(source=4, target=2, val=1, test=2),
    gap_off_nadir_deg=dict(source=40),
    seed=0,
)
seeds = (0, 1, 2)
angles_deg = (0, 10, 20, 30, 40)
angle_seeds = (0,)
methods = dict(
    teacher=dict(
        title='Teacher',
        description='trained on the noisy source, used as it is',
        config='configs/buildings/shvit_unet_scenes_teacher.py',
        uses_source=True,
    ),
    student=dict(
        title='Target only',
        description='the network trained on the clean target alone',
        config='configs/buildings/shvit_unet_scenes_student.py',
    ),
    student_long=dict(
        title='Target only, as long',
        description='the same, with the steps of teacher and SDA together: what steps give without the source',
        config='configs/buildings/shvit_unet_scenes_student.py',
        options={
            'train_cfg.max_iters': 320,
            'train_cfg.val_interval': 64,
            'default_hooks.checkpoint.interval': 64,
            'param_scheduler.1.end': 320,
            'param_scheduler.1.T_max': 300,
        },
    ),
    mixed=dict(
        title='Mixed',
        description='trained on source and target together, half of each, as long as teacher and SDA together',
        config='configs/buildings/shvit_unet_scenes_mixed.py',
        options={
            'train_dataloader.dataset.times': [1, 10],
            'train_cfg.max_iters': 320,
            'train_cfg.val_interval': 64,
            'default_hooks.checkpoint.interval': 64,
            'param_scheduler.1.end': 320,
            'param_scheduler.1.T_max': 300,
        },
        uses_source=True,
    ),
    kd=dict(
        title='KD',
        description='knowledge distillation: trained on the target, and towards the frozen teacher',
        config='configs/buildings/shvit_unet_scenes_kd.py',
        teacher=dict(
            method='teacher',
            options={'model.teacher.checkpoint': 'checkpoint', 'model.teacher.config': 'config'},
        ),
        uses_source=True,
    ),
    dml=dict(
        title='DML',
        description='deep mutual learning: two networks trained on the target, and towards each other',
        config='configs/buildings/shvit_unet_scenes_dml.py',
    ),
    sda=dict(
        title='SDA',
        description='supervised domain adaptation: the teacher, all of it, trained on',
        config='configs/buildings/shvit_unet_scenes_sda.py',
        teacher=dict(method='teacher', options={'load_from': 'checkpoint'}),
        uses_source=True,
    ),
)
options = {
    'model.decode_head.loss_decode.name': 'bce+dice',
    'model.backbone.arch': 's1',
    'model.backbone.pretrained': False,
    'model.decode_head.decoder_options': dict(decoder_channels=(128, 96, 64, 32, 16, 8)),
    'train_dataloader.dataset.pipeline.0.keep_mib': 64,
    'train_dataloader.dataset.pipeline.1.keep_mib': 64,
    'train_dataloader.dataset.pipeline.2.crop_size': 128,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'train_cfg.max_iters': 160,
    'train_cfg.val_interval': 32,
    'param_scheduler.0.end': 20,
    'param_scheduler.1.begin': 20,
    'param_scheduler.1.end': 160,
    'param_scheduler.1.T_max': 140,
    'default_hooks.checkpoint.interval': 32,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'default_hooks.logger.interval': 20,
    'default_hooks.visualization.num_pictures': 1,
}
num_panels = 6
num_processes = 2
