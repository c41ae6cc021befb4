"""Blocks of a network, whose ways part at one step and meet again at another, found by what reads what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..inference_graphs.images import ImageGraph
from .gauss_newton import probes
from .tape import Step, Tape

MAX_NUMBERS = 2**28  # of inputs and outputs that are kept
MOST_LAYERS = 8  # of a block


@dataclass
class Block:
    """Part of a network that reads one step's results, with what it reads and gives on some images.

    Attributes:
        steps: From behind its input to its output.
        given: Its inputs by their numbers on the tape, one set for each image.
        outputs: What it gives in float.
        importance: Mean squared gradients of `outputs`.
    """

    steps: list[Step]
    given: list[dict[int, Tensor]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    importance: list[Tensor] = field(default_factory=list)

    @property
    def weights(self) -> list[str]:
        """Names of its parameters."""
        return [step.call.weight_name for step in self.steps if step.call is not None and step.call.weight_name]


def find_blocks(tape: Tape, images: Tensor) -> list[tuple[int, int]]:
    """Steps at which blocks of 1 to `MOST_LAYERS` layers begin and end, the largest ones, of which no two overlap.

    A block ends where ways meet, and begins at the last step that all of them go through: its dominator.
    """
    made, dominators = {id(images): -1}, {-1: -1}
    runs = Counter(step.call.weight_name for step in tape.steps if step.call is not None)
    found: list[tuple[int, int, frozenset[str]]] = []
    for index, step in enumerate(tape.steps):
        before = sorted({made[number] for number in step.reads if number in made})
        if not before:
            continue
        made.update(dict.fromkeys(step.writes, index))
        common = before[0]
        for other in before[1:]:
            while common != other:
                common, other = min(common, other), dominators[max(common, other)]
        dominators[index] = common
        if len(before) > 1 and common >= 0:
            inside = [one.call.weight_name for one in tape.between(common, index) if one.call is not None]
            layers = frozenset(name for name in inside if name is not None)
            if 1 <= len(layers) <= MOST_LAYERS and all(runs[name] == 1 for name in layers):
                found.append((common, index, layers))
    chosen, taken = [], frozenset[str]()
    for first, last, layers in sorted(found, key=lambda one: (-len(one[2]), one[1])):
        if not layers & taken:
            chosen.append((first, last))
            taken |= layers
    return sorted(chosen)


def run_blocks(graph: ImageGraph, batches: Sequence[np.ndarray], seed: int) -> list[Block]:
    """Run a graph on images and cut out its blocks; of those whose shapes depend on the image, one image is kept.

    Args:
        graph: In float, without activations in place.
        batches: (B, H, W, 3) uint8 RGB; the first ones are taken, as many as can be kept.
        seed: Of the probes.
    """
    draw, blocks, numbers = probes(seed), list[Block](), 0
    for count, batch in enumerate(batches):
        images = torch.from_numpy(np.ascontiguousarray(batch))
        with torch.no_grad():
            regions = graph.regions(images)
        tape = Tape(graph)
        with torch.enable_grad():
            given = images.float().requires_grad_()
            with tape.following():
                outputs = graph.head_outputs(given, regions)
            places = find_blocks(tape, given)
            ends = [tape.tensors[tape.steps[last].writes[0]] for _, last in places]
            squares = [torch.zeros_like(end) for end in ends]
            for scalar in draw(outputs, count) if ends else ():
                gradients = torch.autograd.grad(scalar, ends, retain_graph=True, allow_unused=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    if gradient is not None:
                        square += gradient.square()
        found = [Block(tape.between(first, last)) for first, last in places]
        blocks = blocks or found
        for block, mine, (first, _), end, square in zip(blocks, found, places, ends, squares, strict=False):
            if block.weights != mine.weights or (block.outputs and block.outputs[0].shape != end.shape):
                continue
            read = tape.steps[first].writes
            names = block.given[0] if block.given else read
            block.given.append({name: tape.tensors[one].detach() for name, one in zip(names, read, strict=True)})
            block.outputs.append(end.detach())
            block.importance.append(square)
            numbers += 3 * end.numel()
        if numbers > MAX_NUMBERS:
            break
    return blocks
