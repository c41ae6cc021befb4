"""Windows of a raster, in order, become strips: each is finished when its last window is there."""

from contextlib import ExitStack, suppress
from typing import Any

from projects.geodata.raster_strips import LayerFile, create_strip
from projects.storage.atomic_files import replacing

from ..pipeline import Loaded
from .blending import Patch, RowBlender
from .instances import RasterInstances, place_detections
from .job import RasterJob, Window
from .layers import layer_values
from .polygons import PROBABILITY, StripPolygons
from .state import RasterState


class Strips:
    """Takes the windows of some rows, in one thread.

    Args:
        job: What is the same for all.
        state: Takes the strips.
    """

    def __init__(self, job: RasterJob, state: RasterState) -> None:
        self._job, self._state = job, state
        self._begin()

    def add(self, loaded: Loaded[Window], prediction: Any) -> None:
        """Take the next window of a row, from left to right, and finish the strip with the last one."""
        window = loaded.item
        self._num_predicted += window.valid is not None
        if not window.is_readable:
            self._unreadable.append(self._extent(window))
        self._take(window, prediction)
        if window.column == len(self._job.columns.starts) - 1:
            record = self._finish() | {'num_predicted': self._num_predicted, 'unreadable': self._unreadable}
            if window.is_wanted:
                self._state.finish_strip(window.row, record)
            self._begin()

    def close(self) -> None:
        """Give up a strip that is not finished."""

    def _begin(self) -> None:
        """Forget the strip before."""
        self._num_predicted = 0
        self._unreadable: list[tuple[int, int, int, int]] = []

    def _take(self, window: Window, prediction: Any) -> None:
        raise NotImplementedError

    def _finish(self) -> dict[str, Any]:
        """The strip's own part of its record."""
        raise NotImplementedError

    def _extent(self, window: Window) -> tuple[int, int, int, int]:
        """Left, top, width and height in the raster."""
        rows, columns = self._job.rows, self._job.columns
        left, top = columns.starts[window.column], rows.starts[window.row]
        return left, top, min(columns.window_px, columns.length_px - left), min(rows.window_px, rows.length_px - top)


class _UnfinishedError(Exception):
    """Makes `replacing` drop its file."""


class SegmentedStrips(Strips):
    """Strips of layers, blended; a row above the first one is blended in, and not wanted itself.

    Args:
        job: What is the same for all.
        state: Takes the strips.
        polygons: Takes the values of the layer 'probability', too; None: nobody does.
    """

    def __init__(self, job: RasterJob, state: RasterState, polygons: StripPolygons | None) -> None:
        super().__init__(job, state)
        self._blender, self._polygons = RowBlender(job.rows, job.columns), polygons

    def close(self) -> None:
        """Remove the files of a strip that is not finished."""
        with suppress(_UnfinishedError), self._stack:
            raise _UnfinishedError

    def _begin(self) -> None:
        super()._begin()
        self._stack, self._files, self._is_full = ExitStack(), dict[str, LayerFile](), True

    def _take(self, window: Window, prediction: Any) -> None:
        patch = None if prediction is None or window.valid is None else Patch(prediction, window.valid)
        patch = self._blender.add(window.row, window.column, patch)
        self._is_full &= patch is not None and bool(patch.valid.all())
        if patch is None or not patch.valid.any() or not window.is_wanted:
            return
        for name, bands in layer_values(patch.values, self._job.layers, self._job.info).items():
            bands[:, ~patch.valid] = 0
            self._file(window.row, name).write(self._job.columns.bounds[window.column], 0, bands, patch.valid)
            if name == PROBABILITY and self._polygons is not None:
                self._polygons.add(window.row, window.column, bands[0], patch.valid)

    def _file(self, row: int, layer: str) -> LayerFile:
        if layer not in self._files:
            height = self._job.rows.bounds[row + 1] - self._job.rows.bounds[row]
            path = self._stack.enter_context(replacing(self._state.strip_path(row, layer)))
            strip = create_strip(path, self._job.layers[layer], self._job.columns.length_px, height)
            self._files[layer] = self._stack.enter_context(strip)
        return self._files[layer]

    def _finish(self) -> dict[str, Any]:
        self._stack.close()
        return {'has_files': bool(self._files), 'is_full': self._is_full}


class DetectedStrips(Strips):
    """Strips of objects, which their records hold."""

    def _begin(self) -> None:
        super()._begin()
        self._found: list[RasterInstances] = []

    def _take(self, window: Window, prediction: Any) -> None:
        if prediction is not None and window.valid is not None:
            detections = prediction.select(prediction.scores >= self._job.min_score)
            place, rows, columns = (window.row, window.column), self._job.rows, self._job.columns
            self._found.append(place_detections(detections, window.valid, rows, columns, place, self._job.info))

    def _finish(self) -> dict[str, Any]:
        return {'instances': RasterInstances.concatenate(self._found).to_record()}
