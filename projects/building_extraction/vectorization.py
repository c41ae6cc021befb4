"""From predictions to the map: building polygons with score, height and area out of probability or instance maps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from projects.building_extraction.coordinate_systems import metres_per_unit
from projects.building_extraction.ground_metres import ground_metres_crs
from projects.building_extraction.pixel_regions import (
    Regions,
    concatenate,
    find_regions,
    merge_across_borders,
    touches_other_windows,
)
from projects.building_extraction.polygon_regularization import regularise
from projects.building_extraction.vector_files import geopandas


@dataclass(frozen=True)
class VectorizationSettings:
    """How polygons are made.

    Attributes:
        threshold: Pixels whose probability is greater are building, as in mmseg's heads.
        min_area_m2: Regions of fewer square metres are left out; measured on the pixels, before simplification.
        simplify_m: Corners nearer than that to the line between their neighbours are removed (Douglas & Peucker, 1973,
            doi:10.3138/FM57-6770-U75U-7727; a polygon's rings never cross); None: 0.75 pixels, which smooths
            staircases and moves no outline by more than a pixel or so; 0: outlines follow the pixels' edges.
        regularise: Make corners right angles or multiples of 45 degrees, see `polygon_regularization`.
    """

    threshold: float = 0.5
    min_area_m2: float = 0.0
    simplify_m: float | None = None
    regularise: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f'threshold = {self.threshold}: expected a probability, at least 0 and less than 1')
        if not 0 <= self.min_area_m2 < np.inf:
            raise ValueError(f'min_area_m2 = {self.min_area_m2}: expected square metres, at least 0')
        if self.simplify_m is not None and not 0 <= self.simplify_m < np.inf:
            raise ValueError(f'simplify_m = {self.simplify_m}: expected metres, at least 0')


@dataclass(frozen=True)
class PredictionWindow:
    """What is predicted for a part of a raster.

    Attributes:
        probabilities: (H, W) Probability of building, 0 to 1, or a mask of 0 and 1; NaN: no data, not building. None
            where only instances are known.
        instances: (H, W) Numbers of buildings, 0 = none, equal in all windows for one building; None: buildings are
            the regions above the threshold.
        heights_m: (H, W) Metres above ground; NaN and values up to 0 are unknown. None: no heights.
        column: Left edge in the raster.
        row: Upper edge in the raster.
    """

    probabilities: np.ndarray | None
    instances: np.ndarray | None = None
    heights_m: np.ndarray | None = None
    column: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        layers = {name: getattr(self, name) for name in ('probabilities', 'instances', 'heights_m')}
        shapes = {name: layer.shape for name, layer in layers.items() if layer is not None}
        if len(set(shapes.values())) != 1 or self.heights_m is not None and len(shapes) == 1:
            raise ValueError(f'expected probabilities, instances or both, and heights of the same size; got {shapes}')
        if len(self.size_px) != 2:
            raise ValueError(f'{shapes}: expected one band, (H, W)')
        if self.probabilities is not None:
            _check_probabilities(self.probabilities)
        if self.instances is not None and (self.instances.dtype.kind not in 'iu' or self.instances.min(initial=0) < 0):
            raise ValueError(f'instances of type {self.instances.dtype}: expected whole numbers, 0 where there is none')

    @property
    def size_px(self) -> tuple[int, ...]:
        """Width and height."""
        layer = self.instances if self.probabilities is None else self.probabilities
        return () if layer is None else layer.shape[::-1]

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in the raster."""
        width, height = self.size_px
        return self.column, self.row, self.column + width, self.row + height


def vectorise(
    probabilities: np.ndarray | None,
    transform: Any,
    crs: Any,
    settings: VectorizationSettings | None = None,
    *,
    instances: np.ndarray | None = None,
    heights_m: np.ndarray | None = None,
) -> geopandas.GeoDataFrame:
    """Polygons of a whole map in memory; arguments and result as of `PredictionWindow` and `vectorise_windows`."""
    window = PredictionWindow(probabilities, instances, heights_m)
    width, height = window.size_px
    return vectorise_windows([window], (width, height), transform, crs, settings)


def vectorise_windows(
    windows: Iterable[PredictionWindow],
    size_px: tuple[int, int],
    transform: Any,
    crs: Any,
    settings: VectorizationSettings | None = None,
) -> geopandas.GeoDataFrame:
    """Polygons of a raster that is read window by window.

    Buildings that windows cut are joined, so that the result does not depend on the windows; of a window only its
    polygons are kept. Buildings are 4-connected regions: pixels that touch at a corner alone are different buildings.

    Args:
        windows: Windows that cover the raster without overlap, in any order.
        size_px: Width and height of the raster.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        crs: Coordinate system of x and y.
        settings: How polygons are made.

    Returns:
        One row per building: `geometry` (valid Polygon in `crs`), `score` (mean probability of its pixels, NaN if only
        instances are known), `area_m2` (of the polygon, on the ground), `height_m` (mean of its known heights, NaN is
        unknown), and `instance` where instances are given. No building gives an empty frame of these columns.

    Raises:
        ValueError: The windows hold something else than probabilities, or the coordinate system cannot express the
            place.
    """
    settings = settings or VectorizationSettings()
    place = _Place(size_px, np.array(transform[:6], dtype=float), crs)
    cut, frames, has_instances = [_no_regions()], [_to_frame(_no_regions(), place, settings)], False
    for window in windows:
        regions = _window_regions(window, settings.threshold)
        has_instances |= window.instances is not None
        is_cut = touches_other_windows(regions, window.edges, size_px)
        cut.append(regions.select(is_cut))
        frames.append(_to_frame(regions.select(~is_cut), place, settings))
    frames.append(_to_frame(merge_across_borders(concatenate(cut)), place, settings))
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    result = geopandas.pd.concat(filled, ignore_index=True)
    return result if has_instances else result.drop(columns='instance')


class _Place:
    """Where the raster lies, and how long its pixels' sides are in metres at its centre."""

    def __init__(self, size_px: tuple[int, int], transform: np.ndarray, crs: Any) -> None:
        self.crs = crs
        self.matrix, self.origin = transform.reshape(2, 3)[:, :2], transform.reshape(2, 3)[:, 2]
        centre = self.to_map(np.array([size_px], dtype=float) / 2)
        self.pixel_m = np.linalg.norm(self.matrix * metres_per_unit(crs, centre)[0][:, None], axis=0)
        self.ground_crs = ground_metres_crs(crs, centre[0])

    def to_map(self, points: np.ndarray) -> np.ndarray:
        """From (column, row) to map coordinates, (N, 2)."""
        return points @ self.matrix.T + self.origin

    def frame(self, polygons: np.ndarray, **columns: np.ndarray) -> geopandas.GeoDataFrame:
        """A frame in the map's coordinates of polygons in pixels."""
        return geopandas.GeoDataFrame(columns, geometry=shapely.transform(polygons, self.to_map), crs=self.crs)


def _check_probabilities(probabilities: np.ndarray) -> None:
    if probabilities.dtype.kind not in 'biuf':
        raise ValueError(f'probabilities of type {probabilities.dtype}: expected real numbers, 0 to 1')
    known = probabilities[np.isfinite(probabilities)]
    low, high = known.min(initial=0), known.max(initial=0)
    if low < 0 or high > 1 or np.isinf(probabilities).any():
        raise ValueError(
            f'probabilities from {low:g} to {high:g}: expected 0 to 1; apply a sigmoid to logits, and divide masks of '
            '0 and 255 by 255'
        )


def _no_regions() -> Regions:
    return Regions(np.array([], dtype=object), np.zeros(0, dtype=np.int64), np.zeros((0, 4)))


def _window_regions(window: PredictionWindow, threshold: float) -> Regions:
    """Regions with the sums: pixels, probability, pixels of known height, height."""
    if window.instances is not None:
        values = window.instances
    else:
        values = window.probabilities > threshold  # false for NaN
    ones = np.ones(values.shape, dtype=bool)
    scores = np.full(values.shape, np.nan) if window.probabilities is None else window.probabilities
    heights_m = np.zeros(values.shape) if window.heights_m is None else window.heights_m
    known = np.isfinite(heights_m) & (heights_m > 0)
    return find_regions(values, [ones, scores, known, np.where(known, heights_m, 0)], window.column, window.row)


def _to_frame(regions: Regions, place: _Place, settings: VectorizationSettings) -> geopandas.GeoDataFrame:
    num_pixels, score, num_known, height_m = regions.sums.T
    with np.errstate(invalid='ignore'):
        columns = {'score': score / num_pixels, 'height_m': height_m / num_known, 'instance': regions.values}
    exact = place.frame(regions.polygons)
    large = exact.to_crs(place.ground_crs).area.to_numpy() >= settings.min_area_m2
    tolerance_m = 0.75 * place.pixel_m.mean() if settings.simplify_m is None else settings.simplify_m
    in_metres = shapely.transform(regions.polygons[large], lambda points: points * place.pixel_m)
    simplified = shapely.simplify(in_metres, tolerance_m)
    pixels = shapely.transform(simplified, lambda points: np.rint(points / place.pixel_m))
    frame = place.frame(pixels, **{name: column[large] for name, column in columns.items()})
    if settings.regularise:
        frame = regularise(frame, place.ground_crs, tolerance_m)
    frame['area_m2'] = frame.to_crs(place.ground_crs).area
    return frame[['score', 'area_m2', 'height_m', 'instance', 'geometry']]
