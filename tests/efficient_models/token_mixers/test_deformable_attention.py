import itertools
import math

import pytest
import torch
from torch import nn

from projects.efficient_models.token_mixers.deformable_attention import OFFSET_RANGE, DeformableAttention
from projects.efficient_models.token_mixers.softmax_attention import SoftmaxAttention


def softmax_of(mixer):
    """Softmax attention with the same projections."""
    softmax = SoftmaxAttention(mixer.channels).eval()
    weights = mixer.state_dict()
    pairs = {
        end: torch.cat([weights[f'{part}.{end}'] for part in ('query', 'key_value')]) for end in ('weight', 'bias')
    }
    softmax.load_state_dict(
        {f'qkv.{end}': pairs[end] for end in pairs} | {f'proj.{end}': weights[f'proj.{end}'] for end in pairs}
    )
    return softmax


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (9, 6), (14, 14)])
def test_without_offsets_at_stride_1_it_is_softmax_attention(size, randomize):
    mixer = randomize(DeformableAttention(64, stride=1, groups=2)).eval()
    nn.init.zeros_(mixer.offset_proj.weight)
    x = torch.randn(2, 64, *size)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), softmax_of(mixer)(x), rtol=0, atol=1e-6)


def test_reference_points_are_the_centers_of_even_cells():
    mixer = DeformableAttention(32, stride=4).eval()
    nn.init.zeros_(mixer.offset_proj.weight)
    with torch.inference_mode():
        points = mixer.points(torch.randn(1, 32, 13, 8))
    rows, columns = torch.tensor([-0.75, -0.25, 0.25, 0.75]), torch.tensor([-0.5, 0.5])
    torch.testing.assert_close(points[0, ..., 1], rows[:, None].expand(4, 2))
    torch.testing.assert_close(points[0, ..., 0], columns.expand(4, 2))


def test_points_move_by_one_cell_at_most_and_each_group_on_its_own(randomize):
    mixer = randomize(DeformableAttention(32, stride=2, groups=4)).eval()
    nn.init.normal_(mixer.offset_proj.weight, std=100)
    with torch.inference_mode():
        points = mixer.points(torch.randn(1, 32, 8, 10))
    assert points.shape == (4, 4, 5, 2)
    rows, columns = torch.arange(4) / 2 - 0.75, torch.arange(5) / 2.5 - 0.8
    moved = (points - torch.stack(torch.meshgrid(columns, rows, indexing='xy'), 2)).abs()
    torch.testing.assert_close(moved.amax((0, 1, 2)), torch.tensor([OFFSET_RANGE / 5, OFFSET_RANGE / 4]))
    assert not torch.equal(points[0], points[1])


def test_samples_are_interpolated_at_the_points():
    """On a ramp, a sample is its position; beyond the border it is the border's value."""
    mixer = DeformableAttention(32, groups=2).eval()
    ramp = torch.arange(8.0).expand(1, 32, 6, 8)
    points = torch.zeros(2, 1, 3, 2)
    points[0, 0, :, 0] = torch.tensor([2.5, 3.0, 9.0]) / 4 - 1
    points[1, 0, :, 0] = torch.tensor([0.5, -2.0, 7.25]) / 4 - 1
    samples = mixer.sample(ramp, points)
    torch.testing.assert_close(samples[0, 0, 0], torch.tensor([2.0, 2.5, 7.0]))
    torch.testing.assert_close(samples[0, 16, 0], torch.tensor([0.0, 0.0, 6.75]))


@pytest.mark.parametrize('size', [(6, 9), (5, 2)])
def test_equals_the_attention_written_out(size, randomize):
    """Two groups of two heads; each sample is interpolated by hand between the centers of four tokens."""
    mixer = randomize(DeformableAttention(32, head_dim=8, stride=2, groups=2)).eval().double()
    nn.init.normal_(mixer.offset_proj.weight, std=0.5)
    x = torch.randn(1, 32, *size, dtype=torch.double)
    rows, columns = size
    with torch.inference_mode():
        query = mixer.query(x)
        offsets = mixer.offset_proj(nn.functional.gelu(mixer.offset_norm(mixer.offset_conv(query))))[0].tanh()
        height, width = -(-rows // 2), -(-columns // 2)
        assert offsets.shape == (4, height, width)
        samples = torch.zeros(32, height, width, dtype=torch.double)
        for group, i, j in itertools.product(range(2), range(height), range(width)):
            # one distance between reference points at most, then from cells to tokens, whose centers are at halves
            row = (i + 0.5 + offsets[2 * group + 1, i, j].item()) * rows / height - 0.5
            column = (j + 0.5 + offsets[2 * group, i, j].item()) * columns / width - 0.5
            row, column = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
            for r, c in itertools.product({math.floor(row), math.ceil(row)}, {math.floor(column), math.ceil(column)}):
                share = (1 - abs(row - r)) * (1 - abs(column - c))
                samples[16 * group : 16 * group + 16, i, j] += share * x[0, 16 * group : 16 * group + 16, r, c]
        key, value = mixer.key_value(samples[None]).flatten(2)[0].split(32)
        queries = query.flatten(2)[0]
        heads = [slice(8 * head, 8 * head + 8) for head in range(4)]
        read = [value[one] @ (queries[one].T @ key[one] / 8**0.5).softmax(1).T for one in heads]
        expected = mixer.proj(torch.cat(read).view(1, 32, *size))
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-10)


def test_flipping_the_map_flips_the_result_if_the_learnt_kernel_is_symmetric(randomize):
    """Offsets turn with the map as far as their sign is learnt, so only those of zero do."""
    mixer = randomize(DeformableAttention(32, stride=2)).eval()
    with torch.no_grad():
        mixer.offset_conv.weight.copy_(mixer.offset_conv.weight + mixer.offset_conv.weight.flip(3))
        x = torch.randn(1, 32, 8, 9)
        assert (mixer(x.flip(3)).flip(3) - mixer(x)).abs().max() > 1e-4
        mixer.offset_proj.weight[0] = 0  # columns stay
        torch.testing.assert_close(mixer(x.flip(3)).flip(3), mixer(x), rtol=0, atol=1e-6)
