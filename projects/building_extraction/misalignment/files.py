"""Displacement of the labels in a file, measured against another file."""

from functools import partial
from pathlib import Path

import numpy as np

from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.raster_files import open_band
from projects.geodata.raster_values import check_one_band
from projects.geodata.vector_files import geopandas, read_buildings
from projects.geodata.vector_layers import Bounds, open_layer

from .measurement import (
    Misalignment,
    MisalignmentSettings,
    measure_against_mask,
    measure_against_polygons,
)

SEEN_RADII = 20  # of the search around the labels are read of a reference


def measure_files(
    labels_path: Path,
    settings: MisalignmentSettings,
    *,
    reference_path: Path | None = None,
    prediction_path: Path | None = None,
    height_column: str | None = None,
    structure_column: str | None = None,
    assume_crs: str | None = None,
    layer: str | None = None,
    reference_layer: str | None = None,
    threshold: float = 0.5,
    values: str | None = None,
) -> Misalignment:
    """Measure labels against a vector file or an image.

    Args:
        labels_path: Polygons.
        settings: How to measure. With a prediction, lengths in pixels are in its pixels, whatever `gsd_m` says.
        reference_path: Polygons of the same buildings; read in the labels' coordinate system.
        prediction_path: Mask or probabilities, one band; labels are read in its coordinate system.
        height_column: Column of the labels with metres above ground.
        structure_column: Column that is equal for the parts of one building.
        assume_crs: Coordinate system of those of labels and reference that state none, none that can be, or a local
            one; of labels that state a wrong one, if both state one.
        layer: Of the labels' file; None: the only one of polygons.
        reference_layer: The same of the reference.
        threshold: Probabilities above it are building.
        values: What the prediction's values mean; None: as `value_meaning` finds it out.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is unfit, or the two do not overlap.
    """
    read = partial(read_buildings, labels_path, height_column, structure_column, layer=layer)
    if reference_path is not None and prediction_path is None:
        of_reference = open_layer(reference_path, reference_layer, '--reference-layer')
        lack = [open_layer(labels_path, layer).lacks_crs, of_reference.lacks_crs]
        labels = read(assume_crs=assume_crs if lack[0] or not lack[1] else None)
        if not len(labels):
            raise ValueError(f'{labels_path} holds no features: there is nothing to measure')
        reference = read_buildings(
            reference_path,
            crs=labels.crs,
            bounds=_around(labels, settings.max_shift_m),
            assume_crs=assume_crs if lack[1] else None,
            layer=reference_layer,
        )
        return measure_against_polygons(labels, reference, settings)
    if prediction_path is None or reference_path is not None:
        raise ValueError('expected either a reference or a prediction')
    with open_band(prediction_path) as mask:
        check_one_band(mask, prediction_path)
        labels = read(crs=mask.crs, bounds=mask.bounds, assume_crs=assume_crs)
        pixel = MisalignmentSettings(settings.max_shift_m, mask.gsd_m(), settings.min_agreement)
        return measure_against_mask(labels, mask, pixel, threshold=threshold, values=values)


def _around(labels: geopandas.GeoDataFrame, max_shift_m: float) -> Bounds:
    """Where to read a reference, far enough that a displacement beyond the search is noticed."""
    west, south, east, north = labels.total_bounds
    middle = np.array([(west + east) / 2, (south + north) / 2])
    x, y = SEEN_RADII * max_shift_m / meters_per_unit(labels.crs, middle)[0]
    return west - x, south - y, east + x, north + y
