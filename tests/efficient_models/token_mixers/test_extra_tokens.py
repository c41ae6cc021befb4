import pytest
import torch

from projects.efficient_models.token_mixers.extra_tokens import ExtraTokens
from projects.efficient_models.token_mixers.softmax_attention import SoftmaxAttention


def softmax_of(mixer):
    softmax = SoftmaxAttention(mixer.channels).eval()
    softmax.load_state_dict({name: one for name, one in mixer.state_dict().items() if name != 'extra'})
    return softmax


@pytest.mark.parametrize('size', [(1, 1), (3, 8), (6, 5)])
def test_one_window_without_messengers_is_softmax_attention(size, randomize):
    mixer = randomize(ExtraTokens(64, window_size=8, num_extra=0)).eval()
    x = torch.randn(2, 64, *size)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), softmax_of(mixer)(x), rtol=0, atol=1e-6)


def test_without_messengers_each_window_is_alone(randomize):
    mixer = randomize(ExtraTokens(32, window_size=4, num_extra=0)).eval()
    x = torch.randn(1, 32, 10, 7)
    with torch.inference_mode():
        y = mixer(x)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
            for columns in (slice(0, 4), slice(4, 7)):
                alone = softmax_of(mixer)(x[..., rows, columns])
                torch.testing.assert_close(y[..., rows, columns], alone, rtol=0, atol=1e-6)


def test_messengers_are_means_of_the_map_that_each_window_reads(randomize):
    """As attention to a window's tokens and two more, whose keys and values are put in by hand."""
    mixer = randomize(ExtraTokens(32, window_size=4, num_extra=2)).eval()
    x = torch.randn(1, 32, 4, 8)
    with torch.inference_mode():
        query, key, value = mixer.qkv(x).flatten(2)[0].split(32)
        weights = (mixer.extra @ key / 32**0.5).softmax(1)
        second = [row * 8 + column for row in range(4) for column in range(4, 8)]
        keys, values = (torch.cat((one[:, second], one @ weights.T), 1) for one in (key, value))
        read = (query[:, second].T @ keys / 32**0.5).softmax(1) @ values.T
        expected = mixer.proj(read.T.view(1, 32, 4, 4))
        torch.testing.assert_close(mixer(x)[..., 4:], expected, rtol=0, atol=1e-6)


def test_messengers_reach_all_windows(randomize):
    x = torch.randn(1, 32, 8, 8)
    changed = x.clone()
    changed[..., 0, 0] += 3
    with torch.inference_mode():
        for num_extra in (0, 2):
            mixer = randomize(ExtraTokens(32, window_size=4, num_extra=num_extra)).eval()
            differences = (mixer(changed) - mixer(x)).abs().amax((0, 1))
            assert differences[:4, :4].min() > 1e-4
            assert (differences[4:, 4:].min() > 1e-5) == bool(num_extra)


def test_moving_whole_windows_moves_the_result(randomize):
    mixer = randomize(ExtraTokens(32, window_size=4)).eval()
    x = torch.randn(1, 32, 8, 12)
    with torch.inference_mode():
        y = mixer(x)
        torch.testing.assert_close(mixer(x.roll(4, 3)), y.roll(4, 3), rtol=0, atol=1e-6)
        torch.testing.assert_close(mixer(x.flip(3)), y.flip(3), rtol=0, atol=1e-6)
        assert (mixer(x.roll(1, 3)) - y.roll(1, 3)).abs().max() > 1e-3
        odd = x[..., :11]
        assert (mixer(odd.flip(3)) - mixer(odd).flip(3)).abs().max() > 1e-3  # other windows
