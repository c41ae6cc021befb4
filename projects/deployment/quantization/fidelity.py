"""How far a quantised graph strays from the one in float: signal-to-noise ratios in dB."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .call_sites import Call, CallSites
from .quantized_graph import QuantizedGraph, Rounded, rounding

LARGEST_DB = 200.0  # of what does not differ


class _Power:
    """Sums of squares of signals and of what is added to them."""

    def __init__(self) -> None:
        self.signal: dict[str, float] = defaultdict(float)
        self.noise: dict[str, float] = defaultdict(float)

    def add(self, name: str, exact: Tensor, rounded: Tensor) -> None:
        if not exact.any():  # such as the masks of no detections
            return
        self.signal[name] += exact.double().square().sum().item()
        self.noise[name] += (exact - rounded).double().square().sum().item()

    def decibels(self) -> dict[str, float]:
        return {name: sqnr_db(signal, self.noise[name]) for name, signal in self.signal.items()}


def sqnr_db(signal: float, noise: float) -> float:
    """10 log10 of the ratio of two powers; at most `LARGEST_DB`."""
    if noise <= 0:
        return LARGEST_DB
    return min(10 * math.log10(signal / noise), LARGEST_DB) if signal > 0 else -LARGEST_DB


@dataclass(frozen=True)
class ExactHeads:
    """What the heads of a network in float say of images, which many quantisers are compared with.

    Attributes:
        images: (B, H, W, 3).
        regions: That it proposed, see `ImageGraph.regions`.
        outputs: See `ImageGraph.head_outputs`.
    """

    images: Tensor
    regions: Any
    outputs: dict[str, Tensor]


def exact_heads(graph: ImageGraph, batches: Sequence[np.ndarray]) -> list[ExactHeads]:
    """What the heads say of batches (B, H, W, 3) uint8 RGB."""
    found = []
    with torch.no_grad():
        for images in _tensors(batches):
            regions = graph.regions(images)
            found.append(ExactHeads(images, regions, graph.head_outputs(images, regions)))
    return found


def head_sqnr_db(exact: Sequence[ExactHeads], quantized: ImageGraph) -> dict[str, float]:
    """Of each output of the heads; both networks see the regions of the one in float.

    Args:
        exact: Of that, from `exact_heads`.
        quantized: A `QuantizedGraph`.

    Returns:
        By name of the output, and their mean as 'all'.
    """
    power = _Power()
    for one in exact:
        with torch.no_grad():
            rounded = quantized.head_outputs(one.images, one.regions)
        for name, value in one.outputs.items():
            power.add(name, value, rounded[name])
    ratios = power.decibels()
    return {**ratios, 'all': sum(ratios.values()) / max(len(ratios), 1)}


def site_sqnr_db(quantized: QuantizedGraph, batches: Sequence[np.ndarray]) -> dict[str, float]:
    """Of each site's output, where what is before the site is in float: what its own rounding costs."""
    comparison = _Comparison(quantized)
    for images in _tensors(batches):
        with torch.no_grad(), comparison.following():
            quantized.graph(images)
    return comparison.power.decibels()


class _Comparison(CallSites):
    def __init__(self, quantized: QuantizedGraph) -> None:
        super().__init__(quantized.graph)
        scheme = quantized.scheme
        inputs = {key: rounding(grid) for key, grid in scheme.inputs.items()}
        weights = {name: rounding(grid) for name, grid in scheme.weights.items()}
        self.rounded = Rounded(quantized.graph, inputs, weights)
        self.exact_weights = quantized.exact_weights
        self.power = _Power()

    def on_call(self, call: Call) -> Tensor:
        exact = call.compute(call.operands, self.exact_weights.get(call.weight_name or '', call.weight))
        self.power.add(call.site, exact, self.rounded.on_call(call))
        return exact


def _tensors(batches: Sequence[np.ndarray]) -> Iterator[Tensor]:
    for batch in batches:
        yield torch.from_numpy(np.ascontiguousarray(batch))
