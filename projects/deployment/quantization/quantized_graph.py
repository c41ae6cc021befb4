"""A graph that rounds at its call sites: the simulation, and what the exporter writes."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..inference_graphs.images import ImageGraph
from .call_sites import Call, CallSites
from .grids import AnyGrid, fake_quantize
from .scheme import Scheme

Rounding = Callable[[Tensor], Tensor]


class Rounded(CallSites):
    """Rounds activations and weights before every site that has grids.

    Args:
        graph: See `CallSites`.
        inputs: What rounds an activation, by the keys of `Scheme.inputs`; those without stay as they are.
        weights: What rounds a parameter, by its name.
    """

    def __init__(self, graph: nn.Module, inputs: Mapping[str, Rounding], weights: Mapping[str, Rounding]) -> None:
        super().__init__(graph)
        self.inputs, self.weights = inputs, weights

    def on_call(self, call: Call) -> Tensor:
        operands = tuple(
            self.inputs[key](operand) if (key := f'{call.site}:{index}') in self.inputs else operand
            for index, operand in enumerate(call.operands)
        )
        weight, name = call.weight, call.weight_name
        if weight is not None and name is not None and name in self.weights and f'{call.site}:0' in self.inputs:
            weight = self.weights[name](weight)
        return call.compute(operands, weight)

    on_norm = on_call


def rounding(grid: AnyGrid) -> Rounding:
    """What rounds to a grid."""
    return lambda x: fake_quantize(x, grid)


class QuantizedGraph(nn.Module):
    """An inference graph whose convolutions, linear layers and matrix products read rounded numbers.

    What it computes in PyTorch is the simulation; traced by the exporter it becomes a graph with QuantizeLinear and
    DequantizeLinear, which runtimes compute in integers.

    Args:
        graph: In float, with the weights that the scheme was made for.
        scheme: What is rounded how.
        exact_weights: Of the parameters that lie on their grids already, what they were before.
    """

    def __init__(self, graph: ImageGraph, scheme: Scheme, exact_weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.graph, self.scheme, self.exact_weights = graph, scheme, exact_weights or {}
        self.output_names = graph.output_names
        self._lock = threading.Lock()  # of the hooks that follow the modules
        self._rounded: dict[str, tuple[int, Tensor]] = {}  # weights on their grids, and the version that they are of
        self.eval()  # the exporter gives a graph back the mode that its outermost module had

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """As the graph's own."""
        return self._run(self.graph, images)

    def head_outputs(self, images: Tensor, regions: Any = None) -> dict[str, Tensor]:
        """As the graph's own."""
        regions = self.regions(images) if regions is None else regions
        return self._run(self.graph.head_outputs, images, regions)

    def regions(self, images: Tensor) -> Any:
        """As the graph's own."""
        return self._run(self.graph.regions, images)

    def _run(self, function: Callable, *args: Any) -> Any:
        inputs = {key: rounding(grid) for key, grid in self.scheme.inputs.items()}
        weights = {name: partial(self._weight, name) for name in self.scheme.weights}
        with self._lock, torch.no_grad(), Rounded(self.graph, inputs, weights).following():
            return function(*args)

    def _weight(self, name: str, weight: Tensor) -> Tensor:
        """A parameter on its grid; what is traced has to show the rounding, what is not is rounded once."""
        if torch.jit.is_tracing():
            return fake_quantize(weight, self.scheme.weights[name])
        version, rounded = self._rounded.get(name, (-1, weight))
        if version != weight._version:
            version, rounded = weight._version, fake_quantize(weight, self.scheme.weights[name])
            self._rounded[name] = version, rounded
        return rounded
