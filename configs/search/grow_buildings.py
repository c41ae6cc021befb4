"""U-Net on building tiles: which mixer pyramid, of which widths, depths, stem and mixers, keeps a latency budget.

    tools/search.py configs/search/grow_buildings.py --budget-ms 30 --cfg-options score=building/high-rise/f1

Any score of the evaluator may be maximised, that of a height class too. All are trained from random weights, as
imagery of other bands needs it.
"""

title = 'U-Net on building tiles, of mixer pyramids'
config = 'configs/buildings/shvit_unet_tiles.py'
score = 'building/f1'
space = dict(
    dims=((32, 64), (64, 96, 128), (96, 160, 256), (128, 256, 512)),
    depths=((1, 2), (1, 2, 3), (1, 2, 4, 7), (1, 2)),
    mixers=(
        ('convolution', 'window'),
        ('convolution', 'window', 'relu_linear'),
        ('convolution', 'window', 'cross_covariance', 'softmax'),
        ('convolution', 'cross_covariance', 'softmax'),
    ),
    stem_strides=(4, 8),
    image_size=(512, 512),
    precisions=('bf16',),
)
proposals = 240
population = 24
proposal_length = 1.0  # of the supernet
rungs = ((0.3, 8), (1.0, 3))
final_seeds = (0, 1, 2)
hand_made = {
    'shvit_s4': dict(config='configs/buildings/shvit_unet_tiles.py'),
    'efficientnet_lite0': dict(config='configs/buildings/efficientnet_lite0_unet_tiles.py'),
    **{
        name: dict(
            config='configs/buildings/shvit_unet_tiles.py',
            options={'model.backbone': dict(type='MixerPyramid', arch=arch, mixers=mixers, image_size=(512, 512))},
        )
        for name, arch, mixers in (
            ('mixer_mixed', 'tiny', ('convolution', 'window', 'cross_covariance', 'softmax')),
            (
                'turbovit_style',
                dict(dims=(64, 128, 256, 512), depths=(1, 2, 7, 2)),
                ('window', 'window', 'softmax', 'softmax'),
            ),
        )
    },
}
