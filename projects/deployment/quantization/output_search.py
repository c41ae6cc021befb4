"""Grids by what they do to a layer's output: scales, granularity and symmetry, in turns for weights and activations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .grids import AnyGrid, Grid, chosen_channels, fake_quantize
from .scheme import DEPTHWISE, Site
from .units import Grids, Unit, round_samples

AROUND = (0.8, 0.9, 0.95, 1.05, 1.1)  # parts of the ranges of weights that are best for a layer alone

Error = Callable[[Tensor, Tensor, Tensor | None, tuple[int, ...]], Tensor]


def cosine_error(exact: Tensor, rounded: Tensor, importance: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    """1 - cos of outputs and rounded outputs over some dimensions; EasyQuant, arXiv 2006.16669, equation 4."""
    product = (exact * rounded).sum(dims)
    norms = exact.square().sum(dims).sqrt() * rounded.square().sum(dims).sqrt()
    return 1 - product / norms.clamp(min=1e-30)


def weighted_error(exact: Tensor, rounded: Tensor, importance: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    """Squared differences, weighted by `importance`, summed up; PTQ4ViT, arXiv 2111.12293, equation 8."""
    squares = (exact - rounded).square()
    return (squares if importance is None else squares * importance).sum(dims)


@dataclass(frozen=True)
class OutputSearch:
    """A search, of one unit.

    Attributes:
        error: Of an output.
        parts: Of the range that are tried.
        rounds: Over weights and activations.
        by_channel: Whether each output channel's weights have a part of their own. Cosines do not tell how large a
            channel is, and take one for all.
        symmetric: Whether all activations with negative values have symmetric grids.
        schemes: Whether the inputs of convolutions and linear layers may have either.
        channelwise: Whether inputs may have a grid per channel, where that is possible.
        bridges: Whether errors count at the end of the bridge block.
        biases: Whether biases take over the mean of what rounding adds to each output.
        special: Grids that an activation has in place of those, if any.
        start: Grids to begin with, which only those of a smaller error replace; None: of whole ranges.
    """

    error: Error
    parts: tuple[float, ...]
    rounds: int
    by_channel: bool = True
    symmetric: bool = False
    schemes: bool = False
    channelwise: bool = False
    bridges: bool = False
    biases: bool = False
    special: Callable[[Unit, Site, int, Sequence[float]], Sequence[AnyGrid]] | None = None
    start: Callable[[Unit], Grids] | None = None

    def __call__(self, unit: Unit) -> Grids:
        """Search."""
        grids = self._whole_ranges(unit) if self.start is None else self.start(unit)
        exact = {site.name: unit.output(site, unit.observed[site.name].samples, unit.weight) for site in unit.sites}
        for _ in range(self.rounds):
            before = dict(grids.inputs), dict(grids.weights)
            if unit.weight is not None:
                grids.weights[str(unit.sites[0].weight)] = self._weights(unit, grids, exact)
            for site in unit.sites:
                for index in range(len(site.operands)):
                    grids.inputs[site.inputs[index]] = self._input(unit, site, index, grids, exact[site.name])
            if before == (grids.inputs, grids.weights):
                break
        if self.bridges and unit.passages:
            self._through_bridge(unit, grids)
        if self.biases and unit.sites[0].bias is not None:
            grids.biases[unit.sites[0].bias] = tuple(_bias_correction(unit, grids).tolist())
        return grids

    def _whole_ranges(self, unit: Unit) -> Grids:
        inputs: dict[str, AnyGrid] = {
            key: unit.input_grid(site, index, symmetric=next(self._symmetries(unit, site, index)))
            for site in unit.sites
            for index, key in enumerate(site.inputs)
        }
        return Grids(inputs, {} if unit.weight is None else {str(unit.sites[0].weight): unit.weight_grids((1.0,))[0]})

    def _weights(self, unit: Unit, grids: Grids, exact: dict[str, Tensor]) -> Grid:
        """The best part: for each output channel, as no other one's output depends on it, or for all."""
        assert unit.weight is not None
        rounded = {site.name: unit.rounded(site, grids) for site in unit.sites}
        errors, grids_tried = [], [grids.weights[str(unit.sites[0].weight)], *unit.weight_grids(self.parts)]
        for grid in grids_tried:
            weight = fake_quantize(unit.weight, grid)
            rows = [
                self.error(
                    exact[site.name],
                    unit.output(site, rounded[site.name], weight),
                    unit.observed[site.name].importance,
                    (1,) if self.by_channel else (0, 1, 2),
                )
                for site in unit.sites
            ]
            summed = torch.stack(rows).sum(0)
            errors.append(unit.per_channel(summed) if self.by_channel else summed)
        best = torch.stack(errors).argmin(0)
        return chosen_channels(grids_tried, best.expand(unit.weight.shape[unit.weight_axis]))

    def _input(self, unit: Unit, site: Site, index: int, grids: Grids, exact: Tensor) -> AnyGrid:
        weight = None if unit.weight is None else fake_quantize(unit.weight, grids.weights[str(site.weight)])
        samples = unit.rounded(site, grids)
        original = unit.observed[site.name].samples[index]

        def output(grid: AnyGrid) -> Tensor:
            samples[index] = round_samples(original, site, grid)
            return unit.output(site, samples, weight)

        importance = unit.observed[site.name].importance
        everything = tuple(range(exact.dim()))
        candidates: list[AnyGrid] = [] if self.special is None else [*self.special(unit, site, index, self.parts)]
        if not candidates:
            candidates.append(grids.inputs[site.inputs[index]])
            for symmetric in self._symmetries(unit, site, index):
                candidates += [unit.input_grid(site, index, part, symmetric) for part in self.parts]
                if self.channelwise and unit.can_have_channels(site):
                    candidates += self._channel_grids(unit, site, symmetric, exact, output)
        errors = [self.error(exact, output(grid), importance, everything).item() for grid in candidates]
        return candidates[min(range(len(candidates)), key=errors.__getitem__)]

    def _symmetries(self, unit: Unit, site: Site, index: int) -> Iterator[bool]:
        needed = unit.is_symmetric(site, index)
        has_signs = bool(unit.input_range(site, index)[0] < 0)
        yield needed or (self.symmetric and has_signs)
        if self.schemes and not needed and has_signs:
            yield True

    def _through_bridge(self, unit: Unit, grids: Grids) -> None:
        """Choose again by the tokens at the end of the block, from what is best for the layer's own output onwards."""
        site, weight = unit.sites[0], unit.weight
        assert weight is not None
        name = str(site.weight)

        def error(input_grid: AnyGrid, weight_grid: Grid) -> float:
            rounded = fake_quantize(weight, weight_grid)
            return sum(passage.error(rounded, input_grid) for passage in unit.passages)

        found, whole = grids.weights[name], unit.weight_grids((1.0,))
        weights = [found, *whole, *(found.widened(factor) for factor in AROUND)]
        key = site.inputs[0]
        inputs = [grids.inputs[key]]
        for symmetric in self._symmetries(unit, site, 0):
            inputs += [unit.input_grid(site, 0, part, symmetric) for part in self.parts]
            if not unit.is_executable and unit.can_have_channels(site):
                inputs += [unit.channel_grid(site, part, symmetric) for part in self.parts]
        for _ in range(self.rounds):
            weight_grid = min(weights, key=lambda grid: error(grids.inputs[key], grid))
            input_grid = min(inputs, key=lambda grid: error(grid, weight_grid))
            if (input_grid, weight_grid) == (grids.inputs[key], grids.weights[name]):
                break
            grids.inputs[key], grids.weights[name] = input_grid, weight_grid

    def _channel_grids(
        self, unit: Unit, site: Site, symmetric: bool, exact: Tensor, output: Callable[[AnyGrid], Tensor]
    ) -> list[Grid]:
        """Grids per channel: of a depthwise convolution each by the outputs of its channel, else a part for all."""
        grids = [unit.channel_grid(site, part, symmetric) for part in self.parts]
        if site.kind != DEPTHWISE:
            return grids
        errors = [self.error(exact, output(grid), unit.observed[site.name].importance, (1, 2)) for grid in grids]
        return [chosen_channels(grids, torch.stack(errors).argmin(0))]


def _bias_correction(unit: Unit, grids: Grids) -> Tensor:
    """Minus the mean of (rounded - exact weights) times rounded inputs, for each channel: PTQ4ViT's code."""
    assert unit.weight is not None
    lost = unit.weight - fake_quantize(unit.weight, grids.weights[str(unit.sites[0].weight)])
    means = torch.stack([unit.output(site, unit.rounded(site, grids), lost).mean(1) for site in unit.sites]).mean(0)
    channels = unit.weight.shape[unit.weight_axis]
    return unit.per_channel(means) * (channels / means.numel())  # taps of transposed convolutions share a bias


def evenly(first: float, last: float, number: int) -> tuple[float, ...]:
    """Parts of a range, from the largest to the smallest."""
    return tuple(torch.linspace(last, first, number).tolist())
