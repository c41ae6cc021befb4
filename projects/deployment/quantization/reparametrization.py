"""Channels of normalised tokens brought to one range, which the layers behind undo: RepQ-ViT, arXiv 2212.08254."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..inference_graphs.images import ImageGraph
from .grids import grid_of_range
from .observation import Observed
from .origins import record
from .scheme import LINEAR
from .tape import Step, Tape


def equalize_normalized(graph: ImageGraph, observed: Mapping[str, Observed], image: Tensor, bits: int) -> int:
    """Change layer normalisations and the linear layers that alone read them, in place; the network computes the same.

    With scale s_c and zero point z_c of each channel, their means s and z (rounded, as zero points are whole numbers),
    r = s_c / s and β = (z - z_c) s, a normalisation gives y / r - β in place of y, and weights W r with bias b + W r β
    take that back; section 3.2 of the paper.

    Args:
        graph: In float.
        observed: What its linear layers read, per channel.
        image: (1, H, W, 3), to see what reads what.
        bits: Of the grids.

    Returns:
        The number of normalisations that were changed.
    """
    tape = record(graph, image)
    modules = dict(graph.named_modules())
    norms = [module for module in modules.values() if isinstance(module, nn.LayerNorm)]
    changed = 0
    for step in tape.steps:
        if step.function is not F.layer_norm:
            continue
        readers = [other for other in tape.steps if set(step.writes) & set(other.reads)]
        norm = next((one for one in norms if one.weight is not None and id(one.weight) in step.reads), None)
        if norm is not None and readers and all(_is_undone(other, graph, tape) for other in readers):
            sites = [other.call.site for other in readers if other.call is not None]
            seen = [observed[site] for site in sites if site in observed and not observed[site].is_empty]
            if len(seen) == len(sites):
                _equalize(norm, [modules[site.rpartition('#')[0]] for site in sites], seen[0], bits)
                changed += 1
    return changed


def _is_undone(step: Step, graph: nn.Module, tape: Tape) -> bool:
    """Whether a step is a linear layer with a bias that runs once, on tokens."""
    if step.call is None or step.call.kind != LINEAR or step.call.bias is None:
        return False
    runs = [one for one in tape.steps if one.call is not None and one.call.weight_name == step.call.weight_name]
    return len(runs) == 1 and isinstance(graph.get_submodule(step.call.site.rpartition('#')[0]), nn.Linear)


def _equalize(norm: nn.LayerNorm, layers: list[nn.Module], observed: Observed, bits: int) -> None:
    grid = grid_of_range(observed.low[0], observed.high[0], bits, symmetric=False, axis=0)
    scale, zero_point = torch.tensor(grid.scale), torch.tensor(grid.zero_point, dtype=torch.float32)
    mean_scale, mean_zero = scale.mean(), zero_point.mean().round()
    ratio, shift = scale / mean_scale, (mean_zero - zero_point) * mean_scale
    with torch.no_grad():
        norm.weight.div_(ratio)
        if norm.bias is None:
            norm.bias = nn.Parameter(torch.zeros_like(norm.weight), requires_grad=False)
        norm.bias.copy_(norm.bias / ratio - shift)
        for layer in layers:
            assert isinstance(layer, nn.Linear)
            layer.weight.mul_(ratio)
            layer.bias.add_(layer.weight @ shift)
