"""SDA against KD, DML and no source at all, in an hour on two cores: a small network, from random weights, on rendered
scenes.

    tools/transfer_study.py configs/buildings/study_sample.py

The city is Melbourne's where its footprints are at hand (data/README.md), else an invented one. At 0.6 m a pixel, one
of the paper's resolutions (1.2, 0.6 and 0.3 m; `study_axes.py` varies it, and the angle and the number of clean tiles):

- The source is large and noisy: every tile is seen at its own angle (10 to 40 degrees off nadir, the range of SpaceNet
  4's "off nadir" collects) from its own direction, as in a mosaic of flights, and labelled with the footprints on the
  ground, displaced by a registration error of 1.5 m. With one angle and direction for all, a network could learn the
  displacement: it would be no noise.
- The target is small and clean: near nadir, as an orthophoto is, labelled with the roofs that are seen.
- val and test are like the target, on ground of their own.

Each of five replicates has scenes, a partition of the city and a training seed of its own. All methods train the same
network from random weights. Learning rate, temperature, alpha and weight of each method are chosen by three trials on
the validation tiles of a sixth replicate, whose test is not scored; in every run the checkpoint counts that is best in
validation. All methods but the teacher and "target only" have as many steps in all, those of their teacher included; of
mutual learning, the steps of both networks count.
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
        source=dict(num_tiles=96, off_nadir_deg=(10, 40), registration_error_m=1.5, label='footprint'),
        target=dict(num_tiles=64, off_nadir_deg=(0, 10), label='roof'),
        val=dict(num_tiles=10, off_nadir_deg=(0, 10), label='roof'),
        test=dict(num_tiles=36, off_nadir_deg=(0, 10), label='roof'),
    ),
    ground_shares=dict(source=4, target=2, val=1, test=3),
    gap_off_nadir_deg=dict(source=40),
    seed=0,
)
target_tiles = 16
replicates = 5
rates = [{'optim_wrapper.optimizer.lr': rate} for rate in (1e-3, 2e-3, 4e-3)]
softened = [  # no two alike in anything
    {'optim_wrapper.optimizer.lr': rate, 'model.temperature': temperature, 'model.alpha': alpha}
    for rate, temperature, alpha in ((1e-3, 2.0, 0.5), (2e-3, 1.0, 0.25), (4e-3, 4.0, 0.1))
]
distilled = dict(
    config='configs/buildings/shvit_unet_scenes_kd.py',
    teacher=dict(
        method='teacher', options={'model.teacher.checkpoint': 'checkpoint', 'model.teacher.config': 'config'}
    ),
)
relabeled = dict(config='configs/buildings/shvit_unet_scenes_teacher.py', on='source', steps=150, tuned_as='teacher')
methods = dict(
    teacher=dict(
        title='Teacher',
        description='trained on the noisy source, used as it is',
        config='configs/buildings/shvit_unet_scenes_teacher.py',
        on='source',
        steps=150,
        trials=rates,
    ),
    aligned=dict(
        title='Aligned',
        description='the same on labels that an alignment has laid on the buildings of each image',
        **relabeled,
        labels='aligned',
    ),
    aligned_told=dict(
        title='Aligned, told',
        description='the same, where the alignment was told the angle of each image and the heights of the buildings',
        **relabeled,
        labels='told',
    ),
    clean=dict(
        title='Clean source',
        description='the same on the roofs that are really seen, which nobody has',
        **relabeled,
        labels='roofs',
    ),
    student=dict(
        title='Target only',
        description='the network trained on the clean target alone',
        config='configs/buildings/shvit_unet_scenes_student.py',
        steps=150,
        tuned_as='student_long',
    ),
    student_long=dict(
        title='Target only, as long',
        description='the same, with as many steps as the others and their teachers together',
        config='configs/buildings/shvit_unet_scenes_student.py',
        steps=300,
        trials=rates,
    ),
    mixed=dict(
        title='Mixed',
        description='trained on source and target together, half of each',
        config='configs/buildings/shvit_unet_scenes_mixed.py',
        on='both',
        steps=300,
        trials=rates,
    ),
    kd=dict(
        title='KD',
        description="knowledge distillation: trained on the target, and towards the frozen teacher's probabilities",
        **distilled,
        steps=150,
        trials=softened,
    ),
    kd_hard=dict(
        title='KD, hard',
        description="knowledge distillation from the teacher's decisions, building or not",
        **distilled,
        options={'model.hard': True},
        steps=150,
        trials=[
            {'optim_wrapper.optimizer.lr': rate, 'model.alpha': alpha}
            for rate, alpha in ((1e-3, 0.5), (2e-3, 0.25), (4e-3, 0.1))
        ],
    ),
    dml=dict(
        title='DML',
        description='deep mutual learning: two networks trained on the target, and towards each other',
        config='configs/buildings/shvit_unet_scenes_dml.py',
        steps=150,
        networks=2,
        trials=[
            {'optim_wrapper.optimizer.lr': rate, 'model.weight': weight}
            for rate, weight in ((1e-3, 1.0), (2e-3, 0.3), (4e-3, 1.0))
        ],
    ),
    sda=dict(
        title='SDA',
        description='supervised domain adaptation: the teacher, all of it, trained on',
        config='configs/buildings/shvit_unet_scenes_sda.py',
        teacher=dict(method='teacher', options={'load_from': 'checkpoint'}),
        steps=150,
        trials=rates,
    ),
    sda_aligned=dict(
        title='SDA, aligned',
        description='SDA from the teacher of aligned labels',
        config='configs/buildings/shvit_unet_scenes_sda.py',
        teacher=dict(method='aligned', options={'load_from': 'checkpoint'}),
        steps=150,
        tuned_as='sda',
    ),
    gradual=dict(
        title='Gradual',
        description='SDA part by part: the decoder first, then the backbone from its deepest stage to its stem',
        config='configs/buildings/shvit_unet_scenes_sda_gradual.py',
        teacher=dict(method='teacher', options={'load_from': 'checkpoint'}),
        steps=150,
        step_options={
            'default_hooks.gradual.phase_iters': 1 / 5,
            'param_scheduler.1.begin': None,
            'param_scheduler.1.end': None,
            'param_scheduler.1.T_max': None,
        },
        trials=rates,
    ),
    sda_half=dict(
        title='SDA, half',
        description='SDA with half of the steps: who teaches "KD from SDA"',
        config='configs/buildings/shvit_unet_scenes_sda.py',
        teacher=dict(method='teacher', options={'load_from': 'checkpoint'}),
        steps=75,
        tuned_as='sda',
    ),
    kd_sda=dict(
        title='KD from SDA',
        description='knowledge distillation from a teacher that SDA has brought to the target',
        config='configs/buildings/shvit_unet_scenes_kd.py',
        teacher=dict(
            method='sda_half', options={'model.teacher.checkpoint': 'checkpoint', 'model.teacher.config': 'config'}
        ),
        steps=75,
        tuned_as='kd',
    ),
)
del rates, softened, distilled, relabeled
options = {
    'model.decode_head.loss_decode.name': 'bce+dice',
    'model.backbone.arch': 's1',
    'model.backbone.pretrained': False,
    'model.decode_head.decoder_options': dict(decoder_channels=(128, 96, 64, 32, 16, 8)),
    'train_dataloader.dataset.pipeline.0.keep_mib': 64,
    'train_dataloader.dataset.pipeline.1.keep_mib': 64,
    'train_dataloader.dataset.pipeline.2.crop_size': 128,
    'train_dataloader.batch_size': 4,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'default_hooks.logger.interval': 20,
    'default_hooks.visualization.num_pictures': 1,
}
step_options = {
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1 / 5,
    'default_hooks.checkpoint.interval': 1 / 5,
    'param_scheduler.0.end': 1 / 10,
    'param_scheduler.1.begin': 1 / 10,
    'param_scheduler.1.end': 1,
    'param_scheduler.1.T_max': 9 / 10,
}
num_panels = 6
num_processes = 2
