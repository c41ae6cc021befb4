"""What made the numbers that a site reads, found by what the network computes."""

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .call_sites import operator_name
from .scheme import MATMUL
from .tape import Step, Tape

SOFTMAX, GELU, RELU = 'softmax', 'gelu', 'relu'
VALUES = 'values of ReLU attention'
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
    """For each operand of a site, the known function that made it; and which ones are values of ReLU attention."""
    makers = find_makers(tape)
    origins = {key: MAKERS[step.function] for key, step in makers.items() if step.function in MAKERS}
    return origins | dict.fromkeys(_relu_attention(tape, makers, origins), VALUES)


def _relu_attention(tape: Tape, makers: Mapping[str, Step], origins: Mapping[str, str]) -> Iterator[str]:
    """Second factors with a column for each channel of the values, in products of three of which two are rectified.

    Either keys meet values first, whose products then meet the queries, or queries and keys do.
    """
    for step in tape.steps:
        if step.call is None or step.call.kind != MATMUL:
            continue
        site = step.call.site
        for index in (0, 1):
            inner = makers.get(f'{site}:{index}')
            if inner is None or inner.call is None or inner.call.kind != MATMUL:
                continue
            three = f'{inner.call.site}:0', f'{inner.call.site}:1', f'{site}:{1 - index}'
            values = [key for key in three if origins.get(key) != RELU]
            if len(values) == 1 and origins.get(values[0]) != SOFTMAX:
                through = [f'{site}:{index}'] if values[0] in three[:2] else []
                yield from (key for key in (*values, *through) if key.endswith(':1'))


def _moves(step: Step) -> bool:
    """Whether a step gives the numbers that it was given, in another shape or order."""
    return step.function is not None and operator_name(step.function).rpartition('.')[2] in MOVES
