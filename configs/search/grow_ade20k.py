"""Semantic FPN on ADE20K: which mixer pyramid, of which widths, depths, stem and mixers, keeps a latency budget.

    tools/search.py configs/search/grow_ade20k.py --budget-ms 15

All are trained from random weights. The hand-made pyramids are those of this project, and one of the widths, depths
and attention of the TurboViT-style network: windows in the first two stages, all tokens in the last two.
"""

title = 'Semantic FPN on ADE20K, of mixer pyramids'
config = 'configs/mixer_softmax_fpn_ade20k.py'
score = 'mIoU'
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
    image_size=(512, 2048),
    image_scales=(0.75, 1.0),
    precisions=('bf16',),
)
proposals = 240
population = 24
proposal_length = 1.0  # of the supernet
rungs = ((0.3, 8), (1.0, 3))
final_seeds = (0, 1, 2)
hand_made = {
    **{f'mixer_{name}': dict(config=f'configs/mixer_{name}_fpn_ade20k.py') for name in ('softmax', 'window', 'mixed')},
    'turbovit_style': dict(
        config='configs/mixer_softmax_fpn_ade20k.py',
        options={
            'model.backbone.arch': dict(dims=(64, 128, 256, 512), depths=(1, 2, 7, 2)),
            'model.backbone.mixers': ('window', 'window', 'softmax', 'softmax'),
        },
    ),
}
