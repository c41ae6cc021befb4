"""What sites read on calibration images: ranges, and samples of their products as matrices."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..inference_graphs.images import ImageGraph
from .call_sites import Call, CallSites
from .scheme import LINEAR, MATMUL, NORM, TRANSPOSED, Site

SAMPLED = 2**20  # numbers per site and operand
MIN_ROWS, MAX_ROWS = 128, 4096  # of samples, over all images


@dataclass
class Observed:
    """Of one site, over all images.

    Attributes:
        low: Least value of each operand; per channel (C,) of a convolution or linear layer, else without dimensions.
        high: Largest values.
        samples: Of each operand. Of weighted sites (G, n, K): n positions, of G groups, and the K values that meet the
            weights there. Of products (n, m, K) and (n, K, N): some rows of the first factor, the whole second one.
        importance: Mean squared gradient of each output for the samples, (G, n, O) or (n, m, N); empty without
            gradients.
    """

    low: list[Tensor] = field(default_factory=list)
    high: list[Tensor] = field(default_factory=list)
    samples: list[Tensor] = field(default_factory=list)
    importance: Tensor | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing ever reached the site."""
        return not self.low

    @property
    def is_finite(self) -> bool:
        """Whether all that reached it was."""
        return all(torch.isfinite(limit).all() for limit in (*self.low, *self.high))


@dataclass
class _Part:
    """Samples of one call."""

    site: str
    samples: list[Tensor]
    output: Tensor
    choose: Callable[[Tensor], Tensor]
    importance: Tensor | None = None


class _Observer(CallSites):
    def __init__(self, graph: nn.Module, sites: Sequence[Site], num_images: int, with_samples: bool) -> None:
        super().__init__(graph)
        self.observed = {site.name: Observed() for site in sites}
        self.num_images, self.with_samples = num_images, with_samples
        self.image = 0
        self.parts: list[_Part] = []

    def on_call(self, call: Call) -> Tensor:
        output = call()
        if torch.is_grad_enabled() and not output.requires_grad:
            output.requires_grad_()  # of what reads parameters alone, such as learnt tokens, gradients are wanted, too
        observed = self.observed.get(call.site)
        if observed is None or any(not operand.numel() for operand in call.operands):
            return output
        with torch.no_grad():
            self._note_ranges(observed, call)
            if self.with_samples:
                seed = zlib.crc32(f'{call.site} {self.image}'.encode())
                generator = torch.Generator().manual_seed(seed)
                samples, choose = sample(call, output, self.num_images, generator)
                self.parts.append(_Part(call.site, samples, output, choose))
        return output.clone() if output.requires_grad else output  # activations in place come after it

    on_norm = on_call

    def _note_ranges(self, observed: Observed, call: Call) -> None:
        for index, operand in enumerate(call.operands):
            low, high = limits(operand.detach(), channel_axis(call.kind, operand.dim()))
            if index == len(observed.low):
                observed.low.append(low)
                observed.high.append(high)
            else:
                observed.low[index] = torch.minimum(observed.low[index], low)
                observed.high[index] = torch.maximum(observed.high[index], high)


def observe(
    graph: ImageGraph,
    batches: Sequence[np.ndarray],
    sites: Sequence[Site],
    with_samples: bool = True,
    probes: Callable[[dict[str, Tensor], int], list[Tensor]] | None = None,
) -> dict[str, Observed]:
    """Run a graph on images and note what its sites read.

    Args:
        graph: In float.
        batches: (B, H, W, 3) uint8 RGB.
        sites: Those to look at.
        with_samples: Whether to keep samples, and not ranges alone.
        probes: From what the heads say of an image, and its number, to scalars; the squares of their gradients at
            the sites' outputs, averaged over the scalars, become `importance`. Networks of two stages keep their
            regions.
    """
    observer = _Observer(graph, sites, len(batches), with_samples)
    parts: dict[str, list[_Part]] = {site.name: [] for site in sites}
    for observer.image, batch in enumerate(batches):
        images = torch.from_numpy(np.ascontiguousarray(batch))
        if probes is None:
            with torch.no_grad(), observer.following():
                graph(images)
        else:
            with torch.no_grad():
                regions = graph.regions(images)
            with torch.enable_grad():
                with observer.following():
                    outputs = graph.head_outputs(images.float().requires_grad_(), regions)
                _weigh(observer.parts, probes(outputs, observer.image))
        for part in observer.parts:
            part.output = torch.empty(0)
            parts[part.site].append(part)
        observer.parts.clear()
    kinds = {site.name: site.kind for site in sites}
    for name, observed in observer.observed.items():
        found = parts[name]
        for index in range(len(found[0].samples) if found else 0):
            observed.samples.append(_joined([part.samples[index] for part in found], kinds[name]))
        if found and found[0].importance is not None:
            weights = [part.importance for part in found if part.importance is not None]
            observed.importance = _joined(weights, kinds[name])
    return observer.observed


def _joined(parts: list[Tensor], kind: str) -> Tensor:
    """Of weighted sites along the positions; of products, those of one size, along the batch."""
    if kind != MATMUL:
        return torch.cat(parts, 1)
    return torch.cat([part for part in parts if part.shape[1:] == parts[0].shape[1:]])


def _weigh(parts: list[_Part], scalars: list[Tensor]) -> None:
    outputs = [part.output for part in parts]
    for number, scalar in enumerate(scalars):
        last = number == len(scalars) - 1
        gradients = torch.autograd.grad(scalar, outputs, retain_graph=not last, allow_unused=True)
        for part, gradient in zip(parts, gradients, strict=True):
            if gradient is None:
                gradient = torch.zeros_like(part.output)
            squared = part.choose(gradient).square() / len(scalars)
            part.importance = squared if part.importance is None else part.importance + squared


def channel_axis(kind: str, dims: int) -> int | None:
    """Dimension of the channels of what a site reads, of so many dimensions; None for products of activations."""
    if kind == MATMUL:
        return None
    return dims - 1 if kind in (LINEAR, NORM) else dims - 3


def limits(x: Tensor, axis: int | None) -> tuple[Tensor, Tensor]:
    """Least and largest values, of all or per channel."""
    if axis is None:
        return x.amin(), x.amax()
    others = [dim for dim in range(x.dim()) if dim != axis]
    return x.amin(others), x.amax(others)


def sample(
    call: Call, output: Tensor, num_images: int, generator: torch.Generator
) -> tuple[list[Tensor], Callable[[Tensor], Tensor]]:
    """Choose positions of a call's output, and gather what meets there.

    Returns:
        The samples, see `Observed`, and what takes the same positions from a tensor of the output's shape.
    """
    if call.kind == MATMUL:
        return _sample_product(call, output, num_images, generator)
    x = call.operands[0].detach()
    if call.kind in (LINEAR, NORM):
        rows = x.reshape(-1, x.shape[-1])
        chosen = _positions(len(rows), rows.shape[-1], num_images, generator)
        return [rows[chosen][None]], lambda values: values.reshape(len(rows), -1)[chosen][None]
    if call.kind == TRANSPOSED:
        return _sample_transposed(call, x, output, num_images, generator)
    assert call.weight is not None
    geometry = convolution_geometry(call)
    kernel, groups = call.weight.shape[2:], x.shape[1] // call.weight.shape[1]
    batch, _, height, width = output.shape
    chosen = _positions(batch * height * width, groups * call.weight[0].numel(), num_images, generator)
    image, row, column = chosen // (height * width), chosen // width % height, chosen % width
    padded = F.pad(x, geometry.padding)
    rows_read = row[:, None] * geometry.stride[0] + torch.arange(kernel[0]) * geometry.dilation[0]
    columns_read = column[:, None] * geometry.stride[1] + torch.arange(kernel[1]) * geometry.dilation[1]
    patches = padded[image[:, None, None], :, rows_read[:, :, None], columns_read[:, None, :]]  # (n, kh, kw, C)
    patches = patches.permute(0, 3, 1, 2).reshape(len(chosen), groups, -1).transpose(0, 1).contiguous()

    def choose(values: Tensor) -> Tensor:
        return values[image, :, row, column].reshape(len(chosen), groups, -1).transpose(0, 1)

    return [patches], choose


@dataclass(frozen=True)
class Geometry:
    """Of a convolution; padding as `F.pad` takes it."""

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]


def convolution_geometry(call: Call) -> Geometry:
    """Stride, padding and dilation of a call."""
    stride, dilation = _pair(call.options['stride']), _pair(call.options['dilation'])
    assert call.weight is not None
    height, width = call.weight.shape[2:]
    padding = call.options['padding']
    if padding == 'valid':
        return Geometry(stride, (0, 0, 0, 0), dilation)
    if padding == 'same':
        total = dilation[0] * (height - 1), dilation[1] * (width - 1)
        left, top = total[1] // 2, total[0] // 2
        return Geometry(stride, (left, total[1] - left, top, total[0] - top), dilation)
    rows, columns = _pair(padding)
    return Geometry(stride, (columns, columns, rows, rows), dilation)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _sample_transposed(
    call: Call, x: Tensor, output: Tensor, num_images: int, generator: torch.Generator
) -> tuple[list[Tensor], Callable[[Tensor], Tensor]]:
    """Pixels of the input, each with all of its contributions; where these overlap, outputs count once for each."""
    options = call.options
    assert call.weight is not None
    batch, channels, height, width = x.shape
    groups = options['groups']
    chosen = _positions(batch * height * width, channels, num_images, generator)
    rows = x.permute(0, 2, 3, 1).reshape(-1, groups, channels // groups)[chosen].transpose(0, 1).contiguous()
    kernel = tuple(call.weight.shape[2:])

    def choose(values: Tensor) -> Tensor:
        taps = F.unfold(values, kernel, options['dilation'], options['padding'], options['stride'])
        taps = taps[..., : height * width].transpose(1, 2).reshape(batch * height * width, groups, -1)
        return taps[chosen].transpose(0, 1)

    return [rows], choose


def _sample_product(
    call: Call, output: Tensor, num_images: int, generator: torch.Generator
) -> tuple[list[Tensor], Callable[[Tensor], Tensor]]:
    first, second = (operand.detach() for operand in call.operands)
    lead = output.shape[:-2]
    first = first.expand(*lead, *first.shape[-2:]).reshape(-1, *first.shape[-2:])
    second = second.expand(*lead, *second.shape[-2:]).reshape(-1, *second.shape[-2:])
    rows = first.shape[1]
    few = max(1, min(rows, SAMPLED // num_images // max(1, len(first) * max(first.shape[2], second.shape[2]))))
    chosen = torch.randperm(rows, generator=generator)[:few]
    return [first[:, chosen], second], lambda values: values.reshape(-1, rows, values.shape[-1])[:, chosen]


def _positions(total: int, size: int, num_images: int, generator: torch.Generator) -> Tensor:
    rows = min(max(SAMPLED // max(size, 1), MIN_ROWS), MAX_ROWS)
    few = min(total, -(-rows // num_images))
    return torch.randint(total, (few,), generator=generator) if few < total else torch.arange(total)


def weight_matrix(kind: str, weight: Tensor, groups: int) -> Tensor:
    """Weights as (G, O, K) that meet samples (G, n, K); O holds the output channels of a group, with taps if any."""
    if kind == LINEAR:
        return weight[None]
    if kind == TRANSPOSED:
        return weight.reshape(groups, weight.shape[0] // groups, -1).transpose(1, 2)
    return weight.reshape(groups, weight.shape[0] // groups, -1)
