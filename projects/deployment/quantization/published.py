"""Grids as papers have them that no integer kernel computes with: searched for in simulations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .grids import AnyGrid, Grid, LogGrid, TwinGrid, fake_quantize, levels
from .origins import GELU, SOFTMAX
from .ranges import PARTS, best_grid, least_error_ranges, some, whole_ranges
from .scheme import NORM, Site
from .units import Grids, Unit

LEAST_GELU = 0.16997  # the depth of its dip
FINEST = 20  # halvings of 1 at which the two grids of a softmax may meet
SOFTMAX_BITS = 4  # of FQ-ViT, whatever the others are
FACTORS = (1, 2, 4, 8)  # 2 ** alpha


def twin_grids(unit: Unit, site: Site, index: int, parts: Sequence[float]) -> list[AnyGrid]:
    """PTQ4ViT's candidates for outputs of softmax and GELU; none for other activations.

    With half of the values each, L = 2 ** (bits - 1): of a softmax the steps are t / (L - 1) below t = 2 ** -i and
    1 / (L - 1) above, i from 0 to 19; of a GELU 0.16997 / L below zero, and above it a part of the range / (L - 1).
    """
    origin, half = unit.origins.get(site.inputs[index]), 2 ** (unit.bits - 1)

    def uniform(largest: float) -> Grid:
        return Grid((largest / (half - 1),), (0,), 0, half - 1)

    if origin == SOFTMAX:
        return [TwinGrid(2.0**-i, uniform(2.0**-i), uniform(1.0)) for i in range(FINEST)]
    if origin == GELU:
        high = float(unit.input_range(site, index)[1].clamp(min=LEAST_GELU))
        dip = Grid((LEAST_GELU / half,), (0,), -half, 0)
        return [TwinGrid(0.0, dip, uniform(high * part)) for part in parts]
    return []


def repq_grids(unit: Unit) -> Grids:
    """RepQ-ViT's: as `least_error_ranges`, of a softmax logarithms with two steps for each halving."""
    grids = least_error_ranges(unit)
    for site, index, key in _made_by_softmax(unit):
        values, high = some(unit.observed[site.name].samples[index]), float(unit.input_range(site, index)[1])
        candidates = [LogGrid(high * part, 2, unit.bits) for part in PARTS] if high > 0 else []
        if candidates:
            grids.inputs[key] = best_grid(values, candidates)[0]
    return grids


def fqvit_grids(unit: Unit) -> Grids:
    """FQ-ViT's: whole ranges, of a softmax 4 bits of logarithms, and of normalisations a factor for each channel."""
    if unit.kind == NORM:
        (site,) = unit.sites
        return Grids({site.inputs[0]: power_of_two_factors(unit, site)})
    grids = whole_ranges(unit)
    grids.inputs.update({key: LogGrid(1.0, 1, SOFTMAX_BITS) for _, _, key in _made_by_softmax(unit)})
    return grids


def power_of_two_factors(unit: Unit, site: Site) -> Grid:
    """Scales s 2 ** alpha, with alpha of 0 to 3 by the least error of each channel; one zero point for all.

    The coarsest one, 8 s, is the step of the whole range.
    """
    coarse = unit.input_grid(site, 0, symmetric=False)
    (samples,) = unit.observed[site.name].samples
    channels = samples.shape[-1]
    scale = torch.tensor(FACTORS) * coarse.scale[0] / max(FACTORS)

    def grid(scales: Tensor) -> Grid:
        axis = len(site.operands[0]) - 1
        return Grid(tuple(scales.tolist()), coarse.zero_point * channels, *levels(unit.bits, False), axis)

    errors = [
        (fake_quantize(samples, Grid((float(one),), coarse.zero_point, coarse.low, coarse.high)) - samples)
        .square()
        .sum((0, 1))
        for one in scale
    ]
    return grid(scale[torch.stack(errors).argmin(0)])


def _made_by_softmax(unit: Unit) -> list[tuple[Site, int, str]]:
    return [
        (site, index, key)
        for site in unit.sites
        for index, key in enumerate(site.inputs)
        if unit.origins.get(key) == SOFTMAX
    ]
