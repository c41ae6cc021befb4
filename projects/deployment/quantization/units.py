"""What is searched together: a parameter with the sites that read it, or a product of two activations."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from .bridges import Passage
from .grids import AnyGrid, Grid, fake_quantize, grid_of_range, without_signs
from .observation import Observed, channel_axis, weight_matrix
from .scheme import CONV, DEPTHWISE, LINEAR, MATMUL, TRANSPOSED, Site


@dataclass(frozen=True)
class Grids:
    """What was found for a unit.

    Attributes:
        inputs: By the keys of `Scheme.inputs`.
        weights: By the name of the parameter.
        biases: What is added to each number of a bias, by the name of that parameter.
    """

    inputs: dict[str, AnyGrid] = field(default_factory=dict)
    weights: dict[str, Grid] = field(default_factory=dict)
    biases: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """A parameter and its sites, or one product.

    Attributes:
        sites: Those that read the parameter, or the product alone.
        observed: What they read, by name.
        weight: The parameter, or None.
        bits: Of its grids.
        channelwise: Whether activations may have a grid per channel, which OpenVINO computes for depthwise
            convolutions and ONNX Runtime does not.
        passages: To the end of its bridge block, on some images; empty if it is in none.
        origins: See `find_origins`.
        is_executable: Whether its grids have to be such that integer kernels compute with them.
        weight_bits: That such weights and second factors of products have at most.
    """

    sites: tuple[Site, ...]
    observed: Mapping[str, Observed]
    weight: Tensor | None
    bits: int
    channelwise: bool = True
    passages: Sequence[Passage] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    is_executable: bool = True
    weight_bits: int = 8

    @property
    def name(self) -> str:
        """Of the first site."""
        return self.sites[0].name

    @property
    def kind(self) -> str:
        """Of all sites."""
        return self.sites[0].kind

    @property
    def weight_axis(self) -> int:
        """Dimension of the outputs in the parameter."""
        assert self.weight is not None
        return 1 if self.kind == TRANSPOSED else 0

    @property
    def factor_bits(self) -> int:
        """Of the grids of weights and of second factors of products."""
        return min(self.bits, self.weight_bits) if self.is_executable else self.bits

    def matrix(self, weight: Tensor | None = None) -> Tensor:
        """The parameter, or one of its shape, as (G, O, K) that meets the samples."""
        weight = self.weight if weight is None else weight
        assert weight is not None
        return weight_matrix(self.kind, weight, self.sites[0].groups)

    def per_channel(self, rows: Tensor) -> Tensor:
        """Sums (C,), for the channels of the weights' grid, of values (G, O) for the rows of `matrix`."""
        assert self.weight is not None
        if self.kind != TRANSPOSED:
            return rows.reshape(-1)
        return rows.reshape(len(rows), self.weight.shape[1], -1).sum((0, 2))

    def weight_range(self) -> tuple[Tensor, Tensor]:
        """Least and largest weight of each output channel."""
        assert self.weight is not None
        others = [dim for dim in range(self.weight.dim()) if dim != self.weight_axis]
        return self.weight.amin(others), self.weight.amax(others)

    def weight_grid(self, part: Tensor | float = 1.0) -> Grid:
        """Symmetric per channel, over a part of the range, for each channel or all."""
        low, high = self.weight_range()
        return grid_of_range(low * part, high * part, self.factor_bits, symmetric=True, axis=self.weight_axis)

    def weight_grids(self, parts: Sequence[float]) -> list[Grid]:
        """One for each part of the range; without kernels those with a zero point, too, and all are unsigned."""
        symmetric = [self.weight_grid(part) for part in parts]
        if self.is_executable:
            return symmetric
        low, high = self.weight_range()
        free = [grid_of_range(low * part, high * part, self.bits, False, self.weight_axis) for part in parts]
        return [*(without_signs(grid, self.bits) for grid in symmetric), *free]

    def input_range(self, site: Site, index: int) -> tuple[Tensor, Tensor]:
        """Of all channels together."""
        observed = self.observed[site.name]
        return observed.low[index].amin(), observed.high[index].amax()

    def is_symmetric(self, site: Site, index: int) -> bool:
        """Whether kernels ask for a symmetric grid: transposed convolutions and products of two activations.

        OpenVINO computes these in integers if no operand has a zero point, and the second factor of a product is
        signed. Without negative values a grid without signs has zero point 0 as well.
        """
        if not self.is_executable:
            return False
        if site.kind == MATMUL and index == 1:
            return True
        return site.kind in (MATMUL, TRANSPOSED) and bool(self.input_range(site, index)[0] < 0)

    def input_bits(self, site: Site, index: int) -> int:
        """Of the grids of what a site reads."""
        return self.factor_bits if site.kind == MATMUL and index == 1 else self.bits

    def input_grid(self, site: Site, index: int, part: float = 1.0, symmetric: bool | None = None) -> Grid:
        """One for the tensor, over a part of the range."""
        low, high = self.input_range(site, index)
        symmetric = self.is_symmetric(site, index) if symmetric is None else symmetric
        return grid_of_range(low * part, high * part, self.input_bits(site, index), symmetric)

    def can_have_channels(self, site: Site) -> bool:
        """Whether what the site reads may have a grid per channel.

        Where a channel has several outputs, OpenVINO 2026.4 computes other numbers if zero points differ.
        """
        if self.is_executable and self.weight is not None and len(self.weight) != site.groups:
            return False
        return self.channelwise and site.kind in ((DEPTHWISE,) if self.is_executable else (CONV, DEPTHWISE, LINEAR))

    def channel_grid(self, site: Site, parts: Tensor | float, symmetric: bool) -> Grid:
        """One for each channel of what a convolution or linear layer reads, over a part of its range."""
        observed, axis = self.observed[site.name], channel_axis(site.kind, len(site.operands[0]))
        return grid_of_range(observed.low[0] * parts, observed.high[0] * parts, self.bits, symmetric, axis)

    def output(self, site: Site, samples: Sequence[Tensor], weight: Tensor | None) -> Tensor:
        """The site's products at the samples, without bias: (G, n, O), or (n, m, N)."""
        if weight is None:
            return samples[0] @ samples[1]
        return samples[0] @ self.matrix(weight).transpose(1, 2)

    def rounded(self, site: Site, grids: Grids) -> list[Tensor]:
        """The samples of a site on their grids."""
        samples = self.observed[site.name].samples
        return [round_samples(one, site, grids.inputs[key]) for one, key in zip(samples, site.inputs, strict=True)]


def round_samples(samples: Tensor, site: Site, grid: AnyGrid) -> Tensor:
    """Round samples to a grid, whose channels are those that the site reads."""
    if not isinstance(grid, Grid) or grid.axis is None:
        return fake_quantize(samples, grid)
    if site.kind == MATMUL:
        return fake_quantize(samples, dataclasses.replace(grid, axis=2))
    groups, positions = samples.shape[:2]
    if len(grid.scale) % groups or samples[0, 0].numel() % (len(grid.scale) // groups):
        raise ValueError(f'{site.name}: a grid of {len(grid.scale)} channels for samples {tuple(samples.shape)}')
    channels = samples.transpose(0, 1).reshape(positions, len(grid.scale), -1)  # and the taps of each
    rounded = fake_quantize(channels, dataclasses.replace(grid, axis=1))
    return rounded.reshape(positions, groups, -1).transpose(0, 1)


def units_of(
    graph: nn.Module,
    sites: Sequence[Site],
    observed: Mapping[str, Observed],
    bits: int,
    channelwise: bool = True,
    passages: Mapping[str, Sequence[Passage]] | None = None,
    origins: Mapping[str, str] | None = None,
    is_executable: bool = True,
    weight_bits: int = 8,
) -> list[Unit]:
    """Group sites, in their order; the first layer, which reads the image, keeps 8 bits."""
    parameters = dict(graph.named_parameters())
    groups: dict[str, list[Site]] = {}
    for site in sites:
        groups.setdefault(site.weight or site.name, []).append(site)
    return [
        Unit(
            tuple(group),
            observed,
            None if group[0].weight is None else parameters[group[0].weight].detach(),
            8 if number == 0 and group[0].kind != MATMUL else bits,
            channelwise,
            (passages or {}).get(group[0].name, ()) if len(group) == 1 else (),
            origins or {},
            is_executable,
            weight_bits,
        )
        for number, group in enumerate(groups.values())
    ]
