"""Footprints from roofs that were found in an off-nadir image."""

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from projects.building_extraction.coordinate_systems import metres_per_unit
from projects.building_extraction.view import View

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


def footprints_from_roofs(roofs: 'GeoDataFrame', view: View, heights_m: Any = None) -> 'GeoDataFrame':
    """Move roofs back to the ground: footprint = roof − offset, the inverse of `View.offset_m`.

    Args:
        roofs: Polygons in a coordinate system, north up.
        view: How the image was seen.
        heights_m: (N,) Metres above ground; None: the column `height_m`. NaN and negative: unknown.

    Returns:
        A copy with moved polygons, their `height_m`, and `moved`: False where the height is unknown, so that the
        polygon is still the roof.

    Raises:
        ValueError: There are no heights, or not one per polygon, or no coordinate system.
    """
    if roofs.crs is None:
        raise ValueError('the roofs have no coordinate system; set frame.crs first')
    if heights_m is None and 'height_m' not in roofs:
        raise ValueError(f'no heights: expected heights_m, or a column height_m among {list(roofs.columns)}')
    given = np.asarray(roofs['height_m'] if heights_m is None else heights_m, dtype=float)
    if given.shape != (len(roofs),):
        raise ValueError(f'heights_m of shape {given.shape}: expected one for each of {len(roofs)} roofs')
    moved = np.isfinite(given) & (given >= 0)
    result = roofs.copy()
    result['height_m'], result['moved'] = np.where(moved, given, np.nan), moved
    polygons = roofs.geometry.to_numpy().copy()
    if moved.any():
        centres = shapely.get_coordinates(shapely.centroid(polygons[moved]))
        shifts = -view.offset_m(given[moved]) / metres_per_unit(roofs.crs, centres)
        points, owner = shapely.get_coordinates(polygons[moved], return_index=True)
        polygons[moved] = shapely.set_coordinates(polygons[moved].copy(), points + shifts[owner])
    result.geometry = polygons
    return result
