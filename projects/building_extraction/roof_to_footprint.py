"""From roofs, as an off-nadir image shows them, to the footprints where buildings stand."""

import numpy as np
import shapely
from mmengine.logging import print_log

from projects.city_scenes.view import View
from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.polygonal import translate
from projects.geodata.vector_files import geopandas


def move_roofs_to_footprints(
    roofs: geopandas.GeoDataFrame,
    off_nadir_deg: float,
    azimuth_deg: float,
    heights_m: np.ndarray | None = None,
) -> geopandas.GeoDataFrame:
    """Move each roof back by h · tan(off-nadir angle): footprint = roof - `View.offset_m`.

    Args:
        roofs: Polygons.
        off_nadir_deg: Angle between the line of sight and the vertical.
        azimuth_deg: Direction in which roofs lean in the image, clockwise from the map's north.
        heights_m: (N,) Metres above ground, NaN is unknown; None: the column `height_m`.

    Returns:
        The polygons with their columns, `height_m`, and `moved`: false where the height is unknown and the polygon is
        still the roof, where it was.

    Raises:
        ValueError: No heights are given, one is negative or infinite, or the angles are none.
    """
    if heights_m is None:
        if 'height_m' not in roofs:
            raise ValueError(f'no heights: expected heights_m or a column height_m; columns are {list(roofs.columns)}')
        heights_m = roofs['height_m'].to_numpy()
    heights_m = np.asarray(heights_m, dtype=float)
    if heights_m.shape != (len(roofs),) or (heights_m < 0).any() or np.isinf(heights_m).any():
        raise ValueError(
            f'heights_m of shape {heights_m.shape}, from {np.nanmin(heights_m, initial=np.inf):g} to '
            f'{np.nanmax(heights_m, initial=-np.inf):g}: expected one for each of {len(roofs)} polygons, metres of at '
            'least 0, NaN for unknown'
        )
    if not np.isfinite(azimuth_deg):
        raise ValueError(f'azimuth_deg = {azimuth_deg}: expected degrees clockwise from north')
    known = np.isfinite(heights_m)
    offsets_m = View(1.0, off_nadir_deg, azimuth_deg).offset_m(np.where(known, heights_m, 0))
    if not known.all():
        print_log(f'{(~known).sum()} of {len(known)} roofs of unknown height stay where they are', logger='current')
    footprints = roofs.geometry.to_numpy()
    if len(footprints):
        scales = meters_per_unit(roofs.crs, shapely.get_coordinates(shapely.centroid(footprints)))
        footprints = translate(footprints, -offsets_m / scales)
    series = geopandas.GeoSeries(footprints, index=roofs.index, crs=roofs.crs)
    return roofs.assign(height_m=heights_m, moved=known).set_geometry(series)
