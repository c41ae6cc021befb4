"""The values that numbers are rounded to: uniform grids, which kernels know, and two of papers that they do not."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LOWEST_SCALE = 1e-12  # of a tensor that is all zero; its product with any level is still a normal float32


@dataclass(frozen=True)
class Grid:
    """The values that a tensor may take: scale * (q - zero_point), for whole q from `low` to `high`.

    Attributes:
        scale: One number, or one per channel.
        zero_point: As many.
        low: The lowest q; 0 or negative.
        high: The highest q. Grids of 6 and 4 bits lie within those of 8 and run on the same kernels.
        axis: Of the channels; None for one scale.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    low: int
    high: int
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'scale', tuple(map(float, self.scale)))
        object.__setattr__(self, 'zero_point', tuple(map(int, self.zero_point)))
        if not all(self.low <= zero <= self.high for zero in self.zero_point):
            raise ValueError(
                f'zero point outside of {self.low}..{self.high}: {self.zero_point[:5]}; ranges have to contain 0'
            )

    @property
    def is_signed(self) -> bool:
        """Whether q is stored as a signed number."""
        return self.low < 0

    def widened(self, factor: float) -> 'Grid':
        """The same with steps larger by a factor."""
        return dataclasses.replace(self, scale=tuple(factor * scale for scale in self.scale))

    def scale_tensor(self, like: Tensor) -> Tensor:
        """The scale on the device of another tensor, shaped to be multiplied with it."""
        return self._shaped(torch.tensor(self.scale, dtype=torch.float32, device=like.device), like.dim())

    def zero_point_tensor(self, like: Tensor) -> Tensor:
        """The zero point likewise."""
        return self._shaped(torch.tensor(self.zero_point, dtype=torch.float32, device=like.device), like.dim())

    def _shaped(self, values: Tensor, dim: int) -> Tensor:
        if self.axis is None:
            return values.reshape(())
        shape = [1] * dim
        shape[self.axis] = -1
        return values.reshape(shape)


@dataclass(frozen=True)
class TwinGrid:
    """Two uniform grids that share the values of one: PTQ4ViT, arXiv 2111.12293. Simulation alone.

    Attributes:
        border: Values below it are rounded to `below`, all others to `above`.
        below: A grid.
        above: Another one.
    """

    border: float
    below: Grid
    above: Grid

    def __str__(self) -> str:
        below, above = self.below.scale[0], self.above.scale[0]
        return f'{below:.3g} below {self.border:.3g} and {above:.3g} above, simulated'

    def round(self, x: Tensor) -> Tensor:
        """Round to the values of one of both."""
        return torch.where(x < self.border, fake_quantize(x, self.below), fake_quantize(x, self.above))


@dataclass(frozen=True)
class LogGrid:
    """Values scale * 2 ** (-q / steps) for q from 0 to 2 ** bits - 1, and 0 for what is closer to it. Simulation alone.

    log2 of FQ-ViT (arXiv 2111.13824) has one step for each halving, log-sqrt2 of RepQ-ViT (arXiv 2212.08254) two. That
    the rest becomes 0 is in both authors' code.

    Attributes:
        scale: The largest value.
        steps: For each halving.
        bits: Of q.
    """

    scale: float
    steps: int
    bits: int

    def __str__(self) -> str:
        return f'{self.scale:.3g}, logarithms, {self.steps} for each halving, simulated'

    def round(self, x: Tensor) -> Tensor:
        """Round to the nearest exponent; what is not positive becomes 0."""
        q = (-self.steps * torch.log2(x.clamp(min=0) / self.scale)).round().clamp(min=0)
        return torch.where(q < 2**self.bits, self.scale * torch.exp2(-q / self.steps), torch.zeros_like(x))


AnyGrid = Grid | TwinGrid | LogGrid


def grid_from(given: dict[str, Any]) -> AnyGrid:
    """A grid from what `dataclasses.asdict` made of it."""
    if 'border' in given:
        return TwinGrid(given['border'], Grid(**given['below']), Grid(**given['above']))
    return LogGrid(**given) if 'steps' in given else Grid(**given)


def fake_quantize(x: Tensor, grid: AnyGrid) -> Tensor:
    """Round a tensor to a grid, by PyTorch's own operators, which the ONNX exporter writes as QuantizeLinear.

    They know 8 bits; narrower grids clip before, which changes nothing of what is rounded, since the ends of the grid
    lie on it.
    """
    if not isinstance(grid, Grid):
        return grid.round(x)
    low, high = (-128, 127) if grid.is_signed else (0, 255)
    if (grid.low, grid.high) != (low, high):
        x = _clip(x, grid)
    if grid.axis is None:
        return torch.fake_quantize_per_tensor_affine(x, grid.scale[0], grid.zero_point[0], low, high)
    scale = torch.tensor(grid.scale, dtype=torch.float32, device=x.device)
    zero_point = torch.tensor(grid.zero_point, dtype=torch.int32, device=x.device)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, grid.axis, low, high)


def _clip(x: Tensor, grid: Grid) -> Tensor:
    if grid.axis is None:
        zero = grid.zero_point[0]
        return x.clamp((grid.low - zero) * grid.scale[0], (grid.high - zero) * grid.scale[0])
    scale, zero_point = grid.scale_tensor(x), grid.zero_point_tensor(x)
    return torch.minimum(torch.maximum(x, (grid.low - zero_point) * scale), (grid.high - zero_point) * scale)


def levels(bits: int, symmetric: bool) -> tuple[int, int]:
    """Lowest and highest q: of symmetric grids as many below zero as above, of others 0 to 2 ** bits - 1."""
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)


def grid_of_range(low: Tensor, high: Tensor, bits: int, symmetric: bool, axis: int | None = None) -> Grid:
    """The grid over a range, or over one per channel, widened to contain 0.

    Args:
        low: Least values, (C,) or without dimensions.
        high: Largest values.
        bits: 2 to 8.
        symmetric: Whether the zero point is 0 and q signed. A range without negative values asks for no signs: give
            `symmetric=False`, and the zero point is 0 as well.
        axis: Of the channels.

    Raises:
        ValueError: A limit is infinite or not a number.
    """
    low, high = low.detach().double().clamp(max=0).reshape(-1), high.detach().double().clamp(min=0).reshape(-1)
    if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
        raise ValueError(f'a range from {low.min().item()} to {high.max().item()}; expected finite numbers')
    first, last = levels(bits, symmetric)
    if symmetric:
        scale = (torch.maximum(-low, high) / last).clamp(min=LOWEST_SCALE)
        zero_point = torch.zeros_like(scale)
    else:
        scale = ((high - low) / last).clamp(min=LOWEST_SCALE)
        zero_point = (-low / scale).round().clamp(first, last)
    scale = scale.float().double()  # as it is stored
    return Grid(tuple(scale.tolist()), tuple(zero_point.tolist()), first, last, axis)


def chosen_channels(grids: Sequence[Grid], chosen: Tensor) -> Grid:
    """For each channel the grid of `grids` that `chosen`, (C,), says; all have the same levels and axis."""
    first, channels = grids[0], enumerate(chosen.tolist())
    picked = [(grids[index].scale[channel], grids[index].zero_point[channel]) for channel, index in channels]
    scales, zero_points = zip(*picked, strict=True)
    return Grid(scales, zero_points, first.low, first.high, first.axis)


def without_signs(grid: Grid, bits: int) -> Grid:
    """A symmetric grid as one whose q are 0 to 2 ** bits - 1; it has one more value, below the others."""
    offset = 2 ** (bits - 1)
    return Grid(grid.scale, tuple(zero + offset for zero in grid.zero_point), 0, 2**bits - 1, grid.axis)
