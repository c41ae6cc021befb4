"""Regions of a raster: exact outlines along pixel edges, and sums over their pixels, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..raster_files import rasterio


@dataclass
class Regions:
    """Regions of pixels in the coordinates of a raster: (column, row), pixel (0, 0) covers 0 to 1.

    Attributes:
        polygons: (N,) Valid Polygons and MultiPolygons with holes, whose corners are whole numbers.
        values: (N,) int, the value that all pixels of a region have in common.
        sums: (N, S) What was summed up over the pixels of each.
    """

    polygons: np.ndarray
    values: np.ndarray
    sums: np.ndarray

    def __len__(self) -> int:
        return len(self.polygons)

    def select(self, chosen: np.ndarray) -> 'Regions':
        """The regions at these places, or where a mask is true."""
        return Regions(self.polygons[chosen], self.values[chosen], self.sums[chosen])


def concatenate(parts: list[Regions]) -> Regions:
    """All regions of at least one list of them."""
    return Regions(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ('polygons', 'values', 'sums'))
    )


def find_regions(values: np.ndarray, layers: list[np.ndarray], column: int = 0, row: int = 0) -> Regions:
    """Regions of 4-connected pixels of equal value, with outlines that follow the pixels' edges exactly.

    Pixels that touch at a corner alone are in different regions, and each polygon is valid: rings may meet in points,
    but never cross. (With 8-connectivity, outlines would cross themselves at such corners.)

    Args:
        values: (H, W) Integers that fit into 32 bits; 0 belongs to no region.
        layers: S arrays (H, W) to be summed up within each region.
        column: Place of the window's left edge in the raster.
        row: Place of its upper edge.

    Returns:
        The regions from top to bottom.
    """
    numbers = _number(values)
    found = [(shape['coordinates'], int(number)) for shape, number in rasterio.features.shapes(numbers, numbers > 0)]
    rings = [ring for outline, _ in found for ring in outline]
    corners = np.array([corner for ring in rings for corner in ring], dtype=float).reshape(-1, 2)
    corners += np.array([column, row])
    outlines = polygons_of_rings(corners, [len(ring) for ring in rings], [len(outline) for outline, _ in found])
    own = np.array([number for _, number in found], dtype=int)
    inside = np.flatnonzero(numbers)
    owner = numbers.ravel()[inside].astype(int)
    sums = [np.bincount(owner, layer.ravel()[inside], minlength=len(found) + 1)[own] for layer in layers]
    common = np.zeros(len(found) + 1, np.int64)
    common[owner] = values.ravel()[inside]
    return Regions(outlines, common[own], np.array(sums, dtype=float).reshape(len(layers), len(found)).T)


def polygons_of_rings(corners: np.ndarray, num_corners: Sequence[int], num_rings: Sequence[int]) -> np.ndarray:
    """Polygons (N,) of `num_rings` each, the exterior first; rings have `num_corners` each of all `corners` (M, 2)."""
    if not len(num_rings):
        return np.array([], dtype=object)
    rings = shapely.linearrings(corners, indices=np.repeat(np.arange(len(num_corners)), num_corners))
    return shapely.polygons(rings, indices=np.repeat(np.arange(len(num_rings)), num_rings))


def _number(values: np.ndarray) -> np.ndarray:
    """(H, W) int32 numbers, from 1, of the 4-connected regions of equal value; 0 where the value is 0."""
    if values.dtype == bool:
        return cv2.connectedComponents(values.view(np.uint8), connectivity=4)[1]
    links = np.zeros(np.multiply(2, values.shape) - 1, np.uint8)  # pixels, and between them whether they are equal
    links[::2, ::2] = values != 0
    links[1::2, ::2] = (values[1:] == values[:-1]) & (values[1:] != 0)
    links[::2, 1::2] = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] != 0)
    return np.ascontiguousarray(cv2.connectedComponents(links, connectivity=4)[1][::2, ::2])


def touches_other_windows(regions: Regions, window: tuple[int, int, int, int], size_px: tuple[int, int]) -> np.ndarray:
    """Which regions reach a border of their window that is no border of the raster.

    Args:
        regions: Of one window.
        window: Its left, top, right and bottom edge in the raster.
        size_px: Width and height of the raster.

    Returns:
        (N,) bool.
    """
    left, top, right, bottom = shapely.bounds(regions.polygons).reshape(-1, 4).T
    result = (left == window[0]) & (window[0] > 0) | (top == window[1]) & (window[1] > 0)
    return result | (right == window[2]) & (window[2] < size_px[0]) | (bottom == window[3]) & (window[3] < size_px[1])


def merge_across_borders(regions: Regions) -> Regions:
    """Join regions of equal value that share an edge, such as the pieces of a building cut by windows.

    Args:
        regions: Pieces that do not overlap.

    Returns:
        The joined regions; their sums are added up.
    """
    if not len(regions):
        return regions
    polygons = regions.polygons
    first, second = shapely.STRtree(polygons).query(polygons, predicate='intersects')
    candidates = (first < second) & (regions.values[first] == regions.values[second])
    first, second = first[candidates], second[candidates]
    shared = shapely.length(shapely.intersection(polygons[first], polygons[second])) > 0
    links = coo_array((np.ones(shared.sum()), (first[shared], second[shared])), shape=(len(regions), len(regions)))
    return _joined(regions, connected_components(links, directed=False)[1])


def merge_equal(regions: Regions) -> Regions:
    """Join regions of equal value wherever they lie: those in several pieces become MultiPolygons.

    Args:
        regions: Pieces that do not overlap.

    Returns:
        The joined regions by rising value; their sums are added up.
    """
    return _joined(regions, np.unique(regions.values, return_inverse=True)[1]) if len(regions) else regions


def _joined(regions: Regions, group: np.ndarray) -> Regions:
    """Regions of equal number (N,), from 0 without gaps, become one."""
    order = np.argsort(group, kind='stable')
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    joined = gather_parts(regions.polygons[order], group[order], len(starts))
    return Regions(
        shapely.simplify(joined, 0),
        regions.values[order][starts],
        np.add.reduceat(regions.sums[order], starts, axis=0),
    )


def gather_parts(parts: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """One geometry of the parts that have the same owner, 0 to `count` - 1 in rising order."""
    members = np.split(parts, np.searchsorted(owner, np.arange(1, count)))[:count]
    return np.array([own[0] if len(own) == 1 else shapely.union_all(own) for own in members], dtype=object)


def fill_holes(polygons: np.ndarray, below_px: float) -> np.ndarray:
    """Polygons and MultiPolygons (N,) without their holes of less than that many pixels, whatever lies in them."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    for number in np.flatnonzero(shapely.get_num_interior_rings(parts)).tolist():
        exterior, *holes = shapely.get_rings(parts[number])
        large = [hole for hole in holes if shapely.Polygon(hole).area >= below_px]
        parts[number] = shapely.Polygon(exterior, large)
    return gather_parts(parts, owner, len(polygons))
