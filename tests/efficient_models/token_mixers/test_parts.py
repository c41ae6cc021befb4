"""What several mixers are made of."""

import pytest
import torch
from torch.nn import functional as F

from projects.efficient_models.layers.precision import in_float32
from projects.efficient_models.token_mixers.grid_pooling import pool_to_grid
from projects.efficient_models.token_mixers.nystrom_attention import pseudo_inverse
from projects.efficient_models.token_mixers.tiles import cut_tiles, join_tiles, pair_axes


@pytest.mark.parametrize('size', [(1, 1), (3, 9), (7, 7), (17, 10)])
@pytest.mark.parametrize('side', [1, 4, 7])
def test_grids_are_pooled_as_by_adaptive_pooling(size, side):
    x = torch.randn(2, 5, *size)
    expected = F.adaptive_avg_pool2d(x, [min(side, length) for length in size])
    torch.testing.assert_close(pool_to_grid(x, side), expected, rtol=0, atol=1e-6)


def test_the_iteration_finds_the_inverse():
    matrices = torch.randn(3, 8, 8, dtype=torch.double).softmax(dim=2) + 2 * torch.eye(8)
    matrices = matrices / matrices.sum(dim=2, keepdim=True)
    torch.testing.assert_close(pseudo_inverse(matrices), torch.linalg.inv(matrices), rtol=0, atol=1e-6)


def test_tiles_come_back_to_their_place():
    x = torch.randn(2, 6, 4, 6)
    rows, columns = torch.arange(4).view(2, 2), torch.arange(6).view(3, 2)
    tiles = cut_tiles(x, rows, columns, num_heads=3)
    assert tiles.shape == (12, 3, 4, 2)
    # the second image's tile in the second row and third column, its second head, its first token
    assert torch.equal(tiles[6 + 5, 1, 0], x[1, 2:4, 2, 4])
    assert torch.equal(join_tiles(tiles, rows, columns), x)


def test_a_pair_is_seen_along_both_axes():
    rows = torch.tensor([[[True, False], [True, True]]])  # of one row of tiles, 2 queries and 2 keys
    columns = torch.tensor([[[True, True], [False, True]]])
    seen = pair_axes(rows, columns, batch=3)
    assert seen.shape == (3, 1, 4, 4)
    # the query in the first row and second column sees what is in the first row and second column
    assert seen[2, 0].tolist() == [
        [True, True, False, False],
        [False, True, False, False],
        [True, True, True, True],
        [False, True, False, True],
    ]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_island_of_float32_returns_the_given_precision(dtype):
    seen = []

    @in_float32
    def square(x: torch.Tensor) -> torch.Tensor:
        seen.append((x @ x).dtype)
        return x @ x

    with torch.autocast('cpu', torch.bfloat16):
        assert square(torch.eye(2, dtype=dtype)).dtype == dtype
    assert seen == [torch.promote_types(dtype, torch.float32)]
    assert square(torch.eye(2, device='meta')).shape == (2, 2)
