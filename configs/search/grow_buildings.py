"""U-Net on building tiles: which mixer pyramid, of which widths, depths, stem and mixers, keeps a latency budget.

    tools/search.py configs/search/grow_buildings.py --budget-ms 30 --cfg-options score=building/high-rise/f1

The space and the way are those of `grow_ade20k.py`; tiles keep their size. Any score of the evaluator may be maximised,
that of a height class too.
"""

_base_ = 'grow_ade20k.py'

title = 'U-Net on building tiles, of mixer pyramids'
config = 'configs/buildings/shvit_unet_tiles.py'
score = 'building/f1'
space = dict(image_size=(512, 512), image_scales=(1.0,))
hand_made = dict(
    _delete_=True,
    shvit_s4=dict(config='configs/buildings/shvit_unet_tiles.py'),
    efficientnet_lite0=dict(config='configs/buildings/efficientnet_lite0_unet_tiles.py'),
    mixer_mixed=dict(
        config='configs/buildings/shvit_unet_tiles.py',
        options={
            'model.backbone': dict(
                type='MixerPyramid',
                arch='tiny',
                mixers=('convolution', 'window', 'cross_covariance', 'softmax'),
                image_size=(512, 512),
            )
        },
    ),
    turbovit_style=dict(
        config='configs/buildings/shvit_unet_tiles.py',
        options={
            'model.backbone': dict(
                type='MixerPyramid',
                arch=dict(dims=(64, 128, 256, 512), depths=(1, 2, 7, 2)),
                mixers=('window', 'window', 'softmax', 'softmax'),
                image_size=(512, 512),
            )
        },
    ),
)
