"""Scan conversion of many shapes at once: the runs of pixels whose centres lie inside."""

from dataclasses import dataclass

import numpy as np

CRACK_PX = 1e-6
"""Walls reach this far beyond their borders, lest a pixel's centre on a common border belongs to neither."""


@dataclass(frozen=True)
class Spans:
    """Runs of pixels, along rows.

    Attributes:
        rows, starts, lengths: (S,) Row, first column and number of pixels (0 allowed) of each.
        shapes: (S,) The shape that each belongs to.
    """

    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    shapes: np.ndarray

    def pixels(self, columns: int) -> np.ndarray:
        """Flat indices of all pixels, run after run, in a grid of so many columns."""
        before = np.cumsum(self.lengths) - self.lengths
        return np.repeat(self.rows * columns + self.starts - before, self.lengths) + np.arange(self.lengths.sum())

    def each(self, values: np.ndarray) -> np.ndarray:
        """Values of the runs, repeated for their pixels."""
        return np.repeat(values, self.lengths)


def _rows(low: np.ndarray, high: np.ndarray, limit: int, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose centres lie from low to high, and the shape of each."""
    first = np.clip(np.ceil(low - 0.5 - margin), 0, limit).astype(np.int64)
    last = np.clip(np.ceil(high - 0.5 + margin), 0, limit).astype(np.int64)
    counts = np.maximum(last - first, 0)
    shapes = np.repeat(np.arange(len(low)), counts)
    return np.arange(len(shapes)) + (first - (np.cumsum(counts) - counts))[shapes], shapes


def polygon_spans(starts: np.ndarray, ends: np.ndarray, owners: np.ndarray, size_px: tuple[int, int]) -> Spans:
    """Fills polygons by the even-odd rule, holes left out.

    Args:
        starts: (E, 2) One end of each edge of all rings, columns and rows.
        ends: (E, 2) The other.
        owners: (E,) Polygon of each edge.
        size_px: Rows and columns of the grid.

    Returns:
        Runs inside the polygons.
    """
    height, width = size_px
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    rows, edges = _rows(low, high, height)
    with np.errstate(divide='ignore', invalid='ignore'):
        slopes = (ends[:, 0] - starts[:, 0]) / (ends[:, 1] - starts[:, 1])
    crossings = starts[edges, 0] + (rows + 0.5 - starts[edges, 1]) * slopes[edges]
    keys = (owners[edges] * height + rows) * (width + 1.0) + np.clip(crossings, 0, width)
    keys.sort()
    lines = np.floor(keys[::2] / (width + 1.0)).astype(np.int64)
    columns = np.ceil(keys.reshape(-1, 2) - 0.5 - (lines * (width + 1.0))[:, None]).astype(np.int64)
    return Spans(lines % height, columns[:, 0], columns[:, 1] - columns[:, 0], lines // height)


def parallelogram_spans(
    corners: np.ndarray, sides: np.ndarray, sweeps: np.ndarray, size_px: tuple[int, int]
) -> tuple[Spans, np.ndarray, np.ndarray]:
    """Fills parallelograms, and says how far along the sweep each run begins.

    Args:
        corners: (P, 2) A corner, columns and rows.
        sides: (P, 2) The side that leaves it and is swept.
        sweeps: (P, 2) The way that it is swept.
        size_px: Rows and columns of the grid.

    Returns:
        Runs inside; (S,) the share of the sweep at each run's first pixel, and how much it grows per pixel.
    """
    height, width = size_px
    (side_x, side_y), (sweep_x, sweep_y) = sides.T, sweeps.T
    area = side_x * sweep_y - side_y * sweep_x
    top = corners[:, 1] + np.minimum(side_y, 0) + np.minimum(sweep_y, 0)
    bottom = corners[:, 1] + np.maximum(side_y, 0) + np.maximum(sweep_y, 0)
    rows, shapes = _rows(top, bottom, height, CRACK_PX)
    below = rows + 0.5 - corners[shapes, 1]
    left, right = np.zeros(len(rows)), np.full(len(rows), float(width))
    shares = []
    for growth, turn in ((sweep_y / area, -sweep_x / area), (-side_y / area, side_x / area)):
        growth = np.where(np.abs(growth) < 1e-30, 1e-30, growth)
        offset = turn[shapes] * below - (growth * corners[:, 0])[shapes]
        slope = growth[shapes]
        zero, one = -offset / slope, (1 - offset) / slope
        left = np.maximum(left, np.minimum(zero, one) - CRACK_PX)
        right = np.minimum(right, np.maximum(zero, one) + CRACK_PX)
        shares.append((offset, slope))
    first = np.ceil(left - 0.5).astype(np.int64)
    lengths = np.maximum(np.ceil(right - 0.5).astype(np.int64) - first, 0)
    offset, slope = shares[1]
    return Spans(rows, first, lengths, shapes), offset + slope * (first + 0.5), slope
