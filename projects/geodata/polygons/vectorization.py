"""From predictions to the map: building polygons with score, height and area out of probability or instance maps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from ..coordinate_systems import ground_system, meters_per_unit
from ..vector_files import PIXEL, geopandas, pd
from .pixel_regions import (
    Regions,
    concatenate,
    fill_holes,
    gather_parts,
    merge_across_borders,
    merge_equal,
    touches_other_windows,
)
from .regularization import regularise
from .simplification import simplify_outlines
from .windows import PredictionWindow, regions_of

COLUMNS = 'score', 'area_m2', 'height_m', 'instance', 'geometry'
LAYERS = {'score': 'probabilities', 'height_m': 'heights_m', 'instance': 'instances'}  # that columns come from
MANY_REGIONS = 4096  # are simplified at once
TOLERANCES = 2.0  # of simplification are that of regularisation


@dataclass(frozen=True)
class VectorizationSettings:
    """How polygons are made.

    Attributes:
        threshold: Pixels whose probability is greater are building, as in mmseg's heads.
        min_area_m2: Regions of fewer square metres are left out; measured on the pixels, before simplification.
        simplify_m: Outlines may lie that far from the pixels' edges, see `simplification`; None: one pixel,
            which smooths staircases and changes no pixel but those at the border; 0: outlines follow the edges.
        regularise: Fit straight edges, most of them along or across the main direction of each building, see
            `regularization`; details of less than twice the tolerance of simplification, or 2 pixels, get lost. What
            cannot be made regular is simplified alone.
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


def vectorize(
    probabilities: np.ndarray | None,
    transform: Any,
    crs: Any,
    settings: VectorizationSettings | None = None,
    *,
    instances: np.ndarray | None = None,
    heights_m: np.ndarray | None = None,
) -> geopandas.GeoDataFrame:
    """Polygons of a whole map in memory; arguments and result as of `PredictionWindow` and `Vectorizer`."""
    window = PredictionWindow(probabilities, instances, heights_m)
    width, height = window.size_px
    return vectorize_windows([window], (width, height), transform, crs, settings)


def vectorize_windows(
    windows: Iterable[PredictionWindow],
    size_px: tuple[int, int],
    transform: Any,
    crs: Any,
    settings: VectorizationSettings | None = None,
) -> geopandas.GeoDataFrame:
    """Polygons of a raster that is read window by window; arguments and result as of `Vectorizer`."""
    vectorizer = Vectorizer(size_px, transform, crs, settings)
    for window in windows:
        vectorizer.add(window)
    return vectorizer.polygons()


class Vectorizer:
    """Takes the windows of a raster, one after another, and gives its polygons.

    Buildings that windows cut are joined, so that the result does not depend on the windows; of a window only its
    polygons are kept. Buildings are the pixels of one number where instances are given, else 4-connected regions:
    pixels that touch at a corner alone are different buildings.

    Args:
        size_px: Width and height of the raster.
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f.
        crs: Coordinate system of x and y.
        settings: How polygons are made.

    Raises:
        ValueError: The coordinate system cannot express the place.
    """

    def __init__(
        self, size_px: tuple[int, int], transform: Any, crs: Any, settings: VectorizationSettings | None = None
    ) -> None:
        self._size_px, self._settings = size_px, settings or VectorizationSettings()
        self._place = _Place(size_px, np.array(transform[:6], dtype=float), crs)
        self._cut, self._whole, self._num_whole = [_no_regions()], [_no_regions()], 0
        self._frames: list[geopandas.GeoDataFrame] = []
        self._irregular = np.zeros(2, int)  # outlines that could not be made regular, and all that were tried
        self._given: set[str] = set()

    def add(self, window: PredictionWindow) -> None:
        """Take the next window; all of them cover the raster without overlap, in any order."""
        regions = regions_of(window, self._settings.threshold)
        self._given |= {column for column, layer in LAYERS.items() if getattr(window, layer) is not None}
        is_cut = touches_other_windows(regions, window.edges, self._size_px) | (window.instances is not None)
        self._cut.append(regions.select(is_cut))
        self._whole.append(regions.select(~is_cut))
        self._num_whole += len(self._whole[-1])
        if self._num_whole >= MANY_REGIONS:
            self._simplify_whole()

    def polygons(self) -> geopandas.GeoDataFrame:
        """The polygons of all windows.

        Returns:
            One row per building: `geometry` (valid Polygon in `crs`, MultiPolygon of an instance in several pieces)
            and `area_m2` (of the polygon, on the ground); where they are given `score` (mean probability of its
            pixels), `height_m` (mean of its known heights, NaN is unknown) and `instance`. No building gives an empty
            frame.
        """
        self._simplify_whole()
        merge = merge_equal if 'instance' in self._given else merge_across_borders
        frames = [*self._frames, self._to_frame(merge(concatenate(self._cut)))]
        _say_irregular(*self._irregular.tolist())
        result = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        result['area_m2'] = self._place.areas_m2(result.geometry)
        result.attrs[PIXEL] = float(np.linalg.norm(self._place.matrix[:, 0]))
        return result[[column for column in COLUMNS if column not in LAYERS or column in self._given]]

    def _simplify_whole(self) -> None:
        """Exact outlines of regions that no window cuts need not be kept."""
        self._frames.append(self._to_frame(concatenate(self._whole)))
        self._whole, self._num_whole = [_no_regions()], 0

    def _to_frame(self, regions: Regions) -> geopandas.GeoDataFrame:
        place, settings = self._place, self._settings
        num_scored, score, num_measured, height_m = regions.sums.T
        with np.errstate(invalid='ignore'):  # 0 / 0: unknown
            columns = {'score': score / num_scored, 'height_m': height_m / num_measured, 'instance': regions.values}
        outlines = fill_holes(regions.polygons, settings.fill_holes_m2 / place.pixel_m.prod())
        exact = geopandas.GeoSeries(shapely.transform(outlines, place.to_map), crs=place.crs)
        large = np.ones(len(outlines), dtype=bool)
        if settings.min_area_m2:
            large = place.areas_m2(exact).to_numpy() >= settings.min_area_m2
        tolerance_m = place.pixel_m.mean() if settings.simplify_m is None else settings.simplify_m
        pieces, owner = shapely.get_parts(outlines[large], return_index=True)
        parts = simplify_outlines(pieces, tolerance_m, place.pixel_m, place.to_map)
        if settings.regularise:
            self._irregular += (
                _regularize(shapely.get_parts(exact.to_numpy()[large]), parts, place, settings),
                len(parts),
            )
        kept = {name: column[large] for name, column in columns.items()}
        return geopandas.GeoDataFrame(kept, geometry=gather_parts(parts, owner, int(large.sum())), crs=place.crs)


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
    if settings.regularise and len(result):
        outlines, owner = shapely.get_parts(result.geometry.to_numpy(), return_index=True)
        parts = outlines.copy()
        _say_irregular(_regularize(outlines, parts, place, settings), len(parts))
        result.geometry = gather_parts(parts, owner, len(result))
    return result


class _Place:
    """Where the raster lies, and how long its pixels' sides are in metres at its centre.

    Areas are measured in `ground_system`, wherever polygons lie; those of a local system in its own units.
    """

    def __init__(self, size_px: tuple[int, int], transform: np.ndarray, crs: Any) -> None:
        self.crs = crs
        self.matrix, self.origin = transform.reshape(2, 3)[:, :2], transform.reshape(2, 3)[:, 2]
        center = self.to_map(np.array([size_px], dtype=float) / 2)
        self.pixel_m = np.linalg.norm(self.matrix * meters_per_unit(crs, center)[0][:, None], axis=0)
        x, y = center[0].tolist()
        self.ground_crs, self.unit_m = ground_system(crs, (x, y))

    def to_map(self, points: np.ndarray) -> np.ndarray:
        """From (column, row) to map coordinates, (N, 2)."""
        return points @ self.matrix.T + self.origin

    def areas_m2(self, polygons: geopandas.GeoSeries) -> pd.Series:
        """On the ground."""
        return polygons.to_crs(self.ground_crs).area * self.unit_m**2


def _regularize(outlines: np.ndarray, fallback: np.ndarray, place: _Place, settings: VectorizationSettings) -> int:
    """Replace those of `fallback` (N,) that can be made regular, from exact outlines on the map; counts the others."""
    pixel = place.pixel_m.mean() / place.unit_m
    on_ground = geopandas.GeoSeries(outlines, crs=place.crs).to_crs(place.ground_crs).to_numpy()
    tolerance = TOLERANCES * (settings.simplify_m / place.unit_m if settings.simplify_m else pixel)
    regular = geopandas.GeoSeries(regularise(on_ground, tolerance, pixel), crs=place.ground_crs).to_crs(place.crs)
    good = regular.is_valid.to_numpy() & ~shapely.is_missing(regular.to_numpy())
    fallback[good] = regular.to_numpy()[good]
    return int((~good).sum())


def _say_irregular(number: int, of: int) -> None:
    if number:
        print_log(f'{number} of {of} outlines could not be made regular and are simplified alone', logger='current')


def _no_regions() -> Regions:
    return Regions(np.array([], dtype=object), np.zeros(0, dtype=np.int64), np.zeros((0, 4)))
