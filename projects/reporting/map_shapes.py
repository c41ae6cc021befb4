"""Polygons of a map: their colours, which of them are shown, and how they stand in its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from .palette import BLUE, GRAY, SKY, VERMILLION, YELLOW

MAX_SHAPES = 10_000
GRID = 16  # cells along each side of a raster, all of which keep their best
STEPS = 8  # of coordinates, per pixel of what is shown
MAX_TEXT = 200  # characters of an attribute
UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Key:
    """A line of a legend.

    Attributes:
        label: What has the colour.
        color: Such as '#0072B2', or with opacity, '#0072B280'.
        count: How much there is of it, in words.
    """

    label: str
    color: str
    count: str = ''


@dataclass(frozen=True)
class Coloring:
    """One way to colour polygons.

    Attributes:
        name: By what.
        labels: Of its groups.
        colors: Of its groups.
        groups: (N,) Group of each polygon.
    """

    name: str
    labels: Sequence[str]
    colors: Sequence[str]
    groups: np.ndarray

    @classmethod
    def by_value(cls, name: str, values: Sequence[Any], colors: Mapping[str, str]) -> 'Coloring':
        """By texts, each of which has a colour; others are grey."""
        labels = list(colors)
        places = {label: place for place, label in enumerate(labels)}
        groups = np.array([places.get(str(value), len(labels)) for value in values], dtype=int)
        return cls(name, [*labels, UNKNOWN], [*colors.values(), GRAY], groups)

    def legend(self) -> list[Key]:
        """Groups that have polygons, with their number."""
        counts = np.bincount(self.groups, minlength=len(self.labels)).tolist()
        found = zip(self.labels, self.colors, counts, strict=True)
        return [Key(label, color, f'{count:,}') for label, color, count in found if count]


@dataclass(frozen=True)
class Ranges:
    """Numbers in ranges that have a name and a colour each; those that are not known are grey.

    Attributes:
        name: What the numbers are.
        limits: Ascending; a number equal to one belongs to the upper range.
        labels: One more than there are limits, lowest first.
        colors: Of the ranges.
    """

    name: str
    limits: tuple[float, ...]
    labels: tuple[str, ...]
    colors: tuple[str, ...]

    def coloring(self, values: Sequence[float | None] | np.ndarray) -> Coloring:
        """Colour polygons by their numbers; they are compared in single precision, in which data sets hold them."""
        numbers = np.asarray(values, dtype=np.float32)
        groups = np.digitize(numbers, np.array(self.limits, np.float32))
        groups[np.isnan(numbers)] = len(self.labels)
        return Coloring(self.name, [*self.labels, UNKNOWN], [*self.colors, GRAY], groups)


SCORES = Ranges(
    'score',
    (0.5, 0.7, 0.9),
    ('below 0.5', '0.5 to 0.7', '0.7 to 0.9', '0.9 and above'),
    (VERMILLION, YELLOW, SKY, BLUE),
)


@dataclass(frozen=True)
class Shapes:
    """A layer of polygons.

    Attributes:
        name: What they are.
        polygons: (N,) Polygons and MultiPolygons in (column, row) of the raster; pixel (0, 0) covers 0 to 1.
        columns: Attributes, N values each.
        colorings: At least one; the first is shown first.
        confidence: (N,) The highest are kept where there are too many; NaN is lowest.
    """

    name: str
    polygons: np.ndarray
    columns: Mapping[str, Sequence[Any]]
    colorings: Sequence[Coloring]
    confidence: np.ndarray

    def to_json(self, size_px: tuple[int, int], level: int, max_bytes: float) -> dict[str, Any]:
        """What a page holds of them.

        Outlines are simplified to a quarter of a pixel of the picture below them, and rounded to an eighth. Legends
        count all polygons, and `left_out` those that are not shown.

        Args:
            size_px: Width and height of the raster.
            level: Of the picture; see `TilePyramid`.
            max_bytes: Of all that depends on the number of polygons, about.
        """
        unit = 2.0**level / STEPS
        order = spread_out(self.polygons, self.confidence, size_px)[:MAX_SHAPES]
        texts = {name: [as_json(values[i]) for i in order] for name, values in self.columns.items()}
        outlines = [_rings(one, unit) for one in shapely.simplify(self.polygons[order], 2 * unit)]
        sizes = np.array([7 * sum(map(len, rings)) for rings in outlines], dtype=float)
        for values in texts.values():
            sizes += [len(str(value)) + 4 for value in values]
        shown = int(np.searchsorted(np.cumsum(sizes), max_bytes, side='right'))
        chosen = sorted(range(shown), key=lambda place: -_number(self.confidence[order[place]]))
        rows = order[chosen]
        return {
            'name': self.name,
            'unit': unit,
            'outlines': [outlines[place] for place in chosen],
            'columns': list(texts),
            'rows': [[values[place] for values in texts.values()] for place in chosen],
            'colorings': [
                {
                    'name': coloring.name,
                    'keys': [vars(key) for key in coloring.legend()],
                    'colors': [coloring.colors[group] for group in coloring.groups[rows]],
                }
                for coloring in self.colorings
            ],
            'left_out': len(self.polygons) - shown,
        }


def spread_out(polygons: np.ndarray, confidence: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Indices of all polygons, so that the first ones, however many, are the surest and lie everywhere.

    The best of each of `GRID` x `GRID` cells come first, by falling confidence, then the second of each, and so on.

    Args:
        polygons: (N,) In pixels.
        confidence: (N,) NaN is lowest.
        size_px: Width and height of the raster.
    """
    if not len(polygons):
        return np.zeros(0, dtype=int)
    left, top, right, bottom = shapely.bounds(polygons).T
    middles = np.nan_to_num(np.stack([left + right, top + bottom], axis=1) / 2)
    column, row = np.clip(middles / size_px * GRID, 0, GRID - 1).astype(int).T
    cells = row * GRID + column
    rising = np.nan_to_num(-confidence.astype(float), nan=np.inf)
    by_cell = np.lexsort((rising, cells))
    _, starts, counts = np.unique(cells[by_cell], return_index=True, return_counts=True)
    ranks = np.empty(len(polygons), dtype=int)
    ranks[by_cell] = np.arange(len(polygons)) - np.repeat(starts, counts)
    return np.lexsort((rising, ranks))


def _rings(polygon: shapely.Geometry, unit: float) -> list[list[int]]:
    """Outer and inner rings, all of them alike, as x, y, x, y, ... in units; what an even-odd rule fills."""
    rings = []
    for ring in shapely.get_rings(shapely.get_parts(polygon)):
        places = np.rint(shapely.get_coordinates(ring)[:-1] / unit).astype(int)
        rings.append(places.ravel().tolist())
    return rings


def as_json(value: Any) -> Any:
    """A value as JSON can hold it and a person can read it: six digits, texts of a length, None for what is unknown."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(f'{value:.6g}') if np.isfinite(value) else None
    text = str(value)
    if text in ('NaT', '<NA>'):
        return None
    return text if len(text) <= MAX_TEXT else f'{text[:MAX_TEXT]}…'


def _number(value: float) -> float:
    return float('-inf') if np.isnan(value) else float(value)
