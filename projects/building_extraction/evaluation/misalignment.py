"""How far building labels are displaced from a reference: other polygons, or a mask such as a prediction.

The displacement is the label's position minus the reference's, metres east and north on the ground. Steps: the shift
common to all labels (`common_shift_m`); the best shift of each label within a radius of that; a line through these
over height, where heights are known (`fit_lean`), or their median; and the best shift of each label again, now within
a smaller radius of what that predicts, so that look-alikes nearby are not confused. A label that agrees too little with
the reference at its best shift is unmatched, and counts in no length.

Limits: shifts only, no turning or scaling; map scale is taken at the middle of the area. Among equal buildings at equal
distances the shift is ambiguous by that distance, and the smaller one is taken.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from projects.building_extraction.evaluation.misalignment_lean import Lean, fit_lean
from projects.building_extraction.evaluation.misalignment_matching import (
    MaskReference,
    Reference,
    VectorReference,
    common_shift_m,
)
from projects.building_extraction.height_classes import HeightClasses
from projects.geodata.coordinate_systems import metres_per_unit
from projects.geodata.raster_files import Raster
from projects.geodata.vector_files import geopandas

MIN_CONSENSUS = 0.4  # share of the labels that must follow the line or the median before it narrows the search


@dataclass(frozen=True)
class MisalignmentSettings:
    """How displacement is measured.

    Attributes:
        max_shift_m: Longest displacement that is searched, from the shift common to all.
        gsd_m: Metres per pixel in which lengths are stated besides; the pixel of a mask.
        min_agreement: Labels that agree less with the reference at their best shift are unmatched.
    """

    max_shift_m: float = 30.0
    gsd_m: float = 0.5
    min_agreement: float = 0.6

    def __post_init__(self) -> None:
        for name in ('max_shift_m', 'gsd_m'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} = {getattr(self, name)}: expected metres, more than 0')
        if not 0 < self.min_agreement < 1:
            raise ValueError(f'min_agreement = {self.min_agreement}: expected a number between 0 and 1')


@dataclass
class Misalignment:
    """Displacement of each label.

    Attributes:
        offsets_m: (N, 2) East and north, NaN where unmatched.
        agreements: (N,) With the reference once the offset is undone, 0 to 1.
        heights_m: (N,) NaN where unknown.
        centres_m: (N, 2) Middle of each label in local metres.
        gsd_m: Metres per pixel.
        common_shift_m: The first estimate, of one shift for all.
        lean: How offsets follow from heights; None where heights do not suffice.
    """

    offsets_m: np.ndarray
    agreements: np.ndarray
    heights_m: np.ndarray
    centres_m: np.ndarray
    gsd_m: float
    common_shift_m: np.ndarray
    lean: Lean | None

    def statistics(self, classes: HeightClasses) -> dict[str, dict[str, Any]]:
        """Per height class, and over all: counts, mean vector, and mean, median and 90th percentile of the length."""
        index = classes.index(self.heights_m)
        groups = {'all': np.ones(len(index), dtype=bool)}
        groups |= {name: index == i for i, name in enumerate(classes.names_with_unknown)}
        return {name: self._statistics(group) for name, group in groups.items()}

    def _statistics(self, group: np.ndarray) -> dict[str, Any]:
        offsets_m = self.offsets_m[group]
        offsets_m = offsets_m[np.isfinite(offsets_m).all(axis=1)]
        labels = int(group.sum())
        result: dict[str, Any] = {'labels': labels, 'matched': len(offsets_m)}
        result['unmatched_share'] = 1 - len(offsets_m) / labels if labels else None
        if len(offsets_m):
            lengths_m = np.linalg.norm(offsets_m, axis=1)
            lengths = {'mean': lengths_m.mean(), 'median': np.median(lengths_m), 'p90': np.percentile(lengths_m, 90)}
            east_m, north_m = offsets_m.mean(axis=0).tolist()
            result |= {'mean_east_m': east_m, 'mean_north_m': north_m}
            result |= {f'{name}_m': float(length) for name, length in lengths.items()}
            result |= {f'{name}_px': float(length / self.gsd_m) for name, length in lengths.items()}
        return result


def measure_against_polygons(
    labels: geopandas.GeoDataFrame, reference: geopandas.GeoDataFrame, settings: MisalignmentSettings
) -> Misalignment:
    """Measure how far labels lie from other polygons of the same buildings.

    Args:
        labels: As `read_buildings` returns them.
        reference: The same in the same coordinate system.
        settings: How to measure.

    Raises:
        ValueError: One of them is empty, or their coordinate systems differ.
    """
    if labels.crs != reference.crs:
        raise ValueError(f'labels in {labels.crs} and reference in {reference.crs}: read both in one system (crs=...)')
    origin, scale = _local_metres(labels, reference.total_bounds)
    polygons = _to_metres(reference.geometry.to_numpy(), origin, scale)
    return _measure(labels, VectorReference(polygons), origin, scale, settings)


def measure_against_mask(
    labels: geopandas.GeoDataFrame, mask: Raster, settings: MisalignmentSettings, threshold: float = 127.0
) -> Misalignment:
    """Measure how far labels lie from a mask, such as a prediction.

    Args:
        labels: As `read_buildings` returns them, in the mask's coordinate system.
        mask: One band; read window by window.
        settings: How to measure; `gsd_m` is that of the mask.
        threshold: Values above it are building.

    Raises:
        ValueError: There is no label.
    """
    origin, scale = _local_metres(labels, np.array(mask.bounds))
    corner = (np.array([mask.transform.c, mask.transform.f]) - origin) * scale
    pixel_m = np.array([mask.transform.a, -mask.transform.e]) * scale
    return _measure(labels, MaskReference(mask, corner, pixel_m, threshold), origin, scale, settings)


def _local_metres(labels: geopandas.GeoDataFrame, other_bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin, and metres per unit there: local metres = (x - origin) · scale."""
    if labels.empty or not np.isfinite(other_bounds).all():
        raise ValueError(f'{"no label" if labels.empty else "no reference"} to measure with')
    west, south, east, north = labels.total_bounds
    origin = np.array([(west + east) / 2, (south + north) / 2])
    return origin, metres_per_unit(labels.crs, origin)[0]


def _to_metres(polygons: np.ndarray, origin: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return shapely.transform(polygons, lambda xy: (xy - origin) * scale)


def _measure(
    labels: geopandas.GeoDataFrame,
    reference: Reference,
    origin: np.ndarray,
    scale: np.ndarray,
    settings: MisalignmentSettings,
) -> Misalignment:
    polygons = _to_metres(labels.geometry.to_numpy(), origin, scale)
    heights_m = labels['height_m'].to_numpy()
    common_m = common_shift_m(polygons, reference, settings.max_shift_m, settings.gsd_m)
    expected_m = np.tile(common_m, (len(polygons), 1))
    offsets_m, agreements = reference.match(polygons, expected_m, settings.max_shift_m)
    offsets_m[agreements < settings.min_agreement] = np.nan

    tolerance_m = max(4 * settings.gsd_m, 0.1 * settings.max_shift_m)
    lean = fit_lean(offsets_m, heights_m, tolerance_m)
    expected_m = _expected(offsets_m, heights_m, lean, expected_m)
    near = np.linalg.norm(offsets_m - expected_m, axis=1) <= tolerance_m
    if np.isfinite(offsets_m).any() and near.sum() >= MIN_CONSENSUS * np.isfinite(offsets_m[:, 0]).sum():
        offsets_m, agreements = reference.match(polygons, expected_m, 2 * tolerance_m)
        offsets_m[agreements < settings.min_agreement] = np.nan
        lean = fit_lean(offsets_m, heights_m, max(2 * settings.gsd_m, 0.5))
    centres_m = shapely.get_coordinates(shapely.centroid(polygons))
    return Misalignment(offsets_m, agreements, heights_m, centres_m, settings.gsd_m, common_m, lean)


def _expected(offsets_m: np.ndarray, heights_m: np.ndarray, lean: Lean | None, common_m: np.ndarray) -> np.ndarray:
    if not np.isfinite(offsets_m).any():
        return common_m
    expected_m = np.tile(np.nanmedian(offsets_m, axis=0), (len(offsets_m), 1))
    if lean is not None:
        known = np.isfinite(heights_m)
        expected_m[known] = lean.predict_m(heights_m[known])
    return expected_m
