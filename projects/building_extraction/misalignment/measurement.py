"""How far building labels are displaced from a reference: other polygons, or a mask such as a prediction.

The displacement is the label's position minus the reference's, metres east and north on the ground. Steps: the shift
common to all labels (`common_shift_m`); the best shift of each label within a radius of that; what these agree on: a
shift, a rotation, a scale, and growth with height where heights are known (`fit_trend`); and the best shift of each
label again, now within a smaller radius of what that predicts, so that look-alikes nearby are not confused. Where
heights are unknown, displacements may spread along a line (`find_spread`) and are searched along it: around one place
alone, high buildings would be lost. A label that agrees too little with the reference at its best shift is unmatched,
and counts in no length; if the labels agree on nothing, all are.

Limits: map scale is taken at the middle of the area. Among equal buildings at equal distances the shift is ambiguous by
that distance, which a note says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from scipy import stats

from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.raster_files import Raster
from projects.geodata.raster_values import value_meaning
from projects.geodata.vector_files import geopandas

from ..height_classes import HeightClasses
from .fit import fit_trend
from .lean import Trend
from .mask import MaskReference
from .matching import Reference, VectorReference, common_shift_m
from .spread import Spread, find_spread

NEAR_RADIUS = 0.9  # share of the radius beyond which a displacement may be cut off by it
FAR_SHARE = 0.05  # of the matched labels may lie there by chance
FEW_MATCHED = 0.5  # share of the labels below which a note says so


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
        centers_m: (N, 2) Middle of each label in local metres.
        gsd_m: Metres per pixel.
        common_shift_m: The first estimate, of one shift for all.
        trend: What the offsets agree on; None if they do not, or spread along a line.
        spread: That line, where heights are unknown.
        notes: What limits these results, in sentences.
    """

    offsets_m: np.ndarray
    agreements: np.ndarray
    heights_m: np.ndarray
    centers_m: np.ndarray
    gsd_m: float
    common_shift_m: np.ndarray
    trend: Trend | None
    spread: Spread | None
    notes: list[str]

    @property
    def lean(self) -> Trend | None:
        """The trend, if heights suffice to tell how it grows with them."""
        return self.trend if self.trend is not None and self.trend.includes_lean else None

    def statistics(self, classes: HeightClasses) -> dict[str, dict[str, Any]]:
        """Per height class, and over all.

        Counts; the mean vector with the half widths of its interval of 95 %; and mean, median and 90th percentile of
        the length.
        """
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
        if len(offsets_m) > 1:
            deviations_m = offsets_m.std(axis=0, ddof=1) * stats.t.ppf(0.975, len(offsets_m) - 1)
            result['mean_95_m'] = (deviations_m / np.sqrt(len(offsets_m))).tolist()
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
    origin, scale = _local_meters(labels, reference.total_bounds)
    polygons = _to_meters(reference.geometry.to_numpy(), origin, scale)
    return _measure(labels, VectorReference(polygons), origin, scale, settings)


def measure_against_mask(
    labels: geopandas.GeoDataFrame,
    mask: Raster,
    settings: MisalignmentSettings,
    *,
    threshold: float = 0.5,
    values: str | None = None,
) -> Misalignment:
    """Measure how far labels lie from a mask, such as a prediction.

    Args:
        labels: As `read_buildings` returns them, in the mask's coordinate system.
        mask: Of `open_band`; read window by window.
        settings: How to measure; `gsd_m` is that of the mask.
        threshold: Probabilities above it are building.
        values: What the values mean; None: as `value_meaning` finds it out.

    Raises:
        ValueError: There is no label, or the values are not what they are said to mean.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f'threshold = {threshold}: expected a probability, at least 0 and less than 1')
    origin, scale = _local_meters(labels, np.array(mask.bounds))
    corner = (np.array([mask.transform.c, mask.transform.f]) - origin) * scale
    pixel_m = np.array([mask.transform.a, -mask.transform.e]) * scale
    meaning = value_meaning(mask, mask.dataset.name, values)
    return _measure(labels, MaskReference(mask, meaning, corner, pixel_m, threshold), origin, scale, settings)


def _local_meters(labels: geopandas.GeoDataFrame, other_bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin, and metres per unit there: local metres = (x - origin) · scale."""
    if labels.empty or not np.isfinite(other_bounds).all():
        raise ValueError(f'{"no label" if labels.empty else "no reference"} to measure with')
    west, south, east, north = labels.total_bounds
    origin = np.array([(west + east) / 2, (south + north) / 2])
    return origin, meters_per_unit(labels.crs, origin)[0]


def _to_meters(polygons: np.ndarray, origin: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return shapely.transform(polygons, lambda xy: (xy - origin) * scale)


def _measure(
    labels: geopandas.GeoDataFrame,
    reference: Reference,
    origin: np.ndarray,
    scale: np.ndarray,
    settings: MisalignmentSettings,
) -> Misalignment:
    polygons = _to_meters(labels.geometry.to_numpy(), origin, scale)
    heights_m = labels['height_m'].to_numpy()
    places_m = shapely.get_coordinates(shapely.centroid(polygons))
    reach_m, resolution_m = settings.max_shift_m, max(2 * settings.gsd_m, 0.5)
    common_m, farther_m, rival_m = common_shift_m(polygons, reference, reach_m, settings.gsd_m)

    def match(expected_m: np.ndarray, radius_m: float, trend: Trend | None) -> tuple[np.ndarray, np.ndarray]:
        shapes = polygons if trend is None else trend.straighten(polygons)
        offsets_m, agreements = reference.match(shapes, expected_m, radius_m)
        offsets_m[agreements < settings.min_agreement] = np.nan
        return offsets_m, agreements

    offsets_m, agreements = match(np.tile(common_m, (len(polygons), 1)), reach_m, None)
    trend, spread, expected_m = None, None, None
    if farther_m is None:
        trend = fit_trend(offsets_m, places_m, heights_m, reach_m, resolution_m)
        expected_m, spread = _expect(offsets_m, places_m, heights_m, trend, resolution_m)
    far = np.linalg.norm(offsets_m - common_m, axis=1) > NEAR_RADIUS * reach_m
    notes = _search_notes(farther_m, expected_m is not None, offsets_m, far, reach_m)
    if expected_m is None:
        offsets_m[:] = np.nan
    else:
        radius_m = max(8 * settings.gsd_m, 0.2 * reach_m, 0.0 if trend is None else 2 * trend.tolerance_m)
        offsets_m, agreements = match(expected_m, radius_m, trend)
        if spread is not None:
            trend = None
        else:
            trend = fit_trend(offsets_m, places_m, heights_m, radius_m, resolution_m, start=trend)
        if rival_m is not None:
            east_m, north_m = (rival_m.round() + 0.0).tolist()
            notes.append(
                f'the buildings repeat: a shift of about {east_m:.0f} m east, {north_m:.0f} m north agrees almost as '
                'well; these files do not tell which is right'
            )
        matched = int(np.isfinite(offsets_m[:, 0]).sum())
        if matched < FEW_MATCHED * len(polygons):
            notes.append(f'only {matched} of {len(polygons)} labels have a counterpart where they are expected')
    return Misalignment(offsets_m, agreements, heights_m, places_m, settings.gsd_m, common_m, trend, spread, notes)


def _expect(
    offsets_m: np.ndarray,
    places_m: np.ndarray,
    heights_m: np.ndarray,
    trend: Trend | None,
    resolution_m: float,
) -> tuple[np.ndarray | None, Spread | None]:
    """Where each label is searched again, (N, 2), and the line along which those of unknown height spread."""
    if trend is not None and trend.includes_lean:
        known = np.isfinite(heights_m)
        expected_m = trend.predict_m(places_m, np.where(known, heights_m, np.median(heights_m[known])))
        if trend.has_lean:
            ground_m = trend.predict_m(places_m, np.zeros(len(places_m)))
            line = Spread(np.zeros(2), np.array(trend.slope) / np.hypot(*trend.slope), 0, 0, 2 * resolution_m)
            nearest_m, near = line.nearest_m(offsets_m - ground_m)
            expected_m[near & ~known] = (ground_m + nearest_m)[near & ~known]
        return expected_m, None
    center_m = None if trend is None else np.array(trend.shift_m)
    spread = find_spread(offsets_m[np.isfinite(offsets_m[:, 0])], center_m, resolution_m)
    if spread is None:
        return (None if trend is None else trend.predict_m(places_m, heights_m)), None
    nearest_m, near = spread.nearest_m(offsets_m)
    usual_m = np.median(offsets_m[near], axis=0) if center_m is None else center_m
    return np.where(near[:, None], nearest_m, usual_m), spread


def _search_notes(
    farther_m: np.ndarray | None, is_found: bool, offsets_m: np.ndarray, far: np.ndarray, reach_m: float
) -> list[str]:
    """What a user must know of the search, in sentences; `far` are labels near to its end."""
    matched = int(np.isfinite(offsets_m[:, 0]).sum())
    notes = []
    if not is_found:
        notes.append(
            f'no displacement is claimed: {matched} of {len(offsets_m)} labels look like something in the reference '
            f'within {reach_m:g} m, but they do not agree on a shift, rotation, scale or growth with height more than '
            'by chance; all count as unmatched'
        )
    if farther_m is not None:
        east_m, north_m = (farther_m.round() + 0.0).tolist()  # no -0
        notes.append(
            f'the search reached its radius of {reach_m:g} m: a shift of about {east_m:.0f} m east, {north_m:.0f} m '
            'north agrees better than any within it; check the coordinate systems, or search farther '
            f'(--max-shift-m {1.2 * np.hypot(east_m, north_m):.0f})'
        )
    elif not is_found:
        notes.append(
            f'the search reached its radius of {reach_m:g} m; check that both show the same buildings, and the '
            'coordinate systems, or search farther (--max-shift-m)'
        )
    elif far.sum() > FAR_SHARE * matched:
        notes.append(
            f'{far.sum()} labels are displaced by almost as much as is searched, {reach_m:g} m from the most common '
            'shift; others may be by more, and unmatched (--max-shift-m)'
        )
    return notes
