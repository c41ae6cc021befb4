import math

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict as mmengine_load_state_dict
from torch import nn
from torch.nn import functional as F

import projects.openmmlab_compat  # noqa: F401  (before mmdet)
from projects.efficient_models.backbones import SHViT
from projects.efficient_models.necks import UpsamplingFPN

RETINANET = {'num_outs': 5, 'num_upsamples': 1, 'add_extra_convs': 'on_input'}
MASK_RCNN = {'num_outs': 5, 'num_upsamples': 2}
CHANNELS = (6, 8, 10)


def ceil_sizes(height, width, strides):
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in strides]


def feature_maps(height, width, strides=(16, 32, 64), channels=CHANNELS):
    sizes = ceil_sizes(height, width, strides)
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


def reference_pyramid(neck, maps, finer_sizes=(None, None)):
    """The pyramid of three maps, written out step by step; `finer_sizes`: of the finer levels, one by one."""
    c4, c5, c6 = maps
    p6 = neck.lateral_convs[2](c6)
    p5 = neck.lateral_convs[1](c5) + F.interpolate(p6, size=c5.shape[2:], mode='nearest')
    p4 = neck.lateral_convs[0](c4) + F.interpolate(p5, size=c4.shape[2:], mode='nearest')
    levels = [p4, p5, p6]
    for upsample, size in zip(neck.upsample_convs, finer_sizes, strict=False):
        finer = upsample(levels[0])
        if size is not None:
            finer = finer[:, :, : size[0], : size[1]]
        levels = [finer, *levels]
    outputs = [conv(level) for conv, level in zip(neck.output_convs, levels, strict=True)]
    if len(neck.extra_convs):
        outputs.append(neck.extra_convs[0](c6))
        outputs += [neck.extra_convs[1](outputs[-1])] if len(neck.extra_convs) > 1 else []
    while len(outputs) < 5:
        outputs.append(outputs[-1][:, :, ::2, ::2])
    return outputs


@pytest.mark.parametrize(
    'options',
    [
        RETINANET,
        MASK_RCNN,
        {'num_outs': 5, 'num_upsamples': 0, 'add_extra_convs': 'on_input'},
        {'num_outs': 5, 'num_upsamples': 0},
        {'num_outs': 5, 'num_upsamples': 1},
    ],
    ids=str,
)
@pytest.mark.parametrize('size', [(128, 192), (97, 131)], ids=str)
def test_equals_the_written_out_pyramid(options, size, randomize):
    neck = randomize(UpsamplingFPN(CHANNELS, 4, **options))
    maps = feature_maps(*size)
    outputs = neck(maps)
    assert isinstance(outputs, tuple)
    assert len(outputs) == 5
    for output, expected in zip(outputs, reference_pyramid(neck, maps), strict=True):
        torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('options', [RETINANET, MASK_RCNN, {'num_outs': 6, 'num_upsamples': 0}], ids=str)
def test_every_parameter_learns(options):
    neck = UpsamplingFPN(CHANNELS, 4, **options)
    sum(output.square().mean() for output in neck(feature_maps(97, 131))).backward()
    assert not [name for name, parameter in neck.named_parameters() if not parameter.grad.abs().sum() > 0]


@pytest.mark.parametrize(
    ('options', 'strides'),
    [(RETINANET, (8, 16, 32, 64, 128)), (MASK_RCNN, (4, 8, 16, 32, 64))],
    ids=['retinanet', 'mask'],
)
def test_exact_sizes_with_finer_levels(options, strides):
    """Every level has ceil(side / stride) cells, whatever the size of the image."""
    neck = UpsamplingFPN((1, 1, *CHANNELS), 4, start_level=2, **options)
    for height in (32, 33, 64, 97, 100, 101, 131, 333):
        width = height + 19
        maps = feature_maps(height, width, (4, 8, 16, 32, 64), (1, 1, *CHANNELS))
        sizes = [tuple(output.shape[2:]) for output in neck(maps)]
        assert sizes == ceil_sizes(height, width, strides)


def test_finer_levels_only_cut(randomize):
    """Rows and columns beyond the image go; no value depends on the finer maps."""
    neck = randomize(UpsamplingFPN((1, 1, *CHANNELS), 4, start_level=2, **MASK_RCNN))
    maps = feature_maps(97, 131, (4, 8, 16, 32, 64), (1, 1, *CHANNELS))
    expected = reference_pyramid(neck, maps[2:], finer_sizes=((13, 17), (25, 33)))
    for output, reference in zip(neck(maps), expected, strict=True):
        torch.testing.assert_close(output, reference)
    others = neck([torch.full_like(maps[0], torch.nan), torch.full_like(maps[1], torch.nan), *maps[2:]])
    assert all(torch.equal(output, other) for output, other in zip(neck(maps), others, strict=True))


def test_one_finer_level_cuts_the_nearest(randomize):
    neck = randomize(UpsamplingFPN((1, *CHANNELS), 4, start_level=1, **MASK_RCNN))
    maps = feature_maps(97, 131, (8, 16, 32, 64), (1, *CHANNELS))
    assert [tuple(output.shape[2:]) for output in neck(maps)] == [(26, 34), (13, 17), (7, 9), (4, 5), (2, 3)]


def test_exact_doubles_without_finer_levels():
    neck = UpsamplingFPN(CHANNELS, 4, **MASK_RCNN)
    assert [tuple(o.shape[2:]) for o in neck(feature_maps(97, 131))] == [(28, 36), (14, 18), (7, 9), (4, 5), (2, 3)]


@pytest.mark.parametrize('add_extra_convs', [False, 'on_input'])
@pytest.mark.parametrize('start_level', [0, 1])
@pytest.mark.parametrize('num_outs', [3, 5])
def test_without_upsampling_equals_mmdet(add_extra_convs, start_level, num_outs):
    fpn_class = pytest.importorskip('mmdet.models.necks').FPN
    options = {'num_outs': num_outs, 'start_level': start_level, 'add_extra_convs': add_extra_convs}
    theirs = fpn_class(list(CHANNELS), 4, **options)
    neck = UpsamplingFPN(CHANNELS, 4, num_upsamples=0, **options)
    neck.load_state_dict(theirs.state_dict())  # the authors kept mmdet's names
    maps = feature_maps(97, 131)
    for output, expected in zip(neck(maps), theirs(maps), strict=True):
        torch.testing.assert_close(output, expected)


def authors_state_dict(num_laterals, num_upsamples, num_extra):
    """Names and shapes of the authors' neck; every tensor is filled with a number of its own."""
    shapes = {}
    for i in range(num_laterals):
        shapes[f'lateral_convs.{i}'] = (4, CHANNELS[i], 1, 1)
    for i in range(num_laterals + num_extra):
        shapes[f'fpn_convs.{i}'] = (4, CHANNELS[-1] if i == num_laterals else 4, 3, 3)
    for i in range(num_upsamples):
        shapes[f'extra_trans_convs.{i}'] = (4, 4, 2, 2)
        shapes[f'extra_fpn_convs.{i}'] = (4, 4, 3, 3)
    state_dict = {}
    for name, shape in shapes.items():
        state_dict[f'{name}.conv.weight'] = torch.full(shape, float(len(state_dict)))
        state_dict[f'{name}.conv.bias'] = torch.full((4,), float(len(state_dict)))
    return state_dict


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, mmengine_load_state_dict])
@pytest.mark.parametrize('options', [RETINANET, MASK_RCNN], ids=['retinanet', 'mask'])
def test_authors_names(load, options):
    neck = MODELS.build(dict(type='UpsamplingFPN', in_channels=CHANNELS, out_channels=4, **options))
    theirs = authors_state_dict(3, options['num_upsamples'], num_extra=1 if options is RETINANET else 0)
    detector = nn.ModuleDict({'neck': neck})
    load(detector, {f'neck.{key}': value for key, value in theirs.items()}, strict=True)

    own = neck.state_dict()
    assert len(own) == len(theirs)
    assert len({value.flatten()[0].item() for value in own.values()}) == len(own), 'one to one'

    def same(own_name, their_name):
        return all(torch.equal(own[f'{own_name}.{x}'], theirs[f'{their_name}.conv.{x}']) for x in ('weight', 'bias'))

    num_upsamples = options['num_upsamples']
    assert all(same(f'lateral_convs.{i}', f'lateral_convs.{i}') for i in range(3))
    assert all(same(f'output_convs.{num_upsamples + i}', f'fpn_convs.{i}') for i in range(3))
    # the transposed convolutions run from the coarsest map, the list of 3x3 ones from the finest
    assert all(same(f'upsample_convs.{i}', f'extra_trans_convs.{i}') for i in range(num_upsamples))
    assert all(same(f'output_convs.{i}', f'extra_fpn_convs.{i}') for i in range(num_upsamples))
    if options is RETINANET:
        assert same('extra_convs.0', 'fpn_convs.3')


def test_own_names_load():
    source, target = UpsamplingFPN(CHANNELS, 4, **MASK_RCNN), UpsamplingFPN(CHANNELS, 4, **MASK_RCNN)
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(target.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_initialization():
    neck = UpsamplingFPN((30, 40), 50, num_outs=4, num_upsamples=1, add_extra_convs='on_input')
    for name, module in neck.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in, fan_out = module.weight[0].numel(), module.weight[:, 0].numel()
            bound = math.sqrt(6 / (fan_in + fan_out))
            assert 0.95 * bound < module.weight.abs().max() <= bound, name
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
            assert not module.bias.any()
    upsample = neck.upsample_convs[0]
    assert 0.95 * math.sqrt(6 / 100) < upsample.weight.abs().max() <= math.sqrt(6 / 100)
    assert upsample(torch.randn(8, 50, 9, 9)).var().item() == pytest.approx(1.0, rel=0.1)  # keeps the scale
    assert not upsample.bias.any()
    before = {name: parameter.clone() for name, parameter in neck.named_parameters()}
    neck.init_weights()
    torch.testing.assert_close(dict(neck.named_parameters()), before, rtol=0, atol=0)


def test_init_cfg_takes_precedence():
    neck = UpsamplingFPN(CHANNELS, 4, 3, 0, init_cfg={'type': 'Constant', 'layer': 'Conv2d', 'val': 0.5})
    neck.init_weights()
    assert all((conv.weight == 0.5).all() for conv in neck.output_convs)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_outs': 4, 'num_upsamples': 2}, r'num_outs=4 must be at least .* 2 \+ 3'),
        ({'num_outs': 4, 'num_upsamples': -1}, 'num_upsamples not negative'),
        ({'num_outs': 4, 'num_upsamples': 0, 'start_level': 3}, r'start_level must be in 0\.\.2.*got 3'),
        ({'num_outs': 4, 'num_upsamples': 0, 'add_extra_convs': True}, "must be False or 'on_input', got True"),
        (
            {'num_outs': 4, 'num_upsamples': 0, 'add_extra_convs': 'on_output'},
            "must be False or 'on_input', got 'on_output'",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        UpsamplingFPN(CHANNELS, 4, **options)


def test_bad_inputs():
    with pytest.raises(ValueError, match='3 in_channels, but got 2 maps'):
        UpsamplingFPN(CHANNELS, 4, **MASK_RCNN)(feature_maps(64, 64)[1:])
    neck = UpsamplingFPN((1, *CHANNELS), 4, start_level=1, **MASK_RCNN)
    with pytest.raises(ValueError, match=r'32x32 cannot be the level before one of size 8x8.*half the stride'):
        neck(feature_maps(128, 128, (4, 16, 32, 64), (1, *CHANNELS)))


def test_on_a_backbone():
    """The two pyramids of the authors' detectors, and the same with exact sizes."""
    x = torch.randn(1, 3, 97, 131)
    for out_indices, finest in (((3, 4, 5), (28, 36)), ((1, 2, 3, 4, 5), (25, 33))):
        backbone = SHViT('s1', out_indices=out_indices).eval()
        start_level = len(out_indices) - 3
        neck = UpsamplingFPN(backbone.out_channels, 4, start_level=start_level, **MASK_RCNN)
        with torch.inference_mode():
            sizes = [tuple(output.shape[2:]) for output in neck(backbone(x))]
        assert sizes[0] == finest
        assert sizes[2:] == [(7, 9), (4, 5), (2, 3)]
