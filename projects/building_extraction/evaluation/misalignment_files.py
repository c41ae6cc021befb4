"""Displacement of the labels in a file, measured against another file."""

from functools import partial
from pathlib import Path

import numpy as np

from projects.building_extraction.evaluation.misalignment import (
    Misalignment,
    MisalignmentSettings,
    measure_against_mask,
    measure_against_polygons,
)
from projects.geodata.raster_files import Raster, open_raster
from projects.geodata.vector_files import read_buildings

SAMPLES = 16


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
    threshold: float | None = None,
) -> Misalignment:
    """Measure labels against a vector file or an image.

    Args:
        labels_path: Polygons.
        settings: How to measure. With a prediction, lengths in pixels are in its pixels, whatever `gsd_m` says.
        reference_path: Polygons of the same buildings; read in the labels' coordinate system.
        prediction_path: Mask (0 and 1, or 0 and 255) or probabilities; labels are read in its coordinate system.
        height_column: Column of the labels with metres above ground.
        structure_column: Column that is equal for the parts of one building.
        assume_crs: Coordinate system of labels that state none.
        layer: Of the labels' file; None: the only one of polygons.
        reference_layer: The same of the reference.
        threshold: Prediction above it is building; None: half of 1 for numbers up to 1, else 127.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is unfit, or the two do not overlap.
    """
    read = partial(read_buildings, labels_path, height_column, structure_column, assume_crs=assume_crs, layer=layer)
    if reference_path is not None and prediction_path is None:
        labels = read()
        reference = read_buildings(reference_path, crs=labels.crs, layer=reference_layer)
        return measure_against_polygons(labels, reference, settings)
    if prediction_path is None or reference_path is not None:
        raise ValueError('expected either a reference or a prediction')
    with open_raster(prediction_path) as mask:
        labels = read(crs=mask.crs, bounds=mask.bounds)
        pixel = MisalignmentSettings(settings.max_shift_m, mask.gsd_m(), settings.min_agreement)
        return measure_against_mask(labels, mask, pixel, _threshold(mask) if threshold is None else threshold)


def _threshold(mask: Raster) -> float:
    """Half of 1 if no sampled value is greater than 1, else 127."""
    width, height = mask.size_px
    side = min(256, width, height)
    highest = 0.0
    for row in np.linspace(0, height - side, SAMPLES).astype(int).tolist():
        for column in np.linspace(0, width - side, SAMPLES).astype(int).tolist():
            _, values, valid = mask.read_values(column, row, side, side)
            highest = max(highest, float(values[:, valid].max(initial=0)))
    return 0.5 if highest <= 1 else 127.0
