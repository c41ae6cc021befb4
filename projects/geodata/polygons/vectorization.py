"""From predictions to the map: building polygons with score, height and area out of probability or instance maps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from projects.geodata.coordinate_systems import WGS84, is_local, metres_per_unit, parse_crs
from projects.geodata.heights import LIMIT_M
from projects.geodata.polygons.pixel_regions import (
    Regions,
    concatenate,
    fill_holes,
    find_regions,
    gather_parts,
    merge_across_borders,
    merge_equal,
    touches_other_windows,
)
from projects.geodata.polygons.regularization import regularise
from projects.geodata.polygons.simplification import simplify_outlines
from projects.geodata.vector_files import geopandas, pd

COLUMNS = 'score', 'area_m2', 'height_m', 'instance', 'geometry'
LAYERS = {'score': 'probabilities', 'height_m': 'heights_m', 'instance': 'instances'}  # that columns come from


@dataclass(frozen=True)
class VectorizationSettings:
    """How polygons are made.

    Attributes:
        threshold: Pixels whose probability is greater are building, as in mmseg's heads.
        min_area_m2: Regions of fewer square metres are left out; measured on the pixels, before simplification.
        simplify_m: Outlines may lie that far from the pixels' edges, see `simplification`; None: one pixel,
            which smooths staircases and changes no pixel but those at the border; 0: outlines follow the edges.
        regularise: Make corners right angles or multiples of 45 degrees, see `regularization`; details of less
            than 1.5 times the tolerance of simplification, or 1.5 pixels, get lost.
        fill_holes_m2: Holes of fewer square metres, such as equipment on roofs leaves, are filled with whatever lies in
            them; 0: holes stay.
    """

    threshold: float = 0.5
    min_area_m2: float = 0.0
    simplify_m: float | None = None
    regularise: bool = False
    fill_holes_m2: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f'threshold = {self.threshold}: expected a probability, at least 0 and less than 1')
        for name in ('min_area_m2', 'fill_holes_m2'):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f'{name} = {getattr(self, name)}: expected square metres, at least 0')
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
        heights_m: (H, W) Metres above ground; NaN, values up to 0 and above `LIMIT_M` are unknown. None: no heights.
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
        if len(set(shapes.values())) != 1 or set(shapes) == {'heights_m'}:
            raise ValueError(f'expected probabilities, instances or both, and heights of the same size; got {shapes}')
        if len(self.size_px) != 2:
            raise ValueError(f'{shapes}: expected one band, (H, W)')
        if self.probabilities is not None:
            _check_probabilities(self.probabilities)
        if self.instances is not None:
            _check_instances(self.instances)

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
    polygons are kept. Buildings are the pixels of one number where instances are given, else 4-connected regions:
    pixels that touch at a corner alone are different buildings.

    Args:
        windows: Windows that cover the raster without overlap, in any order.
        size_px: Width and height of the raster.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        crs: Coordinate system of x and y.
        settings: How polygons are made.

    Returns:
        One row per building: `geometry` (valid Polygon in `crs`, MultiPolygon of an instance in several pieces) and
        `area_m2` (of the polygon, on the ground); where they are given `score` (mean probability of its pixels),
        `height_m` (mean of its known heights, NaN is unknown) and `instance`. No building gives an empty frame.

    Raises:
        ValueError: The windows hold something else than probabilities, or the coordinate system cannot express the
            place.
    """
    settings = settings or VectorizationSettings()
    place = _Place(size_px, np.array(transform[:6], dtype=float), crs)
    cut, frames, given = [_no_regions()], [], set[str]()
    for window in windows:
        regions = _window_regions(window, settings.threshold)
        given |= {column for column, layer in LAYERS.items() if getattr(window, layer) is not None}
        is_cut = touches_other_windows(regions, window.edges, size_px) | (window.instances is not None)
        cut.append(regions.select(is_cut))
        frames.append(_to_frame(regions.select(~is_cut), place, settings))
    merge = merge_equal if 'instance' in given else merge_across_borders
    frames.append(_to_frame(merge(concatenate(cut)), place, settings))
    result = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    _regularise(result, place, settings)
    result['area_m2'] = place.areas_m2(result.geometry)
    return result[[column for column in COLUMNS if column not in LAYERS or column in given]]


def refine_polygons(
    polygons: geopandas.GeoDataFrame, size_px: tuple[int, int], transform: Any, settings: VectorizationSettings
) -> geopandas.GeoDataFrame:
    """Of polygons that a detector found in a raster: leave out the small ones and regularise, as settings say.

    Args:
        polygons: Polygons or MultiPolygons with any columns.
        size_px: Width and height of the raster.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        settings: `min_area_m2`, `regularise` and the tolerance; the rest is for maps.

    Returns:
        The rows that are large enough, in their order, with the same columns.
    """
    place = _Place(size_px, np.array(transform[:6], dtype=float), polygons.crs)
    large = place.areas_m2(polygons.geometry) >= settings.min_area_m2
    result = polygons[large].reset_index(drop=True)
    _regularise(result, place, settings)
    return result


class _Place:
    """Where the raster lies, and how long its pixels' sides are in metres at its centre.

    Areas are measured in Lambert's azimuthal projection around the centre, which keeps them on the ellipsoid (Snyder,
    1987, Map projections: a working manual, doi:10.3133/pp1395, p. 187) wherever polygons lie; those of a local
    system in its own units.
    """

    def __init__(self, size_px: tuple[int, int], transform: np.ndarray, crs: Any) -> None:
        self.crs = crs
        self.matrix, self.origin = transform.reshape(2, 3)[:, :2], transform.reshape(2, 3)[:, 2]
        centre = self.to_map(np.array([size_px], dtype=float) / 2)
        self.pixel_m = np.linalg.norm(self.matrix * metres_per_unit(crs, centre)[0][:, None], axis=0)
        self.unit_m = 1.0
        if is_local(crs):
            self.ground_crs, self.unit_m = parse_crs(crs), metres_per_unit(crs, centre)[0, 0]
            return
        longitude_deg, latitude_deg = geopandas.GeoSeries.from_xy(*centre.T, crs=crs).to_crs(WGS84)[0].coords[0]
        self.ground_crs = parse_crs(f'+proj=laea +lat_0={latitude_deg:.6f} +lon_0={longitude_deg:.6f} +datum=WGS84')

    def to_map(self, points: np.ndarray) -> np.ndarray:
        """From (column, row) to map coordinates, (N, 2)."""
        return points @ self.matrix.T + self.origin

    def areas_m2(self, polygons: geopandas.GeoSeries) -> pd.Series:
        """On the ground."""
        return polygons.to_crs(self.ground_crs).area * self.unit_m**2


def _regularise(polygons: geopandas.GeoDataFrame, place: _Place, settings: VectorizationSettings) -> None:
    if settings.regularise and len(polygons):
        parts, owner = shapely.get_parts(polygons.geometry.to_numpy(), return_index=True)
        tolerance_m = 1.5 * (settings.simplify_m or place.pixel_m.mean())
        regular = regularise(geopandas.GeoDataFrame(geometry=parts, crs=polygons.crs), place.ground_crs, tolerance_m)
        polygons.geometry = gather_parts(regular.geometry.to_numpy(), owner, len(polygons))


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


def _check_instances(instances: np.ndarray) -> None:
    low, high = instances.min(initial=0), instances.max(initial=0)
    if instances.dtype.kind not in 'iu' or low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(
            f'instances of type {instances.dtype}, from {low:g} to {high:g}: expected whole numbers from 0 (none) that '
            'fit into 32 bits'
        )


def _no_regions() -> Regions:
    return Regions(np.array([], dtype=object), np.zeros(0, dtype=np.int64), np.zeros((0, 4)))


def _window_regions(window: PredictionWindow, threshold: float) -> Regions:
    """Regions with the sums: pixels of known probability, probability, pixels of known height, height."""
    values = window.instances
    if values is None:
        values = np.asarray(window.probabilities) > threshold  # false for NaN
    unknown = np.full(values.shape, np.nan, dtype=np.float32)
    probabilities = unknown if window.probabilities is None else window.probabilities
    heights_m = unknown if window.heights_m is None else window.heights_m
    scored, measured = np.isfinite(probabilities), (heights_m > 0) & (heights_m <= LIMIT_M)  # false for NaN
    layers = [scored, np.where(scored, probabilities, 0), measured, np.where(measured, heights_m, 0)]
    return find_regions(values, layers, window.column, window.row)


def _to_frame(regions: Regions, place: _Place, settings: VectorizationSettings) -> geopandas.GeoDataFrame:
    num_scored, score, num_measured, height_m = regions.sums.T
    with np.errstate(invalid='ignore'):  # 0 / 0: unknown
        columns = {'score': score / num_scored, 'height_m': height_m / num_measured, 'instance': regions.values}
    outlines = fill_holes(regions.polygons, settings.fill_holes_m2 / place.pixel_m.prod())
    exact = geopandas.GeoSeries(shapely.transform(outlines, place.to_map), crs=place.crs)
    large = place.areas_m2(exact).to_numpy() >= settings.min_area_m2
    tolerance_m = place.pixel_m.mean() if settings.simplify_m is None else settings.simplify_m
    parts, owner = shapely.get_parts(outlines[large], return_index=True)
    parts = simplify_outlines(parts, tolerance_m, place.pixel_m, place.to_map)
    kept = {name: column[large] for name, column in columns.items()}
    return geopandas.GeoDataFrame(kept, geometry=gather_parts(parts, owner, int(large.sum())), crs=place.crs)
