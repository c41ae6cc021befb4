import pytest
import torch

from projects.efficient_models.token_mixers.cross_scale_attention import CrossScaleAttention
from projects.efficient_models.token_mixers.softmax_attention import SoftmaxAttention


@pytest.mark.parametrize('size', [(1, 1), (9, 6)])
def test_cells_of_one_token_make_it_softmax_attention(size, randomize):
    mixer, softmax = randomize(CrossScaleAttention(64, cell=1)).eval(), SoftmaxAttention(64).eval()
    softmax.load_state_dict(mixer.state_dict())
    x = torch.randn(2, 64, *size)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), softmax(x), rtol=0, atol=1e-6)


def test_values_by_hand_with_a_smaller_cell_at_the_border():
    """Tokens 0, 1 and 5 in cells of two: summaries 0.5 and 5; without scores, all weights are alike."""
    mixer = CrossScaleAttention(1, head_dim=1, cell=2).eval()
    with torch.no_grad():
        mixer.qkv.weight.copy_(torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1))
        mixer.proj.weight.fill_(1)
        mixer.qkv.bias.zero_()
        mixer.proj.bias.zero_()
        x = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 1, 3)
        torch.testing.assert_close(mixer(x).flatten(), torch.full((3,), (2.75 + 2.0) / 2))


def test_tokens_of_a_cell_share_what_their_summary_read(randomize):
    """Where no query distinguishes tokens, only the cells do."""
    mixer = randomize(CrossScaleAttention(32, cell=3)).eval()
    x = torch.randn(1, 32, 7, 8)
    tokens = x.clone()
    tokens[..., :3, :3] = x[..., :3, :3].mean((2, 3), keepdim=True)
    with torch.inference_mode():
        y = mixer(tokens)
    torch.testing.assert_close(y[..., :3, :3], y[..., :1, :1].expand(-1, -1, 3, 3), rtol=0, atol=1e-6)
    assert (y[..., 3, 3] - y[..., 0, 0]).abs().max() > 1e-3


def test_moving_whole_cells_moves_the_result(randomize):
    mixer = randomize(CrossScaleAttention(32, cell=4)).eval()
    x = torch.randn(1, 32, 8, 12)
    with torch.inference_mode():
        y = mixer(x)
        torch.testing.assert_close(mixer(x.roll(4, 3)), y.roll(4, 3), rtol=0, atol=1e-6)
        torch.testing.assert_close(mixer(x.flip(2)), y.flip(2), rtol=0, atol=1e-6)
        assert (mixer(x.roll(1, 3)) - y.roll(1, 3)).abs().max() > 1e-3
