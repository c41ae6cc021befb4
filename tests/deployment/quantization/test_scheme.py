import pytest
import torch

from projects.deployment.quantization.grids import Grid, fake_quantize, grid_of_range
from projects.deployment.quantization.scheme import Scheme, Site


def ranged(low, high, **options):
    return grid_of_range(torch.tensor(low), torch.tensor(high), **options)


def test_values_by_hand():
    """-1 to 2 in 4 bits: steps of 0.2, zero at 5; 0.29 rounds to 0.2, and 9 is clipped to 2."""
    grid = ranged(-1.0, 2.0, bits=4, symmetric=False)
    assert (grid.scale[0], grid.zero_point, grid.low, grid.high) == (pytest.approx(0.2), (5,), 0, 15)
    values = fake_quantize(torch.tensor([-7.0, -1.0, -0.09, 0.29, 0.31, 9.0]), grid)
    torch.testing.assert_close(values, torch.tensor([-1.0, -1.0, 0.0, 0.2, 0.4, 2.0]))


def test_symmetric_values_by_hand():
    """-1 to 3.5 in 4 bits: q from -7 to 7, steps of 0.5."""
    grid = ranged(-1.0, 3.5, bits=4, symmetric=True)
    assert (grid.scale, grid.zero_point, grid.low, grid.high) == ((0.5,), (0,), -7, 7)
    values = fake_quantize(torch.tensor([-9.0, -1.2, 0.24, 3.3]), grid)
    torch.testing.assert_close(values, torch.tensor([-3.5, -1.0, 0.0, 3.5]))


@pytest.mark.parametrize(('low', 'high'), [(3.0, 5.0), (-5.0, -3.0)])
def test_ranges_contain_zero_whatever_was_seen(low, high):
    grid = ranged(low, high, bits=8, symmetric=False)
    assert grid.zero_point == ((0,) if low > 0 else (255,))
    assert grid.scale[0] == pytest.approx(5 / 255)
    assert fake_quantize(torch.zeros(1), grid) == 0


def test_what_is_always_zero_has_a_grid():
    assert fake_quantize(torch.tensor([0.0, 1.0]), ranged(0.0, 0.0, bits=8, symmetric=True))[0] == 0


def test_channels_have_grids_of_their_own():
    grid = grid_of_range(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 60.0]), 6, symmetric=False, axis=1)
    x = torch.tensor([[[0.5], [31.0]], [[-3.0], [99.0]]])
    expected = torch.stack(
        [fake_quantize(x[:, k], Grid(grid.scale[k : k + 1], grid.zero_point[k : k + 1], 0, 63)) for k in range(2)], 1
    )
    torch.testing.assert_close(fake_quantize(x, grid), expected)


@pytest.mark.parametrize('bits', [6, 4])
def test_narrow_grids_have_as_many_values(bits):
    grid = ranged(-1.0, 3.0, bits=bits, symmetric=False)
    assert len(fake_quantize(torch.linspace(-5, 5, 4001), grid).unique()) == 2**bits


@pytest.mark.parametrize('limit', [float('inf'), float('nan')])
def test_endless_ranges_are_refused(limit):
    with pytest.raises(ValueError, match='finite'):
        ranged(-1.0, limit, bits=8, symmetric=False)


def test_a_zero_point_outside_is_refused():
    with pytest.raises(ValueError, match='contain 0'):
        Grid((0.1,), (-300,), 0, 255)


def test_a_scheme_comes_back_from_json():
    site = Site('head.conv#1', 'conv', 'head.conv.weight', 12, ((1, 3, 8, 8),), 1, 'head.conv.bias')
    scheme = Scheme(
        'mse',
        6,
        'executable',
        (site,),
        {'head.conv#1:0': Grid((0.1,), (3,), 0, 63)},
        {'head.conv.weight': Grid((0.1, 0.3), (0, 0), -31, 31, 0)},
        {'neck#0': 'it averages'},
        {'torch.einsum': 7},
    )
    assert Scheme.from_json(scheme.to_json()) == scheme
