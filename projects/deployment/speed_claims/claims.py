"""What the papers claim about speed."""

from typing import Any

from .rule import Claim, Network, Unmeasured


def _timm(name: str, arch: str, side: int = 224) -> Network:
    return Network(name, f'timm:{arch}', side)


def _backbone(name: str, arch: str, side: int, kind: str = 'TimmBackbone') -> Network:
    return Network(name, f'backbone:{kind}/{arch}', side)


MSRA = 'EfficientViT (MSRA), [2305.07027](https://arxiv.org/abs/2305.07027)'
SHVIT = 'SHViT, [2401.16456](https://arxiv.org/abs/2401.16456)'
MOD = 'EfficientMod, [2403.19963](https://arxiv.org/abs/2403.19963)'
MIT = 'EfficientViT (MIT), [2205.14756](https://arxiv.org/abs/2205.14756)'
TURBO = 'TurboViT, [2308.11421](https://arxiv.org/abs/2308.11421)'

M2, M4, M5 = (_timm(f'EfficientViT-M{size}', f'efficientvit_m{size}') for size in (2, 4, 5))
S1, S2, S3 = (_timm(f'SHViT-S{size}', f'shvit_s{size}') for size in (1, 2, 3))
S4_512 = _backbone('SHViT-S4 backbone', 's4', 512, 'SHViT')
MOBILEVITV2 = _timm('MobileViTv2-1.0', 'mobilevitv2_100', 256)
MOD_S = _backbone('EfficientMod-s backbone', 's', 224, 'EfficientMod')
TABLE_5 = 'Table 5, ratio of latencies'
TABLE_5_PEERS = {  # milliseconds of an image on an A100, a Xeon and an iPhone 12; SHViT-S4: 0.28, 5.0, 3.3
    ('FastViT-SA12', 'fastvit_sa12'): (1.06, 39.4, 6.5),
    ('EfficientFormer-L1', 'efficientformer_l1'): (0.84, 21.0, 4.3),
    ('PoolFormer-S12', 'poolformer_s12'): (1.20, 40.4, 6.8),
    ('ResNet-50', 'resnet50'): (0.94, 19.0, 8.8),
    ('EfficientNet-B0', 'efficientnet_b0'): (0.54, 16.7, 3.8),
    ('MobileNetV3-Large', 'mobilenetv3_large_100'): (0.34, 7.5, 7.5),
    ('PVTv2-B0', 'pvt_v2_b0'): (0.73, 115.4, 27.5),
    ('EfficientViT-M4', 'efficientvit_m4'): (0.33, 7.3, 7.8),
}


def _segmentor(backbone: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    head = {'num_classes': 19, **head}
    return {'type': 'mmseg.EncoderDecoder', 'backbone': backbone, 'decode_head': head, 'test_cfg': {'mode': 'whole'}}


SEGFORMER_B5 = Network(
    'SegFormer-B5',
    _segmentor(
        {
            'type': 'mmseg.MixVisionTransformer',
            'num_layers': [3, 6, 40, 3],
            'embed_dims': 64,
            'num_heads': [1, 2, 5, 8],
            'sr_ratios': [8, 4, 2, 1],
        },
        {
            'type': 'mmseg.SegformerHead',
            'in_channels': [64, 128, 320, 512],
            'in_index': [0, 1, 2, 3],
            'channels': 256,
            'norm_cfg': {'type': 'BN'},
            'align_corners': False,
        },
    ),
    512,
)
EFFICIENTVIT_L1_SEG = Network(
    'EfficientViT-L1 segmentor',
    _segmentor(
        {'type': 'EfficientViTMIT', 'arch': 'l1', 'norm_eps': 1e-7, 'out_indices': (2, 3, 4)},
        {
            'type': 'EfficientViTHead',
            'in_channels': [128, 256, 512],
            'in_index': [0, 1, 2],
            'head_width': 256,
            'head_depth': 3,
            'expand_ratio': 1,
            'block': 'fmbconv',
            'act': 'gelu',
            'norm_eps': 1e-7,
        },
    ),
    512,
)

CLAIMS: dict[str, list[Claim]] = {  # by group: the claims of a group are timed in turns
    'EfficientViT (MSRA)': [
        Claim(MSRA, 'abstract', M5, _timm('MobileNetV3-Large', 'mobilenetv3_large_100'), {'GPU': 1.404, 'CPU': 1.452}),
        Claim(
            MSRA,
            'abstract',
            M2,
            _timm('MobileViT-XXS', 'mobilevit_xxs', 256),
            {'GPU': 5.8, 'CPU': 3.7, 'ONNX': 7.4},
        ),
    ],
    'SHViT': [
        Claim(
            SHVIT,
            'abstract',
            _timm('SHViT-S4', 'shvit_s4', 256),
            MOBILEVITV2,
            {'GPU': 3.3, 'CPU': 8.1, 'iPhone 12': 2.4},
        ),
        Claim(SHVIT, 'main table, ratio of throughputs', S1, M2, {'GPU': 33489 / 30377}),
        Claim(SHVIT, 'main table, ratio of throughputs', S2, M4, {'GPU': 26878 / 26201}),
        Claim(SHVIT, 'main table, ratio of throughputs', S3, M5, {'GPU': 20522 / 18722}),
    ],
    'SHViT at 512x512': [
        Claim(
            SHVIT,
            f'{TABLE_5}; abstract' if arch == 'fastvit_sa12' else TABLE_5,
            S4_512,
            _backbone(f'{name} backbone', arch, 512),
            {'GPU': gpu / 0.28, 'CPU': cpu / 5.0, 'iPhone 12': phone / 3.3},
        )
        for (name, arch), (gpu, cpu, phone) in TABLE_5_PEERS.items()
    ],
    'EfficientMod': [
        Claim(
            MOD,
            'abstract',
            MOD_S,
            _backbone('EfficientFormerV2-S2 backbone', 'efficientformerv2_s2', 224),
            {'GPU': 1.25},
        ),
        Claim(
            MOD,
            'abstract: the same latency',
            MOD_S,
            _backbone('MobileViTv2-1.0 backbone', 'mobilevitv2_100', 256),
            {'GPU': 1.0},
        ),
        Claim(
            MOD,
            'main table, ratio of latencies; the processor by ONNX, 4 threads',
            MOD_S,
            _backbone('EfficientMod-s-Conv backbone', 's_conv', 224, 'EfficientMod'),
            {'GPU': 5.8 / 5.5, 'ONNX': 25.0 / 23.5},
        ),
    ],
    'EfficientViT (MIT)': [
        Claim(
            MIT,
            'authors’ repository, ratio of throughputs at similar accuracy, TensorRT',
            _timm('EfficientViT-L1', 'efficientvit_l1'),
            _timm('EfficientNetV2-S', 'efficientnetv2_s', 384),
            {'A100': 6207 / 2869},
        ),
        Claim(
            MIT,
            'authors’ repository, ratio of throughputs at similar accuracy, TensorRT',
            _timm('EfficientViT-L2', 'efficientvit_l2', 256),
            _timm('EfficientNetV2-M', 'efficientnetv2_m', 480),
            {'A100': 3969 / 1160},
        ),
    ],
    'EfficientViT (MIT), segmentation': [
        Claim(
            MIT,
            'abstract: up to; Cityscapes',
            EFFICIENTVIT_L1_SEG,
            SEGFORMER_B5,
            {'GPU': 13.9},
            'the abstract names no sizes; this pair is the likely one. Claimed at 1024x2048, measured at 512x512, '
            'where attention weighs less',
        ),
    ],
}

# Images per call, as the authors measured on a processor; elsewhere 1. Table 5 has 16 too, which would take an hour.
BATCH_SIZES = {'EfficientViT (MSRA)': 16, 'SHViT': 16}

UNMEASURED = [
    Unmeasured(SHVIT, 'Table 5: 3.1 and 3.2 times as fast as EdgeViT-XXS and Mobile-Former-508M on a GPU, 7.7 and 7.1 '
               'times on a CPU', 'neither peer is in timm'),
    Unmeasured(MIT, '6.2 times lower latency than SegNeXt (up to)', 'the abstract names no sizes'),
    Unmeasured(MIT, '6.4 times as fast as Restormer; 48.9 times the throughput of Segment Anything', 'other tasks'),
    Unmeasured(MIT, '3 times as fast as EfficientNet on a phone (second version of the preprint)', 'later versions '
               'replaced those networks; no code or weights were published'),
    Unmeasured(TURBO, '3.21 times lower latency and 3.18 times the throughput of FasterViT-0', 'no code of the network '
               'was published, and its peer is not in timm'),
]  # fmt: skip
