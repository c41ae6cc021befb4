"""What is done to a raster, and one window of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from projects.geodata.raster_files import Raster, UnreadableWindowError
from projects.geodata.raster_strips import RasterLayer

from ...model_info import ModelInfo
from ...predictor import Predictor
from ..pipeline import Loaded
from .windows import WindowAxis


@dataclass(frozen=True)
class Window:
    """One window.

    Attributes:
        row: Number of its row of windows.
        column: Its place in that row.
        is_wanted: Whether the strip of its row is; if not, it is blended into the next one alone.
        valid: (h, w) pixels with data; None: there are none.
        is_readable: Whether it could be read.
    """

    row: int
    column: int
    is_wanted: bool = True
    valid: np.ndarray | None = None
    is_readable: bool = True


@dataclass(frozen=True)
class RasterJob:
    """What is the same for all strips.

    Attributes:
        predictor: The model.
        raster: The open image.
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        layers: What is written of a segmentor.
        batch_size: Windows per call.
        min_score: Objects with a lower score are left out.
    """

    predictor: Predictor
    raster: Raster
    rows: WindowAxis
    columns: WindowAxis
    layers: dict[str, RasterLayer]
    batch_size: int
    min_score: float

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self.predictor.info

    def places(self, wanted: Iterable[int]) -> Iterator[tuple[int, int, bool]]:
        """Windows of some rows: row, column, and whether it is wanted; the row above may be needed besides."""
        last = -1
        for row in wanted:
            above = [row - 1] if self.rows.ramp_px and row > 0 and row - 1 != last else []  # its lower ramps
            yield from ((r, column, r == row) for r in (*above, row) for column in range(len(self.columns.starts)))
            last = row

    def load(self, place: tuple[int, int, bool]) -> Loaded[Window]:
        """Read a window of `places`; those of a row may share a batch."""
        row, column, is_wanted = place
        left, top = self.columns.starts[column], self.rows.starts[row]
        try:
            image, valid = self.raster.read(left, top, self.columns.window_px, self.rows.window_px)
        except UnreadableWindowError:
            return Loaded(Window(row, column, is_wanted, is_readable=False), None, row)
        if not valid.any():
            return Loaded(Window(row, column, is_wanted), None, row)
        return Loaded(Window(row, column, is_wanted, valid), image, row)

    def network(self, images: np.ndarray) -> Any:
        """Detections of each window, or values (C, h, w): labels are taken when probabilities are blended, not here."""
        if not self.info.is_segmentor:
            return self.predictor(images)
        outputs = self.predictor.session(images)
        return outputs['probabilities'] if 'probabilities' in outputs else outputs['labels'][:, None]
