"""Which way each weight is rounded, learnt from what the layer gives: AdaRound, arXiv 2004.10568.

A weight w on a grid of step s becomes s (floor(w / s) + h) with h = clip(1.2 σ(v) - 0.1, 0, 1), driven to 0 or 1: the
loss is the error of the layer's outputs, weighted as in the search, plus λ Σ (1 - |2 h - 1|^β), β from 20 down to 2
after a fifth of the steps. It is done layer by layer, on the samples of the search, with inputs on their grids. Samples
are few: an output channel whose error on those that were held back does not fall keeps the nearest values.
"""

import torch
from torch import Tensor

from .grids import fake_quantize
from .units import Grids, Unit

STEPS = 200
ROWS = 64  # of samples in a step
LEARNING_RATE = 0.02
REGULARIZATION = 0.01  # λ, beside the error relative to that of the nearest values
HELD_BACK = 4  # one of so many samples
SHARPNESS = 20.0, 2.0  # β
WARM_UP = 0.2  # part of the steps


def learn_rounding(unit: Unit, grids: Grids, seed: int) -> Tensor:
    """Weights on their grid, of the shape of the unit's.

    Args:
        unit: With a weight.
        grids: Of it.
        seed: Of the choice of samples.
    """
    assert unit.weight is not None
    grid = grids.weights[str(unit.sites[0].weight)]
    scale = grid.scale_tensor(unit.weight)
    below = (unit.weight / scale).floor()
    rest = unit.weight / scale - below
    v = torch.logit(((rest + 0.1) / 1.2).clamp(1e-4, 1 - 1e-4)).requires_grad_()
    inputs, exact, importance = _samples(unit, grids)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(inputs.shape[1], generator=generator)
    held, used = order[::HELD_BACK], order[torch.arange(len(order)) % HELD_BACK != 0]
    nearest = fake_quantize(unit.weight, grid)
    unit_error = _error(unit, nearest, inputs, exact, importance, order).sum() / len(order)
    if len(used) < HELD_BACK or unit_error <= 0:
        return nearest
    optimizer = torch.optim.Adam([v], lr=LEARNING_RATE)

    zero_point = grid.zero_point_tensor(unit.weight)

    def learnt(h: Tensor) -> Tensor:
        return scale * (below + h + zero_point).clamp(grid.low, grid.high).sub(zero_point)

    with torch.enable_grad():
        for step in range(STEPS):
            rows = used[torch.randint(len(used), (ROWS,), generator=generator)]
            h = (1.2 * v.sigmoid() - 0.1).clamp(0, 1)
            loss = _error(unit, learnt(h), inputs, exact, importance, rows).sum() / ROWS / unit_error
            progress = (step / STEPS - WARM_UP) / (1 - WARM_UP)
            if progress > 0:
                sharpness = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * progress
                loss = loss + REGULARIZATION * (1 - (2 * h - 1).abs().pow(sharpness)).sum() / unit.weight.shape[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        found = learnt((v > 0).float())
        errors = [_error(unit, weight, inputs, exact, importance, held) for weight in (found, nearest)]
        gain = unit.per_channel(errors[1] - errors[0])
        shape = [1] * unit.weight.dim()
        shape[unit.weight_axis] = -1
        return torch.where(gain.reshape(shape) > 0, found, nearest)


def _samples(unit: Unit, grids: Grids) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rounded inputs (G, n, K), exact outputs (G, n, O) and importance of all sites together."""
    observed = [unit.observed[site.name] for site in unit.sites]
    inputs = torch.cat([unit.rounded(site, grids)[0] for site in unit.sites], 1)
    exact = torch.cat([unit.output(site, unit.observed[site.name].samples, unit.weight) for site in unit.sites], 1)
    weights = [one.importance for one in observed if one.importance is not None]
    return inputs, exact, torch.cat(weights, 1) if weights else None


def _error(
    unit: Unit, weight: Tensor, inputs: Tensor, exact: Tensor, importance: Tensor | None, rows: Tensor
) -> Tensor:
    """Of each row of the weights' matrix, (G, O)."""
    squares = (inputs[:, rows] @ unit.matrix(weight).transpose(1, 2) - exact[:, rows]).square()
    return (squares if importance is None else squares * importance[:, rows]).sum(1)
