"""The benchmark of arXiv 2311.03867: 43 lightweight encoders, seven decoders, nine losses, five optimisers.

    tools/benchmark_grid.py configs/buildings/grid.py --encoders all --decoders Unet FPN

The paper names the families of its encoders, not the 43; these are members of all its families that timm has, below 30
million parameters. It varies one axis at a time; so does the command: an axis that is not given keeps its default.
The learning rates are ours (the paper's are not published): the usual ones of torch, 1e-3 for Adam as in the authors'
workshop code.
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
options = {}
num_processes = 1
