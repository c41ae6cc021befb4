"""RetinaNet on COCO: which backbone, at which image size, with which neck and head, keeps a latency budget.

    tools/search.py configs/search/select_coco.py --budget-ms 200 --threads 2

All backbones start from the ImageNet weights that the authors or timm have published.
"""

title = 'RetinaNet on COCO, of networks with published weights'
config = 'configs/efficientvit_mit_b2_retinanet_coco.py'  # the data, the head, the recipe; the backbone is replaced
score = 'coco/bbox_mAP'
widths = ('model.neck.out_channels', 'model.bbox_head.in_channels', 'model.bbox_head.feat_channels')
space = dict(
    select=dict(
        backbone={
            name: {'model.backbone': dict(norm_eval=True, pretrained=True, **backbone)}
            for name, backbone in dict(
                efficientvit_mit_b0=dict(type='EfficientViTMIT', arch='b0'),
                efficientvit_mit_b1=dict(type='EfficientViTMIT', arch='b1'),
                efficientvit_mit_b2=dict(type='EfficientViTMIT', arch='b2'),
                efficientmod_xxs=dict(type='EfficientMod', arch='xxs'),
                efficientmod_xs=dict(type='EfficientMod', arch='xs'),
                efficientmod_s=dict(type='EfficientMod', arch='s'),
                mobilenetv3=dict(type='TimmBackbone', arch='mobilenetv3_large_100'),
                repvit_m1_1=dict(type='TimmBackbone', arch='repvit_m1_1'),
                efficientformerv2_s2=dict(type='TimmBackbone', arch='efficientformerv2_s2'),
                cpubone_b0=dict(type='TimmBackbone', arch='cpubone_b0_bfrobust'),
            ).items()
        },
        width={str(width): dict.fromkeys(widths, width) for width in (64, 128, 256)},
        convolutions={str(number): {'model.bbox_head.stacked_convs': number} for number in (2, 4)},
    ),
    image_scales=(0.5, 0.6, 0.75, 1.0),
    precisions=('bf16',),
)
proposals = 96
population = 16
proposal_length = 1 / 12  # one epoch
rungs = ((0.25, 9), (1.0, 3))
final_seeds = (0, 1, 2)
hand_made = {
    name: dict(config=f'configs/{name}_retinanet_coco.py')
    for name in ('shvit', 'efficientvit_mit_b2', 'efficientmod_s', 'mobilenetv3', 'repvit_m1_1', 'cpubone_b0')
}
first = [  # most of those, as they are
    dict(backbone=backbone, width='256', convolutions='4', image_scale=1.0)
    for backbone in ('efficientvit_mit_b2', 'efficientmod_s', 'mobilenetv3', 'repvit_m1_1', 'cpubone_b0')
]
del widths
