"""What tells how good outlines are: corner by corner, along the boundary, angle by angle; needs shapely alone.

Lengths are in the units of the coordinates, metres for all who call this. Polygons are valid; MultiPolygons and holes
count with all their rings. Of several published measures the code that everybody copies has faults, of which these are
free: see each function. The maximal tangent angle error (arXiv 2004.14875) is left out: it projects corners, so that a
square which is moved by 1 m and not turned at all has an error of 45 degrees.
"""

import numpy as np
import shapely

RIGHT_DEG = 5.0  # a corner that is as near to 90 degrees is a right angle


def corners(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners of all rings, each once: the point that closes a ring is the one that it starts with.

    Args:
        polygons: (N,) without repeated points.

    Returns:
        (M, 2) points; (M,) their polygon; and (M,) their ring, rings being numbered through all polygons.
    """
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    closing = np.append(np.diff(ring) > 0, True)[: len(ring)]
    points, ring = points[~closing], ring[~closing]
    return points, owner[part[ring]], ring


def corner_counts(polygons: np.ndarray) -> np.ndarray:
    """(N,) corners of each polygon, those between two edges of one direction too."""
    return np.bincount(corners(polygons)[1], minlength=len(polygons))


def polis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The PoLiS distance of pairs: how far corners are from the other outline, averaged over each and over both.

    sum_a d(a, ∂B) / 2q + sum_b d(b, ∂A) / 2r over q corners a of A and r corners b of B (Avbelj et al., 2015, A metric
    for polygon comparison and building extraction evaluation, doi:10.1109/LGRS.2014.2330695). The code that is copied
    divides by 2(q + 1), matches by boxes, and leaves out images where the distance is 0.

    Args:
        first: (N,) polygons A.
        second: (N,) polygons B.

    Returns:
        (N,) distances.

    Example:
        >>> polis([shapely.box(0, 0, 4, 4)], [shapely.box(1, 0, 5, 4)]).tolist()
        [0.5]
    """
    return (_mean_distance(first, second) + _mean_distance(second, first)) / 2


def _mean_distance(polygons: np.ndarray, others: np.ndarray) -> np.ndarray:
    points, owner, _ = corners(polygons)
    outlines = shapely.boundary(others)
    shapely.prepare(outlines)
    distances = shapely.distance(outlines[owner], shapely.points(points))
    return np.bincount(owner, distances, len(polygons)) / np.bincount(owner, minlength=len(polygons))


def c_iou(iou: np.ndarray, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over union, less where the numbers of corners differ: IoU · (1 - |N - N'| / (N + N')).

    After Zorzi et al., 2022, PolyWorld (arXiv 2111.15491). The code that is copied counts the corners of first rings
    alone, and averages images.

    Args:
        iou: (N,) of each pair.
        found: (N,) corners found.
        true: (N,) true corners.
    """
    return iou * (1 - np.abs(found - true) / (found + true))


def boundary_iou(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    """Intersection over union of the bands along two outlines, inside of each.

    After Cheng et al., 2021 (arXiv 2103.16562), where the width is 2 % of the image's diagonal. With a and b for what
    is left of A and B without their bands, the bands share abs(A ∩ B) - abs(a ∩ B) - abs(A ∩ b) + abs(a ∩ b).

    Args:
        first: (N,) polygons A.
        second: (N,) polygons B.
        width: Of the bands.

    Returns:
        (N,) 0 to 1; that of the areas where both bands fill all.

    Example:
        >>> boundary_iou([shapely.box(0, 0, 2, 2)], [shapely.box(1, 0, 3, 2)], 1.0).round(3).tolist()
        [0.333]
    """
    inner_first, inner_second = shapely.buffer(first, -width), shapely.buffer(second, -width)
    shared = (
        shapely.area(shapely.intersection(first, second))
        - shapely.area(shapely.intersection(inner_first, second))
        - shapely.area(shapely.intersection(first, inner_second))
        + shapely.area(shapely.intersection(inner_first, inner_second))
    )
    outer, inner = (sum(map(shapely.area, both)) for both in ((first, second), (inner_first, inner_second)))
    return np.clip(shared, 0, None) / (outer - inner - shared)


def right_angles(polygons: np.ndarray) -> np.ndarray:
    """(N,) corners of each polygon that turn by 90 degrees, to either side, give or take `RIGHT_DEG`."""
    points, owner, ring = corners(polygons)
    before, after = _neighbors(ring)
    incoming, outgoing = points - points[before], points[after] - points
    turn_deg = np.degrees(_angles(incoming, outgoing))
    return np.bincount(owner, np.abs(turn_deg - 90) <= RIGHT_DEG + 1e-9, len(polygons)).astype(int)


def _neighbors(ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of points in the order of their closed rings, the ones before and after each."""
    place = np.arange(len(ring))
    first, last = np.searchsorted(ring, ring, 'left'), np.searchsorted(ring, ring, 'right') - 1
    return np.where(place == first, last, place - 1), np.where(place == last, first, place + 1)


def _angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) angles between vectors, 0 to pi."""
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return np.abs(np.arctan2(cross, (first * second).sum(axis=1)))


def overlapped_areas(polygons: np.ndarray) -> np.ndarray:
    """(N,) area that each shares with other polygons of the same set; that under several others counts for each."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate='intersects')
    once = first < second
    first, second = first[once], second[once]
    shared = shapely.area(shapely.intersection(polygons[first], polygons[second]))
    return np.bincount(first, shared, len(polygons)) + np.bincount(second, shared, len(polygons))


def holes_kept(found: np.ndarray, labeled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the holes of true polygons, how many there are, and how many lie by half or more outside of what was found.

    Args:
        found: (N,) polygons.
        labeled: (N,) the true ones.

    Returns:
        (N,) holes, and (N,) those that were kept.
    """
    parts, owner = shapely.get_parts(labeled, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    is_hole = np.append(False, np.diff(part) == 0)[: len(part)]
    holes, owner = shapely.polygons(rings[is_hole]), owner[part[is_hole]]
    covered = shapely.area(shapely.intersection(holes, found[owner]))
    kept = 2 * covered <= shapely.area(holes)
    return np.bincount(owner, minlength=len(found)), np.bincount(owner, kept, len(found)).astype(int)
