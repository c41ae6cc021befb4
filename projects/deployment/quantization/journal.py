"""What a search has found so far, kept so that it goes on after an interruption."""

import dataclasses
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from projects.storage.atomic_files import replacing, write_file
from projects.storage.parameters import differences, digest

from ..inference_graphs.images import ImageGraph
from .grids import Grid, grid_from
from .units import Grids

MADE_WITH = 'made_with.json'


class Journal:
    """What was found for each unit, in one file each.

    Args:
        folder: Of these files; None: nothing is kept.
        made_with: What it follows from.

    Raises:
        ValueError: The folder was made with something else.
    """

    def __init__(self, folder: Path | None, made_with: dict) -> None:
        self.folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        stated = folder / MADE_WITH
        if stated.exists() and (differing := differences(json.loads(stated.read_text()), made_with)):
            raise ValueError(
                f'{folder} holds a search with other settings, weights or images ({"; ".join(differing)}); repeat '
                'those to go on with it, or remove it'
            )
        write_file(stated, json.dumps(made_with))

    def read(self, name: str) -> Grids | None:
        """Grids of a unit."""
        if self.folder is None or not (path := self._path(name)).exists():
            return None
        given = json.loads(path.read_text())
        inputs = {key: grid_from(grid) for key, grid in given['inputs'].items()}
        weights = {key: Grid(**grid) for key, grid in given['weights'].items()}
        return Grids(inputs, weights, {name: tuple(values) for name, values in given['biases'].items()})

    def write(self, name: str, grids: Grids) -> None:
        """Keep them."""
        if self.folder is not None:
            write_file(self._path(name), json.dumps(dataclasses.asdict(grids)))

    def read_weight(self, name: str, like: Tensor) -> Tensor | None:
        """Weights that were learnt, of the shape of others."""
        if self.folder is None or not (path := self._path(name, '.npy')).exists():
            return None
        return torch.from_numpy(np.load(path)).reshape(like.shape)

    def write_weight(self, name: str, weight: Tensor) -> None:
        """Keep them."""
        if self.folder is not None:
            with replacing(self._path(name, '.npy')) as temporary:
                np.save(temporary, weight.numpy())

    def _path(self, name: str, suffix: str = '.json') -> Path:
        assert self.folder is not None
        return self.folder / f'{name}{suffix}'


def digest_of(graph: ImageGraph, batches: Sequence[np.ndarray]) -> str:
    """Of weights and images."""
    weights = (part for name, value in graph.state_dict().items() for part in (name.encode(), _bytes(value)))
    return digest(chain(weights, (batch.tobytes() for batch in batches)))


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()
