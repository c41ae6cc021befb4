"""Fewer corners for outlines that follow the edges of pixels."""

from collections.abc import Callable

import numpy as np
import shapely

from .pixel_regions import polygons_of_rings

MAX_AREA_CHANGE = 0.1  # share of a building's area that simplification may add or take away
MANY_HOLES = 1000  # GEOS compares each stretch of an outline with all of its rings: of more, each is simplified alone
MANY_CORNERS = 256  # from which on a tree of edges is faster than all pairs


def simplify_outlines(
    polygons: np.ndarray, tolerance_m: float, pixel_m: np.ndarray, to_map: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Remove corners of outlines, which stay valid and no farther from where they were than the tolerance.

    Corners near the line between others are dropped (Douglas & Peucker, 1973, doi:10.3138/FM57-6770-U75U-7727) by GEOS,
    which keeps rings from crossing. Where that moves an outline farther, breaks it, or changes its area by more than
    `MAX_AREA_CHANGE`, such as of a building of few pixels, half the tolerance is tried, then a quarter; then the
    outline stays exact. Polygons are treated one by one: borders that instances share may come apart.

    Args:
        polygons: (N,) Valid Polygons in pixels (column, row), whose corners are whole numbers.
        tolerance_m: Metres, at least 0.
        pixel_m: (2,) Width and height of a pixel in metres.
        to_map: From (column, row) to map coordinates, (M, 2) both.

    Returns:
        (N,) Polygons on the map, whose corners are some of the given ones.
    """
    polygons = _start_at_corners(shapely.normalize(polygons))
    result = shapely.transform(polygons, to_map)
    in_meters = shapely.transform(polygons, lambda points: points * pixel_m)
    left = np.arange(len(polygons))
    for tried_m in (tolerance_m, tolerance_m / 2, tolerance_m / 4) if tolerance_m else ():
        exact, simplified = in_meters[left], _simplify(in_meters[left], tried_m)
        mapped = shapely.transform(simplified, lambda points: to_map(np.rint(points / pixel_m)))
        good = shapely.is_valid(mapped) & _stay_near(exact, simplified, tolerance_m * (1 + 1e-9))
        good &= np.abs(shapely.area(simplified) / shapely.area(exact) - 1) <= MAX_AREA_CHANGE
        result[left[good]], left = mapped[good], left[~good]
    return result


def _simplify(polygons: np.ndarray, tolerance_m: float) -> np.ndarray:
    """Polygons (N,) with fewer corners; of those with very many holes, rings may cross."""
    result = polygons.copy()
    many = shapely.get_num_interior_rings(polygons) > MANY_HOLES
    result[~many] = shapely.simplify(polygons[~many], tolerance_m)
    for number in np.flatnonzero(many).tolist():
        exterior, *holes = shapely.simplify(shapely.get_rings(polygons[number]), tolerance_m)
        result[number] = shapely.Polygon(exterior, holes)
    return result


def _stay_near(exact: np.ndarray, simplified: np.ndarray, distance: float) -> np.ndarray:
    """Whether no corner of each polygon (N,) is farther from the other outline, which has some of the same corners.

    That is their Hausdorff distance, for which GEOS compares all corners with all edges; long outlines get a tree.
    """
    is_long = shapely.get_num_coordinates(exact) > MANY_CORNERS
    near = np.zeros(len(exact), dtype=bool)
    near[~is_long] = shapely.hausdorff_distance(exact[~is_long], simplified[~is_long]) <= distance
    corners, owner = shapely.get_coordinates(exact[is_long], return_index=True)
    outlines = shapely.boundary(simplified[is_long])
    shapely.prepare(outlines)
    far = ~shapely.dwithin(outlines[owner], shapely.points(corners), distance)
    near[is_long] = np.bincount(owner[far], minlength=len(outlines)) == 0
    return near


def _start_at_corners(polygons: np.ndarray) -> np.ndarray:
    """The same polygons (N,), whose rings start farthest from their middle.

    GEOS treats where a ring starts unlike the rest: from there, it hardly ever moves an outline farther than the
    tolerance, and leaves fewer corners.
    """
    if not len(polygons):
        return polygons
    rings, owner = shapely.get_rings(polygons, return_index=True)
    counts = shapely.get_num_coordinates(rings) - 1  # a ring ends where it starts
    first = np.cumsum(counts) - counts
    of_ring = np.repeat(np.arange(len(rings)), counts)
    place = np.arange(len(of_ring)) - first[of_ring]
    corners = shapely.get_coordinates(rings)[place + (first + np.arange(len(rings)))[of_ring]]
    middles = np.add.reduceat(corners, first) / counts[:, None]
    squared = ((corners - middles[of_ring]) ** 2).sum(axis=1)
    farthest = np.flatnonzero(squared == np.maximum.reduceat(squared, first)[of_ring])
    start = place[farthest[np.searchsorted(farthest, first)]]
    turned = corners[first[of_ring] + (place + start[of_ring]) % counts[of_ring]]
    return polygons_of_rings(turned, counts.tolist(), np.bincount(owner).tolist())
