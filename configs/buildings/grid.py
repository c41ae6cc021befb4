"""The benchmark of arXiv 2311.03867: 43 lightweight encoders, seven decoders, nine losses, five optimisers.

    tools/benchmark_grid.py configs/buildings/grid.py --encoders all --decoders Unet FPN --num-processes 4

The paper names the families of its encoders, not the 43; these are members of all its families that timm has, below 30
million parameters. It varies one axis at a time; so does `--one-by-one`. An axis that is not given keeps its default.
The learning rates are ours (the paper's are not published): of the usual ones of torch, 1e-3 for Adam as in the
authors' workshop code, each network takes a third, all or three times, as its validation says on a replicate of its
own. Days of a GPU; `grid_lite0.py` is a part of it for a processor.
"""

title = 'Encoders, decoders, losses and optimisers on small clean data'
config = 'configs/buildings/shvit_unet_scenes_student.py'
encoders = (
    'resnet18', 'resnet34', 'densenet121', 'mobilenetv1_100', 'mobilenetv2_100', 'mobilenetv3_small_100',
    'mobilenetv3_large_100', 'mnasnet_100', 'efficientnet_b0', 'efficientnet_b1', 'efficientnet_b2', 'efficientnet_b3',
    'tf_efficientnet_lite0', 'tf_efficientnet_lite1', 'tf_efficientnetv2_b0', 'tf_efficientnetv2_b1',
    'tf_efficientnetv2_b2', 'tf_efficientnetv2_b3', 'skresnet18', 'dpn68', 'resnest14d', 'gernet_s', 'gernet_m',
    'gernet_l', 'mobileone_s0', 'mobileone_s1', 'mobileone_s2', 'mobileone_s3', 'mobileone_s4', 'hrnet_w18_small',
    'mobilevit_xxs', 'mobilevit_xs', 'mobilevit_s', 'fbnetc_100', 'hardcorenas_a', 'mixnet_s', 'mixnet_m', 'mixnet_l',
    'tinynet_a', 'tinynet_b', 'tinynet_c', 'tinynet_d', 'tinynet_e',
)  # fmt: skip
decoders = ('Unet', 'UnetPlusPlus', 'Linknet', 'PSPNet', 'FPN', 'DeepLabV3Plus', 'MAnet')
losses = (
    'jaccard', 'dice', 'binary_focal', 'binary_crossentropy', 'bce+dice', 'bce+jaccard', 'focal+dice', 'focal+jaccard',
    'total',
)  # fmt: skip
optimizers = dict(
    Adam=dict(lr=1e-3),
    SGD=dict(lr=1e-2, momentum=0.9),
    RMSprop=dict(lr=1e-4),
    Adagrad=dict(lr=1e-2),
    NAdam=dict(lr=1e-3),
)
default = dict(encoders='tf_efficientnetv2_b3', decoders='Unet', losses='dice', optimizers='Adam')
rates = (0.3, 1.0, 3.0)
steps = 5000
replicates = 5
data = dict(
    type='RenderedScenes',
    city=dict(
        footprints=['data/melbourne/buildings.gpkg'],
        height_column='structure_height_m',
        structure_column='structure_id',
        otherwise=dict(size_m=2000, seed=0),
    ),
    gsd_m=0.3,
    tile_px=512,
    domains=dict(
        target=dict(num_tiles=800, off_nadir_deg=(0, 10), label='roof'),
        val=dict(num_tiles=40, off_nadir_deg=(0, 10), label='roof'),
        test=dict(num_tiles=36, off_nadir_deg=(0, 10), label='roof'),
    ),
    ground_shares=dict(target=4, val=1, test=3),
)
options = {'default_hooks.checkpoint.max_keep_ckpts': 1}
step_options = {
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1 / 5,
    'default_hooks.checkpoint.interval': 1 / 5,
    'param_scheduler.0.end': 1 / 40,
    'param_scheduler.1.begin': 1 / 40,
    'param_scheduler.1.end': 1,
    'param_scheduler.1.T_max': 39 / 40,
}
num_panels = 0
num_processes = 1
