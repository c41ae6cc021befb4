"""Which sites a network has, and what of it nothing is known of."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inference_graphs.free_sizes import AdaptiveAveragePool
from ..inference_graphs.images import ImageGraph
from ..multiply_adds import count_macs
from .call_sites import Call, CallSites, operator_name
from .scheme import MATMUL, Site


class _Discovery(CallSites):
    def __init__(self, graph: ImageGraph, norms: bool) -> None:
        super().__init__(graph)
        self.norms = norms
        self.sites: list[Site] = []
        self.kept: dict[str, str] = {}
        self.unknown: Counter[str] = Counter()
        self._pools = {path for path, module in graph.named_modules() if isinstance(module, AdaptiveAveragePool)}

    def on_call(self, call: Call) -> Tensor:
        output, macs = count_macs(call)
        shapes = tuple(tuple(operand.shape) for operand in call.operands)
        groups = call.options.get('groups', 1)
        self.sites.append(Site(call.site, call.kind, call.weight_name, macs.total, shapes, groups, call.bias))
        if call.kind != MATMUL and call.weight_name is None:
            self.kept[call.site] = 'its weights are computed, not learnt'
        elif self.module in self._pools:
            self.kept[call.site] = 'it averages'
        return output

    def on_norm(self, call: Call) -> Tensor:
        if self.norms:
            self.sites.append(Site(call.site, call.kind, None, 0, (tuple(call.operands[0].shape),)))
        return call()

    def on_other(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        output, macs = count_macs(partial(function, *args, **kwargs))
        if macs.total:
            self.unknown[operator_name(function)] += macs.total
        return output


def find_sites(
    graph: ImageGraph, image: Tensor, norms: bool = False
) -> tuple[tuple[Site, ...], dict[str, str], dict[str, int]]:
    """Run a graph on one image, (1, H, W, 3), and see what it multiplies.

    Args:
        graph: In float.
        image: To run it on.
        norms: Whether layer normalisations count as sites, too.

    Returns:
        The sites in the order of their calls; those that cannot be quantised, with the reason; and the multiply-adds of
        operators that nothing is known of, by name.
    """
    discovery = _Discovery(graph, norms)
    with torch.no_grad(), discovery.following():
        graph(image)
    return tuple(discovery.sites), discovery.kept, dict(discovery.unknown)
