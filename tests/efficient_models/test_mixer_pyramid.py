import io
import warnings

import onnxruntime
import pytest
import torch

from projects.efficient_models.backbones import MixerPyramid
from projects.efficient_models.backbones.mixer_pyramid import (
    MAX_SCORE_BYTES,
    TOLERANCE,
    PositionNorm,
    hidden_width,
    score_bytes,
)
from projects.efficient_models.token_mixers import TOKEN_MIXERS, build_token_mixer

SMALL_IMAGES = (64, 96)  # at which any mixer fits


def pyramid(*mixers, arch='tiny', **options):
    return MixerPyramid(arch, mixers=mixers * (4 // len(mixers)), image_size=SMALL_IMAGES, **options)


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(('arch', 'millions'), [('tiny', 2.8), ('small', 11.2), ('base', 19.8)])
def test_sizes_are_those_stated(arch, millions):
    with torch.device('meta'):
        assert num_parameters(pyramid('softmax', arch=arch)) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize('arch', ['tiny', 'small'])
@pytest.mark.parametrize('mixer', TOKEN_MIXERS)
def test_each_stage_has_the_parameters_that_softmax_attention_gives_it(mixer, arch):
    with torch.device('meta'):
        reference, network = pyramid('softmax', arch=arch), pyramid(mixer, arch=arch)
    for expected, stage in zip(reference.stages, network.stages, strict=True):
        assert abs(num_parameters(stage) - num_parameters(expected)) <= TOLERANCE * num_parameters(expected)


def test_softmax_attention_has_a_feed_forward_network_of_four_times_its_width():
    assert hidden_width(build_token_mixer('softmax', 64)) == 256


def test_a_mixer_with_fewer_parameters_has_a_wider_network():
    class HalfAsMany(TOKEN_MIXERS['softmax']):
        def __init__(self, channels):
            super().__init__(channels)
            self.qkv = torch.nn.Conv2d(channels, channels, 1)

    # 2 C (C + 1) parameters less, at 2 C + 2 for each hidden channel: C more
    assert hidden_width(HalfAsMany(64)) == 256 + 64


def test_a_mixer_that_leaves_nothing_for_the_network_is_refused():
    mixer = build_token_mixer('softmax', 32)
    mixer.more = torch.nn.Linear(1000, 1000)
    with pytest.raises(ValueError, match=r'SoftmaxAttention of 32 channels has 1,005,224 parameters.*12,672 together'):
        hidden_width(mixer)


@pytest.mark.parametrize('mixer', TOKEN_MIXERS)
def test_any_mixer_makes_a_network_that_learns_and_folds(mixer, randomize):
    network = randomize(pyramid(mixer, drop_path_rate=0.1))
    sum(level.square().mean() for level in network(torch.randn(2, 3, 65, 97))).backward()
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]
    network.double().eval()
    images = torch.randn(1, 3, 97, 131).double()
    with torch.inference_mode():
        expected = network(images)
        network.fuse()
        assert not [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for level, reference in zip(network(images), expected, strict=True):
            assert (level - reference).abs().max() / reference.abs().mean() < 1e-10


@pytest.mark.parametrize('mixer', TOKEN_MIXERS)
@pytest.mark.parametrize('size', [(0, 3, 64, 96), (0, 3, 1, 1), (1, 3, 1, 1)])
def test_no_images_and_single_pixels_pass(mixer, size):
    with torch.inference_mode():
        levels = pyramid(mixer).eval()(torch.randn(size))
    cells = [[-(-side // stride) for side in size[2:]] for stride in (4, 8, 16, 32)]
    assert [list(level.shape) for level in levels] == [
        [size[0], channels, *sides] for channels, sides in zip((32, 64, 160, 256), cells, strict=True)
    ]
    assert all(level.isfinite().all() for level in levels)


def test_an_exported_network_takes_images_of_any_size(randomize):
    network = randomize(pyramid('convolution', 'channel', 'window', 'softmax')).fuse()
    file, names = io.BytesIO(), [f'level{index}' for index in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network,
            (torch.randn(1, 3, 64, 96),),
            file,
            input_names=['images'],
            output_names=names,
            dynamic_axes={name: {2: 'h', 3: 'w'} for name in ['images', *names]},
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    for size in [(64, 96), (97, 131)]:
        images = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected = network(images)
        for level, reference in zip(session.run(None, {'images': images.numpy()}), expected, strict=True):
            assert (torch.from_numpy(level) - reference).abs().max() / reference.abs().mean() < 1e-3


def test_position_encoding_and_norm_are_those_of_their_formula():
    layer = PositionNorm(1).eval()
    with torch.no_grad():
        layer.positions.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))
        layer.norm.running_mean.fill_(2)
        layer.norm.running_var.fill_(4 - layer.norm.eps)
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1
    # correlation with an impulse gives the kernel turned by 180 degrees
    expected = (torch.tensor([[8.0, 7, 6], [5, 4 + 1, 3], [2, 1, 0]]) - 2) / 2
    torch.testing.assert_close(layer(x)[0, 0], expected)
    torch.testing.assert_close(layer.fused()(x)[0, 0], expected)


def test_scores_that_do_not_fit_are_refused_before_memory_ends():
    with pytest.raises(ValueError, match='softmax in stage 1') as error:
        MixerPyramid('tiny', mixers=('softmax',) * 4)
    message = str(error.value)
    assert f'{(200 * 320) ** 2 * 4:,} bytes' in message  # one head of 32 channels
    assert '800x1280 pixels (64,000 tokens)' in message
    fitting = message.split('one of ')[1].split(';')[0].split(', ')
    assert 'convolution' in fitting
    assert 'softmax' not in fitting
    for name in fitting:
        assert score_bytes(name, 32, 200, 320) <= MAX_SCORE_BYTES


def test_the_limit_is_that_of_the_stated_size():
    # two heads in stage 2 at stride 8: 128x64 cells are 2 * 4 * 8192**2 = 2**29 bytes, twice as many cells 2**31
    assert score_bytes('softmax', 64, 128, 64) == 2**29
    mixers = ('convolution', 'softmax', 'softmax', 'softmax')
    MixerPyramid('tiny', mixers=mixers, image_size=(1024, 512))
    with pytest.raises(ValueError, match=r'softmax in stage 2 .* 2,147,483,648 bytes'):
        MixerPyramid('tiny', mixers=mixers, image_size=(1024, 1024))


def test_options_reach_the_mixer():
    network = pyramid(('softmax', {'head_dim': 16}))
    assert [stage[-1].mix.m[1].num_heads for stage in network.stages] == [2, 4, 10, 16]


def test_blocks_take_several_mixers_in_turns():
    network = pyramid(('window', ('window', {'shift': 3})), arch='base')
    assert [len(stage) for stage in network.stages] == [
        3,
        5,
        7,
        4,
    ]  # with what makes the map smaller, but for the first
    for stage in network.stages:
        mixers = [block.mix.m[1] for block in stage if hasattr(block, 'mix')]
        assert [mixer.padding for mixer in mixers] == [0, 4, 0, 4, 0, 4][: len(mixers)]
    with pytest.raises(ValueError, match='softmax in stage 1'):  # though its first block would fit
        MixerPyramid('tiny', mixers=(('window', 'softmax'), 'window', 'window', 'window'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mixers': 'softmax'}, 'must be four'),
        ({'mixers': ('softmax',) * 3}, 'must be four'),
        ({'mixers': ('softmax', 'softmax', 'softmax', 3)}, r'a name, a pair.*got 3'),
        ({'mixers': ('softmax', 'softmax', 'softmax', ('softmax', 'window', {}))}, r'a name, a pair.*got {}'),
        ({'mixers': ('softmax', 'softmax', 'softmax', ())}, r'a name, a pair.*got \(\)'),
        ({'mixers': ('softmaks',) * 4}, 'Did you mean softmax'),
        ({'mixers': None}, 'must be four'),
        (
            {'mixers': (('window', 'softmax', 'pool'),) * 4},
            r'stage 1 .* 2 blocks to take in turns 3 mixers: window, soft',
        ),
        ({'mixers': (('window', {'head_dim': 64}),) * 4}, 'window in stage 1 .* must divide its 32 channels, got 64'),
        (
            {'mixers': (('window', {'windw_size': 8}),) * 4},
            r"window in stage 1 .* has no option 'windw_size'\. Did you mean window_size",
        ),
        ({'mixers': (('window', {'channels': 8}),) * 4}, "window in stage 1 .* has no option 'channels'"),
        ({'mixers': (('window', {'height': 8}),) * 4}, "window in stage 1 .* has no option 'height'"),
        ({'mixers': (('single_head', {'qk_dim': 0}),) * 4}, r'single_head in stage 1 .*1 or more, got 0'),
        ({'image_size': (0, 64)}, 'height and width'),
        ({'image_size': 512}, 'height and width'),
        ({'image_size': (512.5, 512)}, 'height and width'),
        ({'mixer': ('softmax',) * 4}, 'Did you mean mixers'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MixerPyramid('tiny', **{'image_size': SMALL_IMAGES, **options})


@pytest.mark.parametrize(('stem_stride', 'strides'), [(4, (4, 8, 16, 32)), (8, (8, 16, 32, 64))])
def test_any_size_can_be_described(stem_stride, strides):
    arch = {'dims': [16, 32, 64, 96], 'depths': [1, 2, 1, 1], 'stem_stride': stem_stride}
    network = pyramid('convolution', arch=arch).eval()
    assert (network.out_channels, network.strides) == ((16, 32, 64, 96), strides)
    assert [sum(hasattr(layer, 'mix') for layer in stage) for stage in network.stages] == [1, 2, 1, 1]
    images = torch.rand(1, 3, 70, 133)
    with torch.no_grad():
        maps = network(images)
        assert [tuple(x.shape[2:]) for x in maps] == [(-(-70 // s), -(-133 // s)) for s in strides]
        for fused, plain in zip(network.fuse()(images), maps, strict=True):
            torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_a_described_size_is_the_named_one():
    named = pyramid('window')
    described = pyramid('window', arch={'dims': (32, 64, 160, 256), 'depths': (2, 2, 2, 2)})
    assert described.state_dict().keys() == named.state_dict().keys()
    assert all(described.get_parameter(key).shape == value.shape for key, value in named.named_parameters())


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ({'dims': (32, 64, 160, 256)}, 'or give dims, depths and, if it is not 4, stem_stride'),
        ({'dims': (32, 64), 'depths': (1, 1)}, r'dims in arch .* four numbers of at least 1, got \(32, 64\)'),
        ({'dims': (32, 64, 160, 256), 'depths': (1, 0, 1, 1)}, 'depths in arch .* four numbers of at least 1'),
        (
            {'dims': (32, 64, 160, 256), 'depths': (1, 1, 1, 1), 'stem_stride': 2},
            'stem_stride .* must be 4 or 8, got 2',
        ),
        ({'dims': (36, 64, 160, 256), 'depths': (1, 1, 1, 1), 'stem_stride': 8}, 'a multiple of stem_stride 8, got 36'),
        ({'dims': (32, 64, 160, 256), 'depths': (1, 1, 1, 1), 'width': 2}, "got .*'width': 2"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arch, message):
    with pytest.raises(ValueError, match=message):
        pyramid('convolution', arch=arch)
