"""Which way each weight is rounded, learnt from what the layer gives: AdaRound, arXiv 2004.10568.

A weight w on a grid of step s becomes s (floor(w / s) + h) with h = clip(1.2 σ(v) - 0.1, 0, 1), driven to 0 or 1: the
loss is the error of the layer's outputs, weighted as in the search, plus λ Σ (1 - |2 h - 1|^β), β from 20 down to 2
after a fifth of the steps. It is done layer by layer, on the samples of the search, with inputs on their grids. Samples
are few: an output channel whose error on those that were held back does not fall keeps the nearest values.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .grids import Grid, fake_quantize
from .units import Grids, Unit

STEPS = 200
ROWS = 64  # of samples in a step
LEARNING_RATE = 0.02
REGULARIZATION = 0.01  # λ, beside the error relative to that of the nearest values
HELD_BACK = 4  # one of so many samples
SHARPNESS = 20.0, 2.0  # β
WARM_UP = 0.2  # part of the steps


class Choice:
    """Of each weight one of its two neighbours on a grid, as a number h from 0 (below) to 1 (above) that is learnt.

    Args:
        weight: In float.
        grid: Of it.
    """

    def __init__(self, weight: Tensor, grid: Grid) -> None:
        self.grid, self.scale, self.zero_point = grid, grid.scale_tensor(weight), grid.zero_point_tensor(weight)
        self.nearest = fake_quantize(weight, grid)
        self.below = (weight / self.scale).floor()
        rest = weight / self.scale - self.below
        self.v = torch.logit(((rest + 0.1) / 1.2).clamp(1e-4, 1 - 1e-4)).requires_grad_()

    @property
    def h(self) -> Tensor:
        """Of each weight."""
        return (1.2 * self.v.sigmoid() - 0.1).clamp(0, 1)

    def weight(self, h: Tensor) -> Tensor:
        """The weights for some h."""
        levels = (self.below + h + self.zero_point).clamp(self.grid.low, self.grid.high)
        return self.scale * (levels - self.zero_point)

    def chosen(self) -> Tensor:
        """The weights on their grid."""
        with torch.no_grad():
            return self.weight((self.v > 0).float())


def learn(choices: Sequence[Choice], loss: Callable[[], Tensor], steps: int = STEPS) -> None:
    """Drive the loss down, and each h to 0 or 1.

    Args:
        choices: To learn.
        loss: Of some samples, relative to that of the nearest values.
        steps: How many.
    """
    optimizer = torch.optim.Adam([choice.v for choice in choices], lr=LEARNING_RATE)
    with torch.enable_grad():
        for step in range(steps):
            total = loss()
            progress = (step / steps - WARM_UP) / (1 - WARM_UP)
            if progress > 0:
                sharpness = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * progress
                for choice in choices:
                    undecided = (1 - (2 * choice.h - 1).abs().pow(sharpness)).sum() / len(choice.v)
                    total = total + REGULARIZATION * undecided / len(choices)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()


def learn_rounding(unit: Unit, grids: Grids, seed: int) -> Tensor:
    """Weights on their grid, of the shape of the unit's.

    Args:
        unit: With a weight.
        grids: Of it.
        seed: Of the choice of samples.
    """
    assert unit.weight is not None
    choice = Choice(unit.weight, grids.weights[str(unit.sites[0].weight)])
    inputs, exact, importance = _samples(unit, grids)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(inputs.shape[1], generator=generator)
    held, used = order[::HELD_BACK], order[torch.arange(len(order)) % HELD_BACK != 0]
    nearest = choice.nearest
    unit_error = _error(unit, nearest, inputs, exact, importance, order).sum() / len(order)
    if len(used) < HELD_BACK or unit_error <= 0:
        return nearest

    def loss() -> Tensor:
        rows = used[torch.randint(len(used), (ROWS,), generator=generator)]
        return _error(unit, choice.weight(choice.h), inputs, exact, importance, rows).sum() / ROWS / unit_error

    learn([choice], loss)
    found = choice.chosen()
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
