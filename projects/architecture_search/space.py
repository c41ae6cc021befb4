"""Spaces of networks: what may be chosen, and what each choice changes in a config."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from projects.command_line import EXPORTED_PRECISIONS

Value = str | int | float
Point = Mapping[str, Value]
"""A network: one value for each choice of a space, by the choice's name."""

PRECISION = 'precision'  # a choice of every space: what the exported file computes in
IMAGE_SCALE = 'image_scale'  # a choice: of all image sizes of the recipe


@dataclass(frozen=True)
class Space(ABC):
    """All networks that a search may find.

    Attributes:
        precisions: Of the exported file, some of `EXPORTED_PRECISIONS`.
        image_scales: Factors of all image sizes of the recipe.

    Raises:
        ValueError: A choice has no values, or one that is not known.
    """

    precisions: tuple[str, ...]
    image_scales: tuple[float, ...]

    def __post_init__(self) -> None:
        if unknown := set(self.precisions) - set(EXPORTED_PRECISIONS):
            raise ValueError(f'precisions {sorted(unknown)}: expected some of {", ".join(EXPORTED_PRECISIONS)}')
        if not all(isinstance(scale, int | float) and scale > 0 for scale in self.image_scales):
            raise ValueError(
                f'image_scales are {self.image_scales}; expected numbers above 0, 1 for the sizes as they are'
            )
        for name, values in self.choices.items():
            if not values or len(set(values)) < len(values):
                raise ValueError(f'{name} has the values {list(values)}; expected one or more, each once')

    @property
    @abstractmethod
    def own_choices(self) -> dict[str, tuple[Value, ...]]:
        """The choices besides precision and image scale."""

    @abstractmethod
    def options(self, point: Point) -> dict[str, Any]:
        """Dotted keys of the config and their values for the network of a point; a dict replaces a dict whole."""

    @cached_property
    def choices(self) -> dict[str, tuple[Value, ...]]:
        """Values by the name of the choice."""
        return {**self.own_choices, IMAGE_SCALE: self.image_scales, PRECISION: self.precisions}

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.choices.values())

    def check(self, point: Mapping[str, Any]) -> Point:
        """Return a point, its choices in the order of the space.

        Raises:
            ValueError: It is not of this space.
        """
        if point.keys() != self.choices.keys():
            raise ValueError(f'{dict(point)} is no network of this space, whose choices are {", ".join(self.choices)}')
        for name, values in self.choices.items():
            if point[name] not in values:
                raise ValueError(f'{name} is {point[name]!r}; expected one of {", ".join(map(str, values))}')
        return {name: point[name] for name in self.choices}

    def random(self, generator: np.random.Generator) -> Point:
        """Draw a point, each value of a choice being as probable as the others."""
        return {name: values[generator.integers(len(values))] for name, values in self.choices.items()}

    def at(self, index: int) -> Point:
        """The point of a place in the list of all, from 0 to `len` - 1."""
        names, values = zip(*self.choices.items(), strict=True)
        places = np.unravel_index(index, [len(each) for each in values])
        return {name: each[place] for name, each, place in zip(names, values, places, strict=True)}


@dataclass(frozen=True)
class SelectSpace(Space):
    """Configurations of networks as they are, which keep the weights that they have.

    Attributes:
        select: By the name of a choice its values: by name, the dotted keys of the config that it sets.
    """

    select: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def own_choices(self) -> dict[str, tuple[Value, ...]]:
        return {name: tuple(values) for name, values in self.select.items()}

    def options(self, point: Point) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for name, values in self.select.items():
            merged |= values[str(point[name])]
        return merged


@dataclass(frozen=True)
class GrowSpace(Space):
    """Mixer pyramids of every size, which are trained from random weights.

    The choices are `dim1` to `dim4`, `depth1` to `depth4`, `mixer1` to `mixer4` and `stem_stride`.

    Attributes:
        dims: Widths that each of the four stages may have.
        depths: Numbers of blocks that each may have.
        mixers: Token mixers that each may have.
        stem_strides: Pixels per cell of the first stage's map: 4, 8.
        image_size: Height and width in pixels of the largest image, for which scores must fit in memory.
    """

    dims: tuple[tuple[int, ...], ...]
    depths: tuple[tuple[int, ...], ...]
    mixers: tuple[tuple[str, ...], ...]
    stem_strides: tuple[int, ...]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ('dims', 'depths', 'mixers'):
            if len(getattr(self, name)) != 4:
                raise ValueError(
                    f'{name} must have four groups of values, one for each stage, got {getattr(self, name)}'
                )
        super().__post_init__()

    @property
    def own_choices(self) -> dict[str, tuple[Value, ...]]:
        stages: dict[str, Sequence[Sequence[Value]]] = {'dim': self.dims, 'depth': self.depths, 'mixer': self.mixers}
        per_stage = {
            f'{name}{stage}': tuple(values[stage - 1]) for name, values in stages.items() for stage in range(1, 5)
        }
        return {**per_stage, 'stem_stride': self.stem_strides}

    def options(self, point: Point) -> dict[str, Any]:
        arch = {
            'dims': tuple(point[f'dim{stage}'] for stage in range(1, 5)),
            'depths': tuple(point[f'depth{stage}'] for stage in range(1, 5)),
            'stem_stride': point['stem_stride'],
        }
        mixers = tuple(point[f'mixer{stage}'] for stage in range(1, 5))
        backbone = {'type': 'MixerPyramid', 'arch': arch, 'mixers': mixers, 'image_size': self.image_size}
        return {'model.backbone': backbone}

    def extreme(self, largest: bool, mixers: Sequence[str] | None = None) -> Point:
        """The point of the largest or the smallest values, at the first precision.

        Args:
            largest: Whether the widest and deepest at the full image size with the finest maps, or the other end.
            mixers: Of the four stages; the first of each if None.
        """
        pick = max if largest else min
        point = {
            name: pick(values) for name, values in self.choices.items() if not name.startswith(('mixer', PRECISION))
        }
        point['stem_stride'] = (min if largest else max)(self.stem_strides)
        chosen = mixers or [values[0] for values in self.mixers]
        point |= {f'mixer{stage}': mixer for stage, mixer in enumerate(chosen, start=1)}
        return self.check({**point, PRECISION: self.precisions[0]})
