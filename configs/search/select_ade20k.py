"""Semantic FPN on ADE20K: which backbone, at which image size, with which neck and head, keeps a latency budget.

    tools/search.py configs/search/select_ade20k.py --budget-ms 15

All backbones start from the ImageNet weights that the authors or timm have published.
"""

title = 'Semantic FPN on ADE20K, of networks with published weights'
config = 'configs/mobilenetv3_fpn_ade20k.py'  # the data, the head, the recipe; the backbone is replaced
score = 'mIoU'
four_levels = {'model.neck.num_outs': 4, 'model.decode_head.in_index': [0, 1, 2, 3]}
five_levels = {'model.neck.num_outs': 5, 'model.decode_head.in_index': [0, 1, 2, 3, 4]}
six_levels = dict(out_indices=(1, 2, 3, 4, 5), pretrained=True)  # from stride 4 on
space = dict(
    select=dict(
        backbone={
            **{
                f'shvit_{arch}': {'model.backbone': dict(type='SHViT', arch=arch, **six_levels), **five_levels}
                for arch in ('s1', 's2', 's3', 's4')
            },
            **{
                f'efficientvit_msra_{arch}': {
                    'model.backbone': dict(type='EfficientViTMSRA', arch=arch, **six_levels),
                    **five_levels,
                }
                for arch in ('m0', 'm2', 'm4')
            },
            **{
                f'efficientvit_mit_{arch}': {
                    'model.backbone': dict(type='EfficientViTMIT', arch=arch, pretrained=True),
                    **four_levels,
                }
                for arch in ('b0', 'b1', 'b2')
            },
            **{
                f'efficientmod_{arch}': {
                    'model.backbone': dict(type='EfficientMod', arch=arch, pretrained=True),
                    **four_levels,
                }
                for arch in ('xxs', 'xs', 's')
            },
            **{
                name: {'model.backbone': dict(type='TimmBackbone', arch=arch, pretrained=True), **four_levels}
                for name, arch in dict(
                    mobilenetv3='mobilenetv3_large_100', repvit_m1_1='repvit_m1_1', cpubone_b0='cpubone_b0_bfrobust'
                ).items()
            },
        },
        neck={str(width): {'model.neck.out_channels': width} for width in (64, 128, 256)},
        head={str(width): {'model.decode_head.channels': width} for width in (64, 128)},
    ),
    image_scales=(0.5, 0.75, 1.0),
    precisions=('bf16',),
)
proposals = 96
population = 16
proposal_length = 0.1
rungs = ((0.3, 9), (1.0, 3))
final_seeds = (0, 1, 2)
hand_made = {
    name: dict(config=f'configs/{name}_fpn_ade20k.py')
    for name in (
        'shvit',
        'efficientvit_msra_m4',
        'efficientvit_mit_b2',
        'efficientmod_s',
        'efficientmod_s_conv',
        'mobilenetv3',
        'repvit_m1_1',
        'cpubone_b0',
    )
}
first = [  # most of those, as they are
    dict(backbone=backbone, neck='256', head='128', image_scale=1.0)
    for backbone in (
        'shvit_s4',
        'efficientvit_msra_m4',
        'efficientvit_mit_b2',
        'efficientmod_s',
        'mobilenetv3',
        'repvit_m1_1',
        'cpubone_b0',
    )
]
del four_levels, five_levels, six_levels
