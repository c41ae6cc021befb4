"""Displacement of the labels in a file, measured against another file."""

from functools import partial
from pathlib import Path

from projects.building_extraction.evaluation.misalignment import (
    Misalignment,
    MisalignmentSettings,
    measure_against_mask,
    measure_against_polygons,
)
from projects.geodata.raster_files import open_band
from projects.geodata.raster_values import check_one_band
from projects.geodata.vector_files import read_buildings


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
        assume_crs: Coordinate system of labels that state none.
        layer: Of the labels' file; None: the only one of polygons.
        reference_layer: The same of the reference.
        threshold: Probabilities above it are building.
        values: What the prediction's values mean; None: as `value_meaning` finds it out.

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
    with open_band(prediction_path) as mask:
        check_one_band(mask, prediction_path)
        labels = read(crs=mask.crs, bounds=mask.bounds)
        pixel = MisalignmentSettings(settings.max_shift_m, mask.gsd_m(), settings.min_agreement)
        return measure_against_mask(labels, mask, pixel, threshold=threshold, values=values)
