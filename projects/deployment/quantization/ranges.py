"""Grids from ranges: the whole one that was seen, or the part of it that rounds with the least error."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from .grids import AnyGrid, Grid, chosen_channels, fake_quantize, grid_of_range
from .scheme import Site
from .units import Grids, Unit

PARTS = tuple(1 - step / 64 for step in range(56))  # of a range that are tried, the whole one first
MAX_VALUES = 2**17  # of activations that errors are averaged over

Kind = TypeVar('Kind', bound=AnyGrid)


def whole_ranges(unit: Unit) -> Grids:
    """From the least to the largest value: no value is clipped."""
    inputs: dict[str, AnyGrid] = {
        key: unit.input_grid(site, index) for site in unit.sites for index, key in enumerate(site.inputs)
    }
    return Grids(inputs, _of_weights(unit, unit.weight_grid() if unit.weight is not None else None))


def least_error_ranges(unit: Unit) -> Grids:
    """The part of each range whose rounded values have the least mean squared error."""
    inputs: dict[str, AnyGrid] = {
        key: least_error_grid(unit, site, index) for site in unit.sites for index, key in enumerate(site.inputs)
    }
    return Grids(inputs, _of_weights(unit, least_error_weights(unit) if unit.weight is not None else None))


def least_error_weights(unit: Unit) -> Grid:
    """For each output channel."""
    assert unit.weight is not None
    others = [dim for dim in range(unit.weight.dim()) if dim != unit.weight_axis]
    grids = unit.weight_grids(PARTS)
    errors = [(fake_quantize(unit.weight, grid) - unit.weight).square().sum(others) for grid in grids]
    return chosen_channels(grids, torch.stack(errors).argmin(0))


def least_error_grid(unit: Unit, site: Site, index: int) -> Grid:
    """For an activation: first the upper end of the range, then, where the grid is not symmetric, the lower one."""
    low, high = unit.input_range(site, index)
    symmetric = unit.is_symmetric(site, index)
    values = some(unit.observed[site.name].samples[index])
    bits = unit.input_bits(site, index)
    if symmetric:
        return best_grid(values, [grid_of_range(low * part, high * part, bits, True) for part in PARTS])[0]
    _, upper = best_grid(values, [grid_of_range(low, high * part, bits, False) for part in PARTS])
    ends = PARTS if low < 0 else PARTS[:1]
    return best_grid(values, [grid_of_range(low * part, high * PARTS[upper], bits, False) for part in ends])[0]


def some(values: Tensor) -> Tensor:
    """At most `MAX_VALUES`, drawn at random, always the same ones."""
    values = values.reshape(-1)
    if len(values) <= MAX_VALUES:
        return values
    return values[torch.randint(len(values), (MAX_VALUES,), generator=torch.Generator().manual_seed(0))]


def best_grid(values: Tensor, grids: Sequence[Kind]) -> tuple[Kind, int]:
    """The grid with the least error, and its index."""
    errors = torch.stack([(fake_quantize(values, grid) - values).square().mean() for grid in grids])
    index = int(errors.argmin())
    return grids[index], index


def _of_weights(unit: Unit, grid: Grid | None) -> dict[str, Grid]:
    name = unit.sites[0].weight
    return {} if grid is None or name is None else {name: grid}
