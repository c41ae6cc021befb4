import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from projects.efficient_models.backbones import EfficientViTMIT
from projects.efficient_models.decode_heads import EfficientViTHead


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')  # as in the configs of segmentors; mmdet's losses have the same names


def head(width, depth, num_classes, final_expand=None, **options):
    return dict(head_width=width, head_depth=depth, num_classes=num_classes, final_expand=final_expand, **options)


L_CITYSCAPES = {'expand_ratio': 1, 'block': 'fmbconv', 'act': 'gelu', 'norm_eps': 1e-7}
L_ADE20K = L_CITYSCAPES | {'expand_ratio': 4}
HEADS = {
    ('b0', 'cityscapes'): head(32, 1, 19, 4),
    ('b1', 'cityscapes'): head(64, 3, 19, 4),
    ('b2', 'cityscapes'): head(96, 3, 19, 4),
    ('b3', 'cityscapes'): head(128, 3, 19, 4),
    ('l1', 'cityscapes'): head(256, 3, 19, **L_CITYSCAPES),
    ('l2', 'cityscapes'): head(256, 5, 19, **L_CITYSCAPES),
    ('b1', 'ade20k'): head(64, 3, 150),
    ('b2', 'ade20k'): head(96, 3, 150),
    ('b3', 'ade20k'): head(128, 3, 150),
    ('l1', 'ade20k'): head(128, 3, 150, 8, **L_ADE20K),
    ('l2', 'ade20k'): head(128, 3, 150, 8, **L_ADE20K),
}
# Millions of parameters of backbone and head, as the authors publish them, rounded to two digits; the last digit may
# differ by one, because some are cut off rather than rounded. Where their code was counted, the exact figure.
PUBLISHED_M = {
    ('b3', 'cityscapes'): 40, ('l1', 'cityscapes'): 40, ('l2', 'cityscapes'): 53,
}  # fmt: skip
COUNTED_M = {
    ('b0', 'cityscapes'): 0.71, ('b1', 'cityscapes'): 4.80, ('b2', 'cityscapes'): 15.32, ('b1', 'ade20k'): 4.79,
    ('b2', 'ade20k'): 15.29, ('b3', 'ade20k'): 39.55, ('l1', 'ade20k'): 40.41, ('l2', 'ade20k'): 51.46,
}  # fmt: skip
GOLDEN = [('b0', 'cityscapes'), ('b1', 'ade20k'), ('l1', 'ade20k')]


def build(arch, dataset):
    backbone = EfficientViTMIT(arch)
    config = HEADS[arch, dataset]
    return backbone, MODELS.build(
        dict(type='EfficientViTHead', in_channels=backbone.out_channels[1:], in_index=(1, 2, 3), **config)
    )


def small_head(**options):
    config = head(8, 2, 5, 4) | options
    return EfficientViTHead(in_channels=(6, 10, 12), in_index=(1, 2, 3), **config)


def maps(height, width, channels=(4, 6, 10, 12)):
    """Maps at strides 4, 8, 16 and 32 of an image."""
    return [
        torch.randn(2, c, -(-height // stride), -(-width // stride))
        for c, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


# Parity with the authors


@pytest.mark.parametrize(('arch', 'dataset'), GOLDEN)
def test_golden_logits(golden, tmp_path, arch, dataset):
    """From one checkpoint of the authors, by `pretrained` and `init_cfg`; of epsilons, see the backbone's test."""
    name = f'efficientvit_seg_{arch}_{dataset}'
    checkpoint = str(tmp_path / 'authors.pt')
    torch.save({'state_dict': golden.weights(name)}, checkpoint)
    backbone = EfficientViTMIT(arch, pretrained=checkpoint)
    pretrained = {'type': 'Pretrained', 'checkpoint': checkpoint, 'prefix': 'head.'}
    config = HEADS[arch, dataset] | {'init_cfg': pretrained, 'norm_eps': 1e-5}
    decode_head = EfficientViTHead(in_channels=backbone.out_channels[1:], in_index=(1, 2, 3), **config)
    decode_head.init_weights()
    segmentor = nn.Sequential(backbone, decode_head).eval()
    assert golden.largest_error(name, lambda image: (segmentor(image),)) < 1e-5


@pytest.mark.parametrize(('arch', 'dataset'), GOLDEN)
@pytest.mark.parametrize('prefix', ['', 'decode_head.'])
def test_authors_keys_map_one_to_one(golden, assert_keys_map_one_to_one, arch, dataset, prefix):
    """They load strictly, too."""
    weights = golden.weights(f'efficientvit_seg_{arch}_{dataset}')
    theirs = {key.removeprefix('head.'): value for key, value in weights.items() if key.startswith('head.')}
    _, decode_head = build(arch, dataset)
    assert_keys_map_one_to_one(decode_head, {key: list(value.shape) for key, value in theirs.items()})
    module = nn.ModuleDict({'decode_head': decode_head}) if prefix else decode_head
    missing, unexpected = module.load_state_dict({prefix + k: v for k, v in theirs.items()}, strict=False)
    assert not unexpected
    assert all(key.endswith('num_batches_tracked') for key in missing)
    torch.testing.assert_close(decode_head.input_convs[2].conv.weight, theirs['input_ops.0.op_list.0.conv.weight'])


@pytest.mark.parametrize(('arch', 'dataset'), HEADS)
def test_parameters(arch, dataset):
    with torch.device('meta'):
        modules = build(arch, dataset)
    millions = sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6
    if (arch, dataset) in COUNTED_M:
        assert round(millions, 2) == COUNTED_M[arch, dataset]
    else:
        assert millions == pytest.approx(PUBLISHED_M[arch, dataset], abs=1)


# Behaviour


@pytest.mark.parametrize('size', [(64, 96), (97, 131), (32, 32), (333, 500)], ids=str)
@pytest.mark.parametrize('final_expand', [None, 4])
def test_forward_step_by_step(randomize, size, final_expand):
    """Written out with the layers; sides that are no multiples of 32 are enlarged to the stride-8 map's size."""
    decode_head = randomize(small_head(final_expand=final_expand)).eval()
    inputs = maps(*size)
    with torch.inference_mode():
        c8, c16, c32 = (conv(x) for conv, x in zip(decode_head.input_convs, inputs[1:], strict=True))
        for x in (c16, c32):
            c8 = c8 + F.interpolate(x, size=inputs[1].shape[2:], mode='bicubic')
        for block in decode_head.blocks:
            c8 = c8 + block.main.point_conv(block.main.depth_conv(block.main.inverted_conv(c8)))
        if final_expand:
            c8 = F.hardswish(decode_head.final_conv.norm(decode_head.final_conv.conv(c8)))
        logits = decode_head(inputs)
        assert logits.shape == (2, 5, -(-size[0] // 8), -(-size[1] // 8))
        torch.testing.assert_close(logits, decode_head.conv_seg(c8), rtol=1e-5, atol=1e-5)


def test_inputs_keep_their_values(randomize):
    decode_head = randomize(small_head()).eval()
    inputs = maps(64, 64)
    before = [x.clone() for x in inputs]
    with torch.inference_mode():
        decode_head(inputs)
    assert all(torch.equal(x, old) for x, old in zip(inputs, before, strict=True))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(randomize, dtype):
    """Under autocast and with weights in half precision; interpolation is in float32 in between."""
    decode_head = randomize(small_head()).eval()
    inputs = maps(96, 96)
    with torch.inference_mode():
        expected = decode_head(inputs)
        with torch.autocast('cpu', dtype=dtype):
            autocast = decode_head(inputs)
        half = decode_head.to(dtype)([x.to(dtype) for x in inputs])
    for logits in (autocast, half):
        assert logits.dtype == dtype
        error = (logits.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert error < 10 * torch.finfo(dtype).eps


def test_activation_and_epsilon():
    decode_head = small_head(act='gelu', block='fmbconv', norm_eps=1e-7)
    x = torch.linspace(-4, 4, 33)
    expected = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    torch.testing.assert_close(decode_head.final_conv.act(x), expected)
    torch.testing.assert_close(decode_head.blocks[0].main.spatial_conv.act(x), expected)
    assert decode_head.blocks[0].main.spatial_conv.conv.kernel_size == (3, 3)
    assert {module.eps for module in decode_head.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-7}
    assert {module.eps for module in small_head().modules() if isinstance(module, nn.BatchNorm2d)} == {1e-5}


def test_loss_and_gradients(randomize):
    decode_head = randomize(small_head())
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 97, 131))))
    losses = decode_head.loss(maps(97, 131), [sample, sample], {})
    losses['loss_ce'].backward()
    assert losses['loss_ce'].isfinite()
    assert not [name for name, parameter in decode_head.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    ('meta', 'size'),
    [
        ({'img_shape': (97, 131)}, (97, 131)),
        ({'img_shape': (97, 131), 'pad_shape': (128, 160)}, (128, 160)),
        ({'img_shape': (97, 131, 3), 'pad_shape': (128, 160, 3)}, (128, 160)),
        ({'img_shape': torch.Size((64, 64)), 'pad_shape': (128, 160)}, (64, 64)),
    ],
    ids=['image', 'padded', 'with channels', 'sliding window'],
)
def test_prediction_is_bicubic(randomize, meta, size):
    decode_head = randomize(small_head()).eval()
    inputs = maps(97, 131)
    with torch.inference_mode():
        prediction = decode_head.predict(inputs, [meta, meta], {})
        torch.testing.assert_close(prediction, F.interpolate(decode_head(inputs), size=size, mode='bicubic'))


def test_dropout_precedes_the_classifier(randomize):
    assert small_head().dropout is None
    decode_head = randomize(small_head(dropout_ratio=0.5))
    assert not torch.equal(decode_head(maps(64, 64)), decode_head(maps(64, 64)))
    seen = []
    decode_head.dropout.register_forward_hook(lambda *args: seen.append(args[2]))
    decode_head.conv_seg.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    decode_head(maps(64, 64))
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'block': 'conv'}, "block .*mbconv, fmbconv.*'conv'"),
        ({'act': 'relu'}, "act .*hswish, gelu.*'relu'"),
        ({'in_index': (3, 2, 1)}, r'finest first.*in_index=\(3, 2, 1\)'),
        ({'in_index': (1, 2)}, r'one index for each.*in_channels=\(6, 10, 12\)'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        EfficientViTHead(**({'in_channels': (6, 10, 12), 'in_index': (1, 2, 3)} | head(8, 2, 5) | options))


def test_inside_a_segmentor():
    """mmseg builds backbone and head by their names, and predicts at the image's size."""
    config = ConfigDict(
        type='mmseg.EncoderDecoder',
        data_preprocessor={'type': 'mmseg.SegDataPreProcessor'},
        backbone={'type': 'EfficientViTMIT', 'arch': 'b0'},
        decode_head=dict(type='EfficientViTHead', in_channels=(32, 64, 128), in_index=(1, 2, 3), **head(32, 1, 19, 4)),
        test_cfg={'mode': 'whole'},
    )
    segmentor = MODELS.build(config).eval()
    with torch.inference_mode():
        (sample,) = segmentor(torch.randn(1, 3, 97, 131), mode='predict')
    assert sample.seg_logits.data.shape == (19, 97, 131)
