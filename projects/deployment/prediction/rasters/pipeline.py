"""Windows of a raster on their way through the network: one thread reads, another predicts."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from projects.deployment.prediction.rasters.blending import Patch
from projects.deployment.prediction.rasters.windows import WindowAxis, in_background
from projects.deployment.predictions import Detections
from projects.deployment.predictor import Predictor
from projects.geodata.raster_files import Raster, UnreadableWindowError

BATCHES_READ, BATCHES_PREDICTED = 2, 1  # ahead of their use, besides the one that is being computed


@dataclass
class WindowResult:
    """One window.

    Attributes:
        row: Number of its row of windows.
        column: Its place in that row.
        is_readable: Whether it could be read.
        valid: (h, w) pixels with data; None: there are none.
        values: (C, h, w) of a segmentor: probabilities, or labels with C = 1; None: not predicted.
        detections: Of a detector; None: not predicted.
    """

    row: int
    column: int
    is_readable: bool = True
    valid: np.ndarray | None = None
    values: np.ndarray | None = None
    detections: Detections | None = None

    @property
    def patch(self) -> Patch | None:
        """A segmentor's result."""
        return None if self.values is None or self.valid is None else Patch(self.values, self.valid)


@dataclass
class _Batch:
    """Windows in order; those with data have an image each."""

    windows: list[WindowResult] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)


def predict_windows(
    predictor: Predictor,
    raster: Raster,
    rows: WindowAxis,
    columns: WindowAxis,
    sequence: list[int],
    batch_size: int,
) -> Generator[WindowResult, None, None]:
    """Predict rows of windows, in order, each from left to right.

    No batch reaches from one row into the next: what a window's result is depends on its row alone. When the iterator
    ends, is closed, or a model fails, nothing reads the image any more: who opened it may close it.

    Args:
        predictor: The model.
        raster: The image.
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        sequence: Numbers of rows.
        batch_size: Windows per call.
    """
    with (
        closing(in_background(_read(raster, rows, columns, sequence, batch_size), BATCHES_READ)) as batches,
        closing(in_background(_predict(predictor, batches, batch_size), BATCHES_PREDICTED)) as predicted,
    ):
        for windows in predicted:
            yield from windows


def _read(
    raster: Raster, rows: WindowAxis, columns: WindowAxis, sequence: list[int], batch_size: int
) -> Iterator[_Batch]:
    for row in sequence:
        batch = _Batch()
        for column, left in enumerate(columns.starts):
            window = WindowResult(row, column)
            batch.windows.append(window)
            try:
                image, valid = raster.read(left, rows.starts[row], columns.window_px, rows.window_px)
            except UnreadableWindowError:
                window.is_readable = False
                continue
            if valid.any():
                window.valid = valid
                batch.images.append(image)
            if len(batch.images) == batch_size:
                yield batch
                batch = _Batch()
        if batch.windows:
            yield batch


def _predict(predictor: Predictor, batches: Iterator[_Batch], batch_size: int) -> Iterator[list[WindowResult]]:
    fixed = predictor.info.batch_size is not None
    for batch in batches:
        if batch.images:
            missing = batch_size - len(batch.images) if fixed else 0
            images = np.stack(batch.images + [np.zeros_like(batch.images[0])] * missing)
            chosen = [window for window in batch.windows if window.valid is not None]
            if predictor.info.is_segmentor:
                outputs = predictor.session(images)  # labels are taken when probabilities are blended, not here
                values = outputs['probabilities'] if 'probabilities' in outputs else outputs['labels'][:, None]
                for window, one in zip(chosen, values, strict=False):
                    window.values = one
            else:
                for window, found in zip(chosen, predictor(images), strict=False):
                    assert isinstance(found, Detections)
                    window.detections = found
        yield batch.windows
