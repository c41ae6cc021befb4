"""Which part of a large network's parameter is that of a small one."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..space import GrowSpace, Point

Shapes = Mapping[str, tuple[int, ...]]

# Parameters of mixers whose k channels for each one stand side by side, in each head or channel, and not one part after
# another.
BY_HEAD = re.compile(r'\.attn\.(qkv\.conv|aggreg\.0\.\d)\.weight$|\.residual\.2\.(weight|bias)$')


class Segment(NamedTuple):
    """Consecutive places of an axis.

    Attributes:
        length: How many there are in the large network.
        stage: Whose width this is, from 0; None if it is the same in all networks.
    """

    length: int
    stage: int | None = None


@dataclass(frozen=True)
class Layout:
    """What each axis of a parameter consists of.

    A convolution that gives queries, keys and values has three times the width of its stage: a small network has the
    first channels of each of the three. One that reads what a decoder has put together has channels of several origins.

    Attributes:
        axes: The segments of each axis in order.
    """

    axes: tuple[tuple[Segment, ...], ...]

    def cut(self, parameter: torch.Tensor, shape: Sequence[int], widths: Sequence[int]) -> torch.Tensor:
        """Return the part of a parameter that a small network has, as a view where there is one.

        Args:
            parameter: Of the large network.
            shape: In the small one, no axis longer.
            widths: Of the small network's stages.
        """
        for axis, (segments, length) in enumerate(zip(self.axes, shape, strict=True)):
            if parameter.shape[axis] == length:
                continue
            kept = [one.length if one.stage is None else widths[one.stage] for one in segments]
            if sum(kept) != length:  # in no proportion to the widths, as hidden channels that equalise parameters
                parameter = parameter.narrow(axis, 0, length)
                continue
            parts, start = [], 0
            for segment, number in zip(segments, kept, strict=True):
                parts.append(parameter.narrow(axis, start, number))
                start += segment.length
            parameter = parts[0] if len(parts) == 1 else torch.cat(parts, axis)
        return parameter


def measure_layouts(space: GrowSpace, largest: Point, shapes_of: Callable[[Point], Shapes]) -> dict[str, Layout]:
    """Find out of what the axes of a network's parameters consist, by building it with other widths.

    Where an axis grows by `k` for each channel of a stage, it has `k` segments of that stage. Constant segments, as
    those of gates, are the last in a token mixer; decoders put what they have computed before the backbone's maps, and
    deeper ones before others.

    Args:
        space: Whose widths are tried.
        largest: The network.
        shapes_of: Returns the shapes of all parameters of a point.

    Returns:
        By the name of the parameter.
    """
    full = shapes_of(largest)
    smaller: dict[int, list[tuple[int, Shapes]]] = {stage: [] for stage in range(len(space.dims))}
    for stage, tried in smaller.items():
        for width in set(space.dims[stage]) - {max(space.dims[stage])}:
            with suppress(ValueError):  # a mixer does not take it, and nothing is ever cut to it
                tried.append((width, shapes_of({**largest, f'dim{stage + 1}': width})))
    layouts = {}
    for name, shape in full.items():
        axes = []
        for axis, length in enumerate(shape):
            counts = {
                stage: _segments(
                    [(max(space.dims[stage]) - width, length - other[name][axis]) for width, other in tried]
                )
                for stage, tried in smaller.items()
            }
            axes.append(_ordered(name, length, counts, [max(widths) for widths in space.dims]))
        layouts[name] = Layout(tuple(axes))
    return layouts


def _segments(differences: Sequence[tuple[int, int]]) -> int | None:
    """How many segments of a stage an axis has, from differences of width and of length; None if in no proportion."""
    ratios = {length / width for width, length in differences} or {0.0}
    ratio = ratios.pop()
    return int(ratio) if not ratios and ratio == int(ratio) else None


def _ordered(name: str, length: int, counts: Mapping[int, int | None], widths: Sequence[int]) -> tuple[Segment, ...]:
    whole = (Segment(length),)
    of_stages = [
        Segment(widths[stage], stage) for stage in sorted(counts, reverse=True) for _ in range(counts[stage] or 0)
    ]
    rest = length - sum(segment.length for segment in of_stages)
    if None in counts.values() or rest < 0 or BY_HEAD.search(name):
        return whole
    constant = [Segment(rest)] * (rest > 0)
    return tuple(of_stages + constant if name.startswith('backbone.') else constant + of_stages)
