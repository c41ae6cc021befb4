"""Polygons of a raster's result: buildings from the strips as they are made, or a detector's objects."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.polygons.files import check_coverage, vectorize_raster
from projects.geodata.polygons.vectorization import VectorizationSettings, Vectorizer, refine_polygons
from projects.geodata.polygons.windows import PredictionWindow
from projects.geodata.raster_files import open_raster
from projects.geodata.raster_rules import check_placed
from projects.geodata.raster_strips import read_strip
from projects.geodata.raster_values import ValueMeaning
from projects.geodata.vector_files import geopandas

from ...model_info import ModelInfo
from .job import RasterJob
from .settings import PolygonSettings
from .state import RasterState

PROBABILITY, INSTANCES = 'probability', 'instances'  # the layers that have polygons
FOOTPRINTS = 'footprints'  # where the buildings of the instances stand, if a model says so


def vectorization_of(settings: PolygonSettings, info: ModelInfo) -> VectorizationSettings:
    """How buildings of a model are made into polygons."""
    threshold = 0.5 if info.threshold is None else info.threshold
    return VectorizationSettings(threshold, settings.min_area_m2, None, settings.regularise)


class StripPolygons:
    """Buildings from the values that are written as the layer 'probability', in memory of a window's.

    Strips that were finished before, or by another process, are read from their files, once. What goes wrong is
    raised by `finish`: the raster is predicted all the same.

    Args:
        job: What is done to the raster.
        state: Its strips; those that are finished are taken now.
        settings: How polygons are made.
    """

    def __init__(self, job: RasterJob, state: RasterState, settings: VectorizationSettings) -> None:
        self._rows, self._columns, self._state = job.rows, job.columns, state
        self._path = state.final_path(PROBABILITY, 'tif')
        self._meaning = ValueMeaning('byte' if job.layers[PROBABILITY].dtype == 'uint8' else 'probability', self._path)
        self._known: set[int] = set()
        self._num_valid = 0
        self._error: Exception | None = None
        try:
            check_placed(job.raster.dataset, self._path)
            self._vectorizer = Vectorizer(job.raster.size_px, job.raster.transform, job.raster.crs, settings)
        except Exception as error:
            self._error = error
        self.add_files(sorted(state.finished))

    def add(self, row: int, column: int, values: np.ndarray, valid: np.ndarray) -> None:
        """Take the finished part (h, w) of a window, as it is written, and which of its pixels have data."""
        self._known.add(row)
        if self._error is not None:
            return
        try:
            probabilities = self._meaning.probabilities(values, valid)
            left, top = self._columns.bounds[column], self._rows.bounds[row]
            self._vectorizer.add(PredictionWindow(probabilities, column=left, row=top))
            self._num_valid += int(valid.sum())
        except Exception as error:
            self._error = error

    def add_files(self, rows: Iterable[int]) -> None:
        """Take those strips that were not taken yet, from their files."""
        for row in rows:
            path = self._state.strip_path(row, PROBABILITY)
            if row not in self._known and path.exists():
                for column, (bands, valid) in enumerate(read_strip(path, self._columns.bounds)):
                    self.add(row, column, bands[0], valid)

    def finish(self) -> geopandas.GeoDataFrame:
        """All polygons.

        Raises:
            NoDataError: No pixel has data.
            UnplacedError: The image does not say where it lies.
            ValueError: Its coordinate system cannot express the place.
        """
        if self._error is not None:
            raise self._error
        check_coverage(self._num_valid, (self._columns.length_px, self._rows.length_px), self._path)
        return self._vectorizer.polygons()


def polygons_of_objects(
    found: geopandas.GeoDataFrame, size_px: tuple[int, int], transform: Any, settings: VectorizationSettings
) -> geopandas.GeoDataFrame:
    """A detector's objects on the map, without the small ones and regular, if that is asked for."""
    if not settings.min_area_m2 and not settings.regularise:
        return found
    return refine_polygons(found, size_px, transform, settings)


def polygons_of_files(
    files: dict[str, Path], source: Path, gsd_m: float | None, settings: VectorizationSettings
) -> geopandas.GeoDataFrame | None:
    """Polygons of a raster that was finished before, of its layers; None: they have none.

    Args:
        files: GeoTIFF of each layer, or a GeoPackage of instances.
        source: The image.
        gsd_m: Ground sample distance that it was resampled to.
        settings: How polygons are made.
    """
    if PROBABILITY in files:
        return vectorize_raster(files[PROBABILITY], settings)
    if INSTANCES not in files:
        return None
    with open_raster(source, gsd_m=gsd_m, as_stored=gsd_m is None) as raster:
        found = geopandas.read_file(files[INSTANCES])
        return polygons_of_objects(found, raster.size_px, raster.transform, settings)
