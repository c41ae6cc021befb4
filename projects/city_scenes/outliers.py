"""Buildings that cannot belong to a city, such as one at (0, 0) or an outline across a whole country."""

from logging import WARNING
from pathlib import Path

import numpy as np
import shapely
from mmengine.logging import print_log
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

LARGEST_M = 5000.0
"""No building is so long."""
ALONE_M = 2000.0
"""At least so much empty ground lies around an outlier; in a city with a diameter of more than half of that, two
diameters."""
FEW_SHARE = 0.01


def leave_out_outliers(path: Path, polygons: np.ndarray, structures: np.ndarray, meters: np.ndarray) -> np.ndarray:
    """Finds what a city has to do without, and says which and why.

    Args:
        path: Where they come from, for the message.
        polygons: (N,) Outlines, in any unit.
        structures: (N,) Building that each belongs to, from 0 without gaps.
        meters: (2,) Metres per unit, east and north.

    Returns:
        (N,) bool Which to keep.
    """
    bounds_m = shapely.bounds(polygons) * np.tile(meters, 2)
    middles_m = (bounds_m[:, :2] + bounds_m[:, 2:]) / 2
    huge = (bounds_m[:, 2:] - bounds_m[:, :2]).max(axis=1) > LARGEST_M
    far = ~huge
    far[far] = isolated(middles_m[far])
    far = np.isin(structures, structures[far]) & ~huge
    kept = ~huge & ~far
    center_m = np.median(middles_m[kept], axis=0)
    for left_out, reason in (
        (huge, f'longer than {LARGEST_M / 1000:.0f} km, as no building is'),
        (far, 'far from all others: misplaced, or of another place'),
    ):
        if left_out.any():
            first = int(np.flatnonzero(left_out)[0])
            x, y = shapely.get_coordinates(shapely.centroid(polygons[first]))[0]
            off_km = float(np.linalg.norm(middles_m[first] - center_m)) / 1000
            print_log(
                f'{path}: {left_out.sum()} of {len(polygons)} polygons are left out, {reason}, such as number '
                f'{first + 1} at ({x:.9g}, {y:.9g}), {off_km:.4g} km from the middle of the others',
                logger='current',
                level=WARNING,
            )
    return kept


def isolated(points_m: np.ndarray) -> np.ndarray:
    """Which of many points lie far from nearly all others, alone or in a group of less than a hundredth of them.

    Points are of one group if a chain of them leads from one to the other without a gap of `ALONE_M`. Memory grows
    with their number, not with their extent.

    Args:
        points_m: (N, 2) Metres.

    Returns:
        (N,) bool.
    """
    if len(points_m) < 4:
        return np.zeros(len(points_m), dtype=bool)
    low, high = np.quantile(points_m, (0.1, 0.9), axis=0)
    side_m = max(ALONE_M, 2 * float((high - low).max()))
    squares, square = np.unique(np.floor((points_m - low) / side_m), axis=0, return_inverse=True)
    pairs = KDTree(squares).query_pairs(1.5, output_type='ndarray')
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(squares), len(squares)))
    group = connected_components(links, directed=False)[1][square.ravel()]
    sizes = np.bincount(group)
    few = sizes <= max(1, FEW_SHARE * len(points_m))
    few[sizes.argmax()] = False
    return few[group]
