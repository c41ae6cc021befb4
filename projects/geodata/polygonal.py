"""The polygons of any geometry, mended; needs shapely alone."""

from collections import Counter

import numpy as np
import shapely

POLYGON, MULTIPOLYGON, GEOMETRY_COLLECTION = 3, 6, 7  # as `shapely.get_type_id` numbers them
COLLECTIONS = MULTIPOLYGON, GEOMETRY_COLLECTION
ENDLESS_HOLES = 'holes with NaN or infinite coordinates'


def polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry, without points and lines, such as clipping and repairing leave behind."""
    if geometry.geom_type in ('Polygon', 'MultiPolygon'):
        return geometry
    parts = np.array([geometry], dtype=object)
    while np.isin(types := shapely.get_type_id(parts), COLLECTIONS).any():
        parts = np.concatenate([parts[types == POLYGON], shapely.get_parts(parts[np.isin(types, COLLECTIONS)])])
    return shapely.union_all(parts[shapely.get_type_id(parts) == POLYGON])


def translate(polygons: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Polygons (N,) moved by (N, 2) units of their coordinates each."""
    coordinates, owner = shapely.get_coordinates(polygons, return_index=True)
    return shapely.set_coordinates(np.array(polygons, dtype=object), coordinates + offsets[owner])


def mask_outline(mask: np.ndarray) -> shapely.Geometry:
    """What a mask covers, exactly: outlined along the edges of its pixels, holes and all.

    Args:
        mask: (H, W) bool.

    Returns:
        A valid Polygon or MultiPolygon in pixels (column, row), pixel (0, 0) covering 0 to 1; empty without pixels.

    Example:
        >>> mask_outline(np.array([[False, True, True]])).bounds
        (1.0, 0.0, 3.0, 1.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return shapely.Polygon()
    top, left = rows[0], columns[0]
    inside = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.int8)
    row, column = np.nonzero(np.diff(inside, axis=0))
    level = np.stack([column - 1, row, column, row], axis=1)
    row, column = np.nonzero(np.diff(inside, axis=1))
    upright = np.stack([column, row - 1, column, row], axis=1)
    edges = np.concatenate([level, upright]).reshape(-1, 2, 2) + np.array([left, top])
    return shapely.simplify(shapely.build_area(shapely.multilinestrings(shapely.linestrings(edges))), 0)


def mend_outlines(outlines: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """Make polygons of outlines, in two dimensions; one that cannot be used does not concern the others.

    Outlines that cross themselves are repaired by `shapely.make_valid` (even-odd rule: a figure of eight becomes two
    parts). Holes with NaN or infinite coordinates are left out. What has no geometry, such coordinates elsewhere, no
    polygon or no area becomes None.

    Args:
        outlines: (N,) Geometries of any type, or None.

    Returns:
        (N,) Valid Polygons and MultiPolygons, or None; and how many were repaired or left out, by reason, and
        `ENDLESS_HOLES`.
    """
    counts: Counter[str] = Counter()
    mended = shapely.force_2d(np.array(outlines, dtype=object))
    absent = shapely.is_missing(mended) | shapely.is_empty(mended)
    for number in np.flatnonzero(_are_endless(mended)).tolist():
        mended[number], holes = _without_endless_holes(mended[number])
        counts[ENDLESS_HOLES] += holes
    endless = _are_endless(mended)
    other = ~np.isin(shapely.get_type_id(mended), (POLYGON, *COLLECTIONS)) & ~absent & ~endless
    for reason, left_out in (
        ('without geometry', absent),
        ('with NaN or infinite coordinates', endless),
        ('not a polygon', other),
    ):
        counts[reason] += int(left_out.sum())
        mended[left_out] = None
    invalid = ~shapely.is_valid(mended) & ~shapely.is_missing(mended)
    for number in np.flatnonzero(invalid | (shapely.get_type_id(mended) == GEOMETRY_COLLECTION)).tolist():
        try:
            mended[number] = polygonal(shapely.make_valid(mended[number]))
        except shapely.errors.GEOSException:
            mended[number] = None
            counts['beyond repair'] += 1
    flat = shapely.area(mended) <= 0
    mended[flat] = None
    counts['without area'] = int(flat.sum())
    counts['repaired'] = int((invalid & ~shapely.is_missing(mended)).sum())
    return mended, +counts


def _are_endless(geometries: np.ndarray) -> np.ndarray:
    """Which of (N,) geometries have coordinates that are NaN or infinite."""
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    endless = np.zeros(len(geometries), dtype=bool)
    endless[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    return endless


def _without_endless_holes(geometry: shapely.Geometry) -> tuple[shapely.Geometry, int]:
    """A polygon or several without the holes whose coordinates are NaN or infinite, and how many those are."""
    if geometry.geom_type == 'MultiPolygon':
        parts, holes = zip(*map(_without_endless_holes, geometry.geoms), strict=True)
        return shapely.MultiPolygon(list(parts)), sum(holes)
    if geometry.geom_type != 'Polygon' or _are_endless(np.array([geometry.exterior]))[0]:
        return geometry, 0
    endless = _are_endless(np.array(geometry.interiors, dtype=object))
    kept = [hole for hole, is_endless in zip(geometry.interiors, endless, strict=True) if not is_endless]
    return shapely.Polygon(geometry.exterior, kept), int(endless.sum())
