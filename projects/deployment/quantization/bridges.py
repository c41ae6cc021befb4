"""Bridge blocks: convolutions whose maps become tokens, Q-HyViT (arXiv 2303.12557), found by what reads what."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .call_sites import Call
from .gauss_newton import probes
from .grids import AnyGrid, fake_quantize
from .scheme import CONV, DEPTHWISE, LINEAR, MATMUL
from .tape import Step, Tape, replay

MAX_IMAGES = 4  # that whole blocks are computed on, for every candidate
CONVOLUTIONS = (CONV, DEPTHWISE)


@dataclass(frozen=True)
class Passage:
    """From one convolution of a bridge block to the tokens, on one image.

    Attributes:
        call: The convolution.
        steps: What follows up to the last convolution.
        output: Number of the call's output on the tape.
        tokens: What the block gives in float.
        importance: Mean squared gradient of `tokens`.
    """

    call: Call
    steps: list[Step]
    output: int
    tokens: Tensor
    importance: Tensor

    def error(self, weight: Tensor, grid: AnyGrid) -> float:
        """Of the tokens, weighted, if this convolution alone is rounded."""
        with torch.no_grad():
            rounded = self.call.compute((fake_quantize(self.call.operands[0], grid),), weight)
            tokens = replay(self.steps, {self.output: rounded}) if self.steps else rounded
            return float(((tokens - self.tokens).square() * self.importance).sum())


def find_chains(tape: Tape) -> list[tuple[int, ...]]:
    """Steps of the convolutions of each bridge block.

    The last one's map is read by a product of tokens or a linear layer on them, with no other site in between. The ones
    before follow one another within the module that holds both the last one and its reader.
    """
    chains: dict[int, tuple[int, ...]] = {}
    for step in tape.steps:
        if step.call is None or not _reads_tokens(step.call):
            continue
        for last in sorted(step.sites):
            call = tape.steps[last].call
            if call is None or call.kind not in CONVOLUTIONS or last in chains:
                continue
            chains[last] = _chain(tape, last, _common_module(_path(call), _path(step.call)))
    inner = {index for chain in chains.values() for index in chain[:-1]}
    return [chain for last, chain in chains.items() if last not in inner]


def _reads_tokens(call: Call) -> bool:
    return call.kind == MATMUL or (call.kind == LINEAR and call.operands[0].dim() > 2)


def _chain(tape: Tape, last: int, block: str) -> tuple[int, ...]:
    chain = [last]
    while len(sites := tape.steps[chain[0]].sites) == 1:
        (before,) = sites
        call = tape.steps[before].call
        if call is None or call.kind not in CONVOLUTIONS or _common_module(_path(call), block) != block:
            break
        chain.insert(0, before)
    return tuple(chain)


def _common_module(one: str, other: str) -> str:
    """The innermost module that holds two."""
    pairs = zip(one.split('.'), other.split('.'), strict=False)
    return '.'.join(mine for mine, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _path(call: Call) -> str:
    return call.site.rpartition('#')[0]


def find_passages(graph: ImageGraph, batches: Sequence[np.ndarray], seed: int) -> dict[str, list[Passage]]:
    """Run a graph on a few images and cut out its bridge blocks.

    Args:
        graph: In float, without activations in place.
        batches: (B, H, W, 3) uint8 RGB; the first ones are taken.
        seed: Of the probes.

    Returns:
        By the name of each convolution that lies in a bridge block of two or more, a passage per image.
    """
    passages: dict[str, list[Passage]] = {}
    draw = probes(seed)
    for number, batch in enumerate(batches[:MAX_IMAGES]):
        images = torch.from_numpy(np.ascontiguousarray(batch))
        with torch.no_grad():
            regions = graph.regions(images)
        tape = Tape(graph)
        with torch.enable_grad():
            with tape.following():
                outputs = graph.head_outputs(images.float().requires_grad_(), regions)
            chains = [chain for chain in find_chains(tape) if len(chain) > 1]
            if not chains:
                return {}
            ends = [tape.tensors[tape.steps[chain[-1]].writes[0]] for chain in chains]
            squares = [torch.zeros_like(end) for end in ends]
            scalars = draw(outputs, number)
            for scalar in scalars:
                gradients = torch.autograd.grad(scalar, ends, retain_graph=True, allow_unused=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    if gradient is not None:
                        square += gradient.square() / len(scalars)
        for chain, end, square in zip(chains, ends, squares, strict=True):
            for index in chain:
                call = tape.steps[index].call
                assert call is not None
                steps = tape.between(index, chain[-1])
                passage = Passage(call, steps, tape.steps[index].writes[0], end.detach(), square)
                passages.setdefault(call.site, []).append(passage)
    return passages
