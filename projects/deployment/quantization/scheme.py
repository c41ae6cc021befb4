"""What is quantised how: call sites, grids, and all of a network together."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

CONV, DEPTHWISE, TRANSPOSED, LINEAR, MATMUL = 'conv', 'depthwise conv', 'transposed conv', 'linear', 'matmul'
LOWEST_SCALE = 1e-12  # of a tensor that is all zero; its product with any level is still a normal float32


@dataclass(frozen=True)
class Site:
    """One call of a convolution, linear layer or matrix product.

    A layer that heads share between levels is one module with a site per level, each with a range of its own.

    Attributes:
        name: Path of the module that calls, '#', and the number of the call within one run of the network.
        kind: 'conv', 'depthwise conv', 'transposed conv', 'linear', or 'matmul' of two activations.
        weight: Name of the parameter, which other sites may share; None for products of two activations.
        macs: Multiply-adds for one image.
        operands: Shapes of the activations that it read, of one image.
        groups: Of a convolution.
        bias: Name of the parameter that is added, or None.
    """

    name: str
    kind: str
    weight: str | None
    macs: int
    operands: tuple[tuple[int, ...], ...]
    groups: int = 1
    bias: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Keys of its activations in `Scheme.inputs`."""
        return tuple(f'{self.name}:{index}' for index in range(len(self.operands)))


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


def fake_quantize(x: Tensor, grid: Grid) -> Tensor:
    """Round a tensor to a grid, by PyTorch's own operators, which the ONNX exporter writes as QuantizeLinear.

    They know 8 bits; narrower grids clip before, which changes nothing of what is rounded, since the ends of the grid
    lie on it.
    """
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


@dataclass(frozen=True)
class Scheme:
    """All of a network's quantisation.

    Attributes:
        method: A key of `METHODS`.
        bits: Of weights and activations; the first convolution has 8.
        form: 'executable' by integer kernels, or 'paper': as published, in simulation alone.
        sites: In the order of their first calls.
        inputs: Grids of activations; the key is 'SITE:0', or 'SITE:1' for the second factor of a matrix product.
        weights: Grids of parameters.
        kept_in_float: Why a site is not quantised.
        unknown: Multiply-adds for one image of operators that nothing is known of; they stay in float.
    """

    method: str
    bits: int
    form: str
    sites: tuple[Site, ...]
    inputs: dict[str, Grid] = field(default_factory=dict)
    weights: dict[str, Grid] = field(default_factory=dict)
    kept_in_float: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> 'Scheme':
        """Read what `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        sites = tuple(Site(**{**site, 'operands': tuple(map(tuple, site['operands']))}) for site in given['sites'])
        grids = {key: {name: Grid(**grid) for name, grid in given[key].items()} for key in ('inputs', 'weights')}
        return cls(**{**given, 'sites': sites, **grids})
