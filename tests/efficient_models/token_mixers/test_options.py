"""What mixers say of options that they cannot take."""

import re
from inspect import signature

import numpy as np
import pytest
import torch

from projects.efficient_models.layers.options import kind_of
from projects.efficient_models.token_mixers import TOKEN_MIXERS, build_token_mixer

CHANNELS = 64
OPTIONS = [(name, option) for name, mixer in TOKEN_MIXERS.items() for option in signature(mixer).parameters]
# of every kind that a config may hold by mistake, and at the borders of what is allowed
VALUES = [
    *('a', '', '8', b'8', None, True, False, [], [3], (3, 0), [3, '5'], [[3]], [2.0, 3], {}, {3: 5}, {7}, int),
    *(-1, 0, 1, 2, 3, 4, 7, 48, 64, 101, 2.5, 3.0, 0.5, float('nan'), float('inf'), 1j),
    *(range(3), np.array([3, 5]), np.float64(2.5), torch.ones(2, 2), 'a long value ' * 20, 'of two\nlines'),
]


@pytest.mark.parametrize(('name', 'option'), OPTIONS)
def test_a_value_is_taken_or_refused_in_one_sentence(name, option):
    """No value leads to an error of Python or PyTorch, when a mixer is built or later, in use."""
    parameter = signature(TOKEN_MIXERS[name]).parameters[option]
    title, kind = TOKEN_MIXERS[name].__name__, kind_of(parameter.annotation)
    for value in VALUES:
        options = {'channels': CHANNELS, option: value}
        is_large = isinstance(value, int) and value > 16  # shapes say whether it works
        with torch.device('meta' if is_large else 'cpu'):
            try:
                mixer = build_token_mixer(name, options.pop('channels'), **options)
            except ValueError as error:
                message = str(error)
                assert re.fullmatch(rf'\w+ of {title}\b.* must .+, got .+\.', message), message
                assert len(message) < 250
                if kind.accepts(value):  # but not together with the other options
                    assert option == 'channels' or message.startswith(f'{option} of {title}'), message
                else:
                    assert message.startswith(f'{option} of {title} must be {kind.expected}, got '), message
            else:
                assert kind.accepts(value) or value is parameter.default
                x = torch.randn(1, mixer.channels, 3, 5)
                assert mixer(x).shape == x.shape


@pytest.mark.parametrize('name', TOKEN_MIXERS)
def test_unknown_options_are_named(name):
    mixer = TOKEN_MIXERS[name]
    for unknown in ('chanels', 'channels', 'self', 'name'):
        with pytest.raises(ValueError, match=f"{mixer.__name__} has no option '{unknown}'. "):
            build_token_mixer(name, CHANNELS, **{unknown: 8})


def test_the_option_that_was_meant_is_suggested():
    with pytest.raises(ValueError, match=r'Did you mean window_size\? Its options are head_dim, window_size, shift\.'):
        build_token_mixer('window', CHANNELS, windw_size=8)
    with pytest.raises(ValueError, match=r"Pooling has no option 'size'\. It has none\."):
        build_token_mixer('pool', CHANNELS, size=3)


@pytest.mark.parametrize('name', ['softmaks', '', None, 3, ['softmax'], {}])
def test_unknown_mixers_are_named(name):
    with pytest.raises(ValueError, match='there is no token mixer'):
        build_token_mixer(name, CHANNELS)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('window', {'window_size': 0}, 'window_size of WindowAttention must be a whole number of 1 or more, got 0.'),
        (
            'window',
            {'window_size': 4, 'shift': 4},
            'shift of WindowAttention must be less than its window_size, 4, got 4.',
        ),
        ('window', {'shift': True}, 'shift of WindowAttention must be a whole number of 0 or more, got True.'),
        (
            'neighborhood',
            {'kernel_size': 4},
            'kernel_size of NeighborhoodAttention must be an odd whole number of 1 or more, got 4.',
        ),
        ('deformable', {'stride': 2.5}, 'stride of DeformableAttention must be a whole number of 1 or more, got 2.5.'),
        ('deformable', {'groups': 3}, 'groups of DeformableAttention must divide its 64 channels, got 3.'),
        ('efficient', {'head_dim': 48}, 'head_dim of EfficientAttention must divide its 64 channels, got 48.'),
        ('dual', {'head_dim': 48}, 'head_dim of DualAttention must divide its 64 channels, got 48.'),
        (
            'rala',
            {'head_dim': 2},
            'head_dim of RALA, which turns pairs of channels by row and by column, must be a multiple of 4, got 2.',
        ),
        (
            'cascaded_group',
            {'kernels': 5},
            'kernels of CascadedGroupAttention must be a list of odd whole numbers of 1 or more, not empty, got 5.',
        ),
        (
            'cascaded_group',
            {'kernels': (3, 3, 3)},
            'kernels of CascadedGroupAttention must be as many as can share its 64 channels, one for each head, got 3: '
            '[3, 3, 3].',
        ),
        (
            'focused_linear',
            {'focus': 0.5},
            'focus of FocusedLinearAttention must be a finite number of 1 or more, got ',
        ),
        ('token_merging', {'merged_percent': 101}, 'merged_percent of TokenMerging must be a whole number from 0 to '),
        ('channel', {'dynamic_scale': 1}, 'dynamic_scale of ChannelAttention must be True or False, got 1.'),
    ],
)
def test_refused_values(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build_token_mixer(name, CHANNELS, **options)


def test_single_head_attention_needs_channels_to_attend_to():
    with pytest.raises(ValueError, match='channels of SingleHeadAttention must be 3 or more, got 2'):
        build_token_mixer('single_head', 2)
