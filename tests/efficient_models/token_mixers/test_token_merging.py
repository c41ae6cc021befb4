import pytest
import torch

from projects.efficient_models.token_mixers.softmax_attention import SoftmaxAttention
from projects.efficient_models.token_mixers.token_merging import TokenMerging


@pytest.fixture
def merging(randomize):
    """A mixer, and softmax attention with the same weights."""

    def merging(percent):
        mixer, softmax = randomize(TokenMerging(64, merged_percent=percent)).eval(), SoftmaxAttention(64).eval()
        softmax.load_state_dict(mixer.state_dict())
        return mixer, softmax

    return merging


@pytest.mark.parametrize('size', [(1, 1), (1, 6), (9, 6)])
def test_with_nothing_merged_it_is_softmax_attention(merging, size):
    mixer, softmax = merging(0)
    x = torch.randn(2, 64, *size)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), softmax(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize('size', [(8, 8), (7, 9)])
def test_merging_copies_is_exact(merging, size):
    """The size of a merged token stands in its score, so that copies count as often as they are there."""
    mixer, softmax = merging(100)
    x = torch.randn(2, 64, 4, 5).repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : size[0], : size[1]]
    with torch.inference_mode():
        expected = softmax(x)
        assert (expected.flatten(2).std(2) > 1e-3).any()
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-6)


def test_the_most_similar_merge_and_no_others(merging):
    """Copies of the first token in two cells, and nothing alike elsewhere: 2 of 12 tokens that may merge."""
    mixer, softmax = merging(17)
    x = torch.randn(1, 64, 4, 4)
    x[..., 0, 1] = x[..., 0, 0]
    x[..., 3, 3] = x[..., 2, 2]
    slots, num_slots = mixer.assign(mixer.qkv(x)[:, 64:128])
    assert num_slots == 14
    slots = slots.view(4, 4)
    assert slots[::2, ::2].flatten().tolist() == [0, 1, 2, 3]
    assert (slots[0, 1], slots[3, 3]) == (0, 3)
    assert sorted(slots.flatten().tolist()) == [0, 0, 1, 2, 3, 3, *range(4, 14)]
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), softmax(x), rtol=0, atol=1e-6)


def test_each_image_merges_its_own_and_all_as_many(merging):
    mixer, _ = merging(50)
    slots, num_slots = mixer.assign(torch.randn(3, 64, 7, 5))
    assert num_slots == 35 - (35 - 12) // 2
    assert slots.shape == (3, 1, 35)
    for image in slots[:, 0]:
        assert set(image.tolist()) == set(range(num_slots))
    assert not torch.equal(slots[0], slots[1])
    cells = (torch.arange(7)[:, None] // 2 * 3 + torch.arange(5) // 2).flatten()
    parts = slots[0, 0] < 12
    assert torch.equal(slots[0, 0][parts], cells[parts])


def test_parts_of_a_merged_token_share_its_result(merging):
    mixer, softmax = merging(100)
    x = torch.randn(1, 64, 6, 6)
    with torch.inference_mode():
        y = mixer(x)
        assert (y - softmax(x)).abs().max() > 1e-3
    assert torch.equal(y[..., 1::2, 1::2], y[..., ::2, ::2])


def test_moving_whole_cells_moves_the_result(merging):
    mixer, _ = merging(50)
    x = torch.randn(1, 64, 8, 6)
    with torch.inference_mode():
        y = mixer(x)
        torch.testing.assert_close(mixer(x.roll(2, 3)), y.roll(2, 3), rtol=0, atol=1e-6)
        assert (mixer(x.roll(1, 3)) - y.roll(1, 3)).abs().max() > 1e-3
        assert (mixer(x.flip(3)) - y.flip(3)).abs().max() > 1e-3  # another token is first in its cell
