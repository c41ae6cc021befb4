"""Predictions of overlapping windows become one raster, in memory of one seam."""

from dataclasses import dataclass

import numpy as np

from .windows import WindowAxis


@dataclass
class Patch:
    """A part of the result.

    Attributes:
        values: (C, h, w), probabilities float32, or one channel of labels.
        valid: (h, w), where there is a result.
    """

    values: np.ndarray
    valid: np.ndarray

    def cut(self, rows: slice, columns: slice) -> 'Patch':
        """A view of some rows and columns."""
        return Patch(self.values[:, rows, columns], self.valid[rows, columns])

    def copy(self) -> 'Patch':
        """The same, in memory of its own."""
        return Patch(self.values.copy(), self.valid.copy())


class RowBlender:
    """Blends windows as they come, row of windows by row, each from left to right.

    Kept are the right ramp of the last window and the lower ramps of the last row: memory grows with the raster's
    width, not with its area. Neighbours are joined as a + r (b - a), which is exact where they agree.

    Args:
        rows: Windows from top to bottom.
        columns: Windows from left to right.
    """

    def __init__(self, rows: WindowAxis, columns: WindowAxis) -> None:
        self._rows, self._columns = rows, columns
        self._right: Patch | None = None
        self._below: list[Patch | None] = [None] * len(columns.starts)
        self._row = -1

    def add(self, row: int, column: int, window: Patch | None) -> Patch | None:
        """Add the next window, whole; None: it has no result.

        Returns:
            The pixels that are final now: rows `rows.bounds[row]` to `[row + 1]`, columns `columns.bounds[column]` to
            `[column + 1]`; None: without a result. It may change the window's array.
        """
        if window is not None:
            window = window.cut(self._rows.part(row), self._columns.part(column))
        height = self._rows.part(row).stop - self._rows.part(row).start
        width = self._columns.part(column).stop - self._columns.part(column).start
        if column == 0:
            self._right = None
            if row != self._row + 1:  # nothing is known of the row above
                self._below = [None] * len(self._columns.starts)
            self._row = row
        window = _joined(self._right, window, self._columns.ramp[None, :], (height, width), across=True)
        finished = self._columns.bounds[column + 1] - self._columns.bounds[column]
        self._right = None
        if window is not None:
            if finished < width:
                self._right = window.cut(slice(None), slice(finished, None)).copy()
            window = window.cut(slice(None), slice(finished))
        window = _joined(self._below[column], window, self._rows.ramp[:, None], (height, finished), across=False)
        finished = self._rows.bounds[row + 1] - self._rows.bounds[row]
        self._below[column] = None
        if window is not None:
            if finished < height:
                self._below[column] = window.cut(slice(finished, None), slice(None)).copy()
            window = window.cut(slice(finished), slice(None))
        return window


def _joined(
    earlier: Patch | None, later: Patch | None, ramp: np.ndarray, size: tuple[int, int], *, across: bool
) -> Patch | None:
    """Blend the end of an earlier window into the beginning of a later one; where one has no result, the other's."""
    if earlier is None or not ramp.size:
        return later
    if later is None:
        values = np.zeros((len(earlier.values), *size), dtype=earlier.values.dtype)
        later = Patch(values, np.zeros(size, dtype=bool))
    elif not later.values.flags.writeable:
        later = later.copy()
    shared = later.cut(slice(None), slice(ramp.size)) if across else later.cut(slice(ramp.size), slice(None))
    if (earlier.valid & shared.valid).any():
        blended = shared.values - earlier.values
        blended *= ramp
        blended += earlier.values
    else:
        blended = earlier.values
    if not np.array_equal(earlier.valid, shared.valid):
        blended = np.where(earlier.valid & shared.valid, blended, np.where(shared.valid, shared.values, earlier.values))
        shared.valid |= earlier.valid
    shared.values[...] = blended
    return later
