"""What made the numbers that a site reads, found by what the network computes."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .call_sites import operator_name
from .scheme import MATMUL
from .tape import Step, Tape

SOFTMAX, GELU, RELU = 'softmax', 'gelu', 'relu'
VALUES, KEYS_AND_VALUES = 'values of ReLU attention', 'products of its keys and values'
MAKERS: dict[Callable, str] = {
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), SOFTMAX),
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), RELU),
    F.gelu: GELU,
}
MOVES = {  # functions whose results are numbers of their first argument
    *('__getitem__', 'chunk', 'clone', 'contiguous', 'dropout', 'expand', 'flatten', 'float', 'movedim', 'permute'),
    *('reshape', 'split', 'squeeze', 'to', 'transpose', 'unbind', 'unflatten', 'unsqueeze', 'view'),
}


def record(graph: ImageGraph, image: Tensor) -> Tape:
    """Run a graph on one image, (1, H, W, 3), and note each step."""
    tape = Tape(graph)
    with torch.no_grad(), tape.following():
        graph(image)
    return tape


def find_makers(tape: Tape) -> dict[str, Step]:
    """For each operand of a site, by the keys of `Scheme.inputs`, the step that made its numbers.

    In between may lie what only moves numbers.
    """
    made: dict[int, Step] = {}
    makers = {}
    for step in tape.steps:
        if step.call is not None:
            for index, number in enumerate(step.reads):
                if number in made:
                    makers[f'{step.call.site}:{index}'] = made[number]
        maker = made.get(step.reads[0], step) if step.reads and _moves(step) else step
        made.update(dict.fromkeys(step.writes, maker))
    return makers


def find_origins(tape: Tape) -> dict[str, str]:
    """For each operand of a site, the function above that made it, or its part in ReLU attention, if it is of these."""
    makers = find_makers(tape)
    origins = {key: MAKERS[step.function] for key, step in makers.items() if step.function in MAKERS}
    for step in tape.steps:
        if step.call is not None and step.call.kind == MATMUL:
            origins |= _relu_attention(step.call.site, makers, origins)
    return origins


def _relu_attention(site: str, makers: Mapping[str, Step], origins: Mapping[str, str]) -> dict[str, str]:
    """Of a product of which one factor is another product, if queries and keys among the three factors are rectified.

    Either keys meet values first, and what comes of it the queries, or queries meet keys and these the values.
    """
    for index in (0, 1):
        inner = makers.get(f'{site}:{index}')
        if inner is None or inner.call is None or inner.call.kind != MATMUL:
            continue
        first = [f'{inner.call.site}:{place}' for place in (0, 1)]
        others = [key for key in (*first, f'{site}:{1 - index}') if origins.get(key) != RELU]
        if len(others) == 1 and others[0] not in origins:
            return {others[0]: VALUES} | ({f'{site}:{index}': KEYS_AND_VALUES} if others[0] in first else {})
    return {}


def _moves(step: Step) -> bool:
    """Whether a step gives the numbers that it was given, in another shape or order."""
    return step.function is not None and operator_name(step.function).rpartition('.')[2] in MOVES
