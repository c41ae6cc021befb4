"""Which way all weights of a network are rounded: layer by layer, then by blocks where that is better."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from projects.reporting.progress import track

from ..inference_graphs.images import ImageGraph
from .block_rounding import learn_block
from .blocks import run_blocks
from .journal import Journal
from .learned_rounding import Choice, learn_rounding
from .units import Grids, Unit


def reconstruct(
    graph: ImageGraph, batches: Sequence[np.ndarray], units: Sequence[Unit], grids: Grids, seed: int, journal: Journal
) -> dict[str, Tensor]:
    """Weights on their grids, by name.

    Args:
        graph: In float, without activations in place.
        batches: (B, H, W, 3) uint8 RGB.
        units: All of them.
        grids: Of all.
        seed: Of what is drawn.
        journal: Where what was learnt is kept.
    """
    exact = {str(unit.sites[0].weight): unit.weight for unit in units if unit.weight is not None}
    found: dict[str, Tensor] = {}
    for unit in track([unit for unit in units if unit.weight is not None], 'layers'):
        assert unit.weight is not None
        learnt = journal.read_weight(unit.name, unit.weight)
        if learnt is None:
            learnt = learn_rounding(unit, grids, seed)
            journal.write_weight(unit.name, learnt)
        found[str(unit.sites[0].weight)] = learnt
    for block in track(run_blocks(graph, batches, seed), 'blocks'):
        start = {name: found[name] for name in block.weights if name in found}
        kept = {name: journal.read_weight(f'{name} in its block', weight) for name, weight in start.items()}
        together = {name: weight for name, weight in kept.items() if weight is not None}
        if len(together) < len(start):
            choices = {name: Choice(exact[name], grids.weights[name]) for name in start}
            together = learn_block(block, choices, grids.inputs, start, seed)
            for name, weight in together.items():
                journal.write_weight(f'{name} in its block', weight)
        found.update(together)
    return found
