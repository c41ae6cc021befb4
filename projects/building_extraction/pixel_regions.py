"""Regions of a raster: exact outlines along pixel edges, and sums over their pixels, window by window."""

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from projects.geodata.raster_files import rasterio, rasterise

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass
class Regions:
    """Regions of pixels in the coordinates of a raster: (column, row), pixel (0, 0) covers 0 to 1.

    Attributes:
        polygons: (N,) Valid Polygons with holes, whose corners are whole numbers.
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
    values = np.ascontiguousarray(values, dtype=np.int32)
    found = [
        (shapely.Polygon(rings[0], rings[1:]), int(value))
        for outline, value in rasterio.features.shapes(values, mask=values != 0, connectivity=4)
        for rings in [outline['coordinates']]
    ]
    polygons = np.array([polygon for polygon, _ in found], dtype=object)
    numbers = rasterise(polygons, np.arange(1, len(found) + 1), values.shape[::-1], IDENTITY, np.int32).ravel()
    sums = [np.bincount(numbers, layer.ravel(), minlength=len(found) + 1)[1:] for layer in layers]
    return Regions(
        shapely.transform(polygons, lambda points: points + np.array([column, row])),
        np.array([value for _, value in found], dtype=np.int64),
        np.array(sums, dtype=float).reshape(len(layers), len(found)).T,
    )


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
    count, group = connected_components(links, directed=False)
    order = np.argsort(group, kind='stable')
    starts = np.searchsorted(group[order], np.arange(count))
    members = np.split(order, starts[1:])
    joined = [polygons[own[0]] if len(own) == 1 else shapely.union_all(polygons[own]) for own in members]
    return Regions(
        shapely.simplify(np.array(joined, dtype=object), 0),
        regions.values[order][starts],
        np.add.reduceat(regions.sums[order], starts, axis=0),
    )
