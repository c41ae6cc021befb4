"""Networks with ReLU linear attention: Trio-ViT, arXiv 2405.03882, as far as integer kernels compute it.

Inputs of depthwise convolutions have scales that differ by powers of two. The 1x1 convolutions behind these read their
inputs less the middle of each channel's range, which their biases give back. Products of keys and values have a range
for each column; so the sums of keys, which come of a column of ones among the values, have one of their own. The values
themselves have one for all: with more of them OpenVINO 2026.4 computes other numbers. Divisions are computed in float;
the paper rounds divisors to powers of two.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..inference_graphs.images import ImageGraph
from .grids import Grid, chosen_channels, grid_of_range, levels
from .observation import Observed
from .origins import KEYS_AND_VALUES, VALUES, find_origins, record
from .ranges import PARTS, least_error_grid, least_error_ranges
from .scheme import CONV, DEPTHWISE, MATMUL, Site
from .tape import Step, Tape
from .units import Grids, Unit, round_samples

HALVINGS = range(8)  # of the step of a depthwise convolution's input


class _Shift:
    """Before a convolution: what it reads less a number for each channel."""

    def __init__(self, middle: Tensor) -> None:
        self.middle = middle

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] - self.middle.to(args[0])[:, None, None], *args[1:])


def shift_pointwise(graph: ImageGraph, observed: Mapping[str, Observed], image: Tensor, bits: int) -> int:
    """Let 1x1 convolutions behind depthwise ones read centered channels, in place; the network computes the same.

    With the middle m_c of a channel's range, W x + b = W (x - m) + (b + W m); only without padding, of which zeros
    are no longer what they were.

    Args:
        graph: In float.
        observed: What its convolutions read, per channel.
        image: (1, H, W, 3), to see what reads what.
        bits: Of the grids.

    Returns:
        The number of convolutions that were changed.

    Raises:
        ValueError: The network has no ReLU linear attention.
    """
    tape = record(graph, image)
    if VALUES not in find_origins(tape).values():
        raise ValueError('trio is for ReLU linear attention, and this network has none: choose qhyvit or mse')
    changed = 0
    for step in tape.steps:
        if step.call is None or not _is_pointwise(step, tape):
            continue
        module, seen = graph.get_submodule(step.call.site.rpartition('#')[0]), observed.get(step.call.site)
        if not isinstance(module, nn.Conv2d) or module.bias is None or seen is None or seen.is_empty:
            continue
        if not seen.is_finite:
            continue
        middle = (seen.low[0] + seen.high[0]) / 2
        with torch.no_grad():
            module.bias.add_(module.weight[:, :, 0, 0] @ middle)
        module.register_forward_pre_hook(_Shift(middle))
        changed += 1
    return changed


def _is_pointwise(step: Step, tape: Tape) -> bool:
    """Whether a step is a 1x1 convolution that runs once and reads what a depthwise convolution alone has given."""
    call = step.call
    if call is None or call.kind != CONV or call.weight is None or call.options['groups'] != 1:
        return False
    runs = [one for one in tape.steps if one.call is not None and one.call.weight_name == call.weight_name]
    before = [tape.steps[index].call for index in step.sites]
    behind_depthwise = len(before) == 1 and before[0] is not None and before[0].kind == DEPTHWISE
    padded = call.options['padding'] not in (0, (0, 0), 'valid', 'same')
    return len(runs) == 1 and behind_depthwise and call.weight.shape[2:] == (1, 1) and not padded


def trio_grids(unit: Unit) -> Grids:
    """As `least_error_ranges`, but for inputs of depthwise convolutions and products of keys and values."""
    grids = least_error_ranges(unit)
    for site in unit.sites if unit.channelwise else ():
        if site.kind == DEPTHWISE:
            grids.inputs[site.inputs[0]] = halved_scales(unit, site)
        if site.kind == MATMUL and unit.origins.get(site.inputs[1]) == KEYS_AND_VALUES:
            grids.inputs[site.inputs[1]] = column_grid(unit, site)
    return grids


def halved_scales(unit: Unit, site: Site) -> Grid:
    """The step of the whole tensor, halved up to 7 times for each channel by its least squared error."""
    observed, (low, high) = unit.observed[site.name], levels(unit.bits, False)
    (samples,) = observed.samples
    step, axis = least_error_grid(unit, site, 0).scale[0], len(site.operands[0]) - 3
    grids = []
    for halving in HALVINGS:
        scale = step / 2**halving
        zero_points = (-observed.low[0].clamp(max=0) / scale).round().clamp(low, high)
        grids.append(Grid((scale,) * len(zero_points), tuple(zero_points.tolist()), low, high, axis))
    errors = [(round_samples(samples, site, grid) - samples).square().sum((1, 2)) for grid in grids]
    return chosen_channels(grids, torch.stack(errors).argmin(0))


def column_grid(unit: Unit, site: Site) -> Grid:
    """Symmetric, with a scale for each column of a second factor, by the least squared error."""
    samples, axis = unit.observed[site.name].samples[1], len(site.operands[1]) - 1
    high = samples.abs().amax((0, 1))
    grids = [grid_of_range(-high * part, high * part, unit.factor_bits, True, axis) for part in PARTS]
    errors = [(round_samples(samples, site, grid) - samples).square().sum((0, 1)) for grid in grids]
    return chosen_channels(grids, torch.stack(errors).argmin(0))
