"""From rendered scenes to real drone tiles: what ImageNet weights, scenes and clean tiles are each worth.

    tools/transfer_study.py configs/buildings/study_real.py

The target are the 32 tiles of Banepa, Nepal (data/README.md), 0.13 m a pixel, labelled with roofs; the source are
scenes of an invented dense quarter at that resolution, near nadir, labelled with roofs too. Each of three replicates
tests on two rows of tiles, is validated on the row beside them and learns from the 20 others, or from 4 or 16 of them;
the last two rows are for the validation by which two trials choose the rates. All methods train U-Net on
EfficientNet-Lite0 by the recipe of `efficientnet_lite0_unet_drone.py`. Some five hours of one core in bfloat16; on a
GPU `study_realgpu.py`.
"""

title = 'From rendered scenes to real drone tiles'
data = dict(
    type='RealTiles',
    tiles='data/banepa/labelled',
    labels='data/banepa/buildings.geojson',
    num_strips=4,
    city=dict(otherwise=dict(size_m=700, seed=0, pattern='dense')),
    source=dict(num_tiles=48, off_nadir_deg=(0, 12), label='roof', style='dense'),
    gsd_m=0.132,
    tile_px=512,
)
replicates = 3
config = 'configs/buildings/efficientnet_lite0_unet_drone.py'
scenes, real = (dict(img_path=f'{split}/images', seg_map_path=f'{split}/masks') for split in ('source', 'target'))
on_scenes, on_real = ({'train_dataloader.dataset.data_prefix': prefix} for prefix in (scenes, real))
untrained = {
    'model.backbone.pretrained': False,
    'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 1.0,
}
rates = [{'optim_wrapper.optimizer.lr': rate} for rate in (1e-3, 2e-3)]
methods = dict(
    random=dict(
        title='Random',
        description='real tiles alone, from random weights',
        config=config,
        options=on_real | untrained,
        steps=240,
        trials=rates,
    ),
    imagenet=dict(
        title='ImageNet',
        description='real tiles alone, from ImageNet weights',
        config=config,
        options=on_real,
        steps=240,
        trials=rates,
    ),
    scenes=dict(
        title='Scenes',
        description='scenes alone, from random weights, used as it is',
        config=config,
        on='source',
        options=on_scenes | untrained,
        steps=120,
        trials=rates,
    ),
    scenes_real=dict(
        title='Scenes, SDA',
        description='random weights, then scenes, then real tiles',
        config=config,
        teacher=dict(method='scenes', options={'load_from': 'checkpoint'}),
        options=on_real | untrained,
        steps=120,
        trials=rates,
    ),
    teacher=dict(
        title='ImageNet, scenes',
        description='scenes alone, from ImageNet weights, used as it is',
        config=config,
        on='source',
        options=on_scenes,
        steps=120,
        trials=rates,
    ),
    sda=dict(
        title='ImageNet, scenes, SDA',
        description='supervised domain adaptation: ImageNet weights, then scenes, then real tiles',
        config=config,
        teacher=dict(method='teacher', options={'load_from': 'checkpoint'}),
        options=on_real,
        steps=120,
        trials=rates,
    ),
    mixed=dict(
        title='ImageNet, mixed',
        description='scenes and real tiles together, about half of each',
        config=config,
        on='both',
        options=on_scenes
        | {'train_dataloader.dataset.type': 'MixedDataset', 'train_dataloader.dataset.of': 'BuildingTileDataset'},
        steps=240,
        trials=rates,
    ),
    kd=dict(
        title='ImageNet, KD',
        description='knowledge distillation: real tiles, and towards the teacher of scenes',
        config=config,
        teacher=dict(
            method='teacher', options={'model.teacher.checkpoint': 'checkpoint', 'model.teacher.config': 'config'}
        ),
        options=on_real | {'model.type': 'DistilledSegmentor', 'model.temperature': 2.0, 'model.alpha': 0.25},
        steps=120,
        trials=[{'model.alpha': 0.25}, {'model.alpha': 0.1}],
    ),
    dml=dict(
        title='ImageNet, DML',
        description='deep mutual learning: two networks on real tiles, and towards each other',
        config=config,
        options=on_real
        | {
            'model.type': 'MutualLearningSegmentor',
            'model.peer': None,
            'model.weight': 1.0,
            'model.predict_with': 'first',
            'default_hooks.peer': dict(type='PeerApart'),
        },
        steps=120,
        networks=2,
        trials=[{'model.weight': 1.0}, {'model.weight': 0.3}],
    ),
)
del config, scenes, real, on_scenes, on_real, untrained, rates
axes = dict(
    tiles=dict(
        title='Clean real tiles',
        changes=('target',),
        points=[(4, dict(target_tiles=4)), (16, dict(target_tiles=16)), (20, dict())],
        methods=('imagenet', 'sda', 'kd', 'mixed'),
    ),
)
options = {
    'optim_wrapper.type': 'BFloat16OptimWrapper',
    'custom_hooks': [dict(type='EMAHook', momentum=0.02, begin_iter=30, update_buffers=True)],
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'default_hooks.visualization.num_pictures': 1,
}
step_options = {
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1 / 5,
    'default_hooks.checkpoint.interval': 1 / 5,
    'param_scheduler.0.end': 1 / 15,
    'param_scheduler.1.begin': 1 / 15,
    'param_scheduler.1.end': 1,
    'param_scheduler.1.T_max': 14 / 15,
}
num_panels = 6
num_processes = 2
