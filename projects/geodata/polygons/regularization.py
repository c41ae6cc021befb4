"""Right angles for building outlines, by the library `buildingregulariser`."""

import os
import warnings
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log

from ..vector_files import geopandas

try:
    from buildingregulariser import regularize_geodataframe
except ImportError as error:
    raise ImportError(f"{error}; regularised outlines need the extra 'geo': pip install -e '.[geo]'") from error

MIN_IOU = 0.8  # a regularised outline that agrees less with the one before is not used
POLYGONS_PER_PROCESS = 500  # a few seconds of work, below which another process does not pay


def regularise(polygons: geopandas.GeoDataFrame, ground_crs: Any, tolerance_m: float) -> geopandas.GeoDataFrame:
    """Turn edges parallel, perpendicular or diagonal to the main direction of each polygon; near-circles become round.

    A polygon that this would change to an intersection over union below `MIN_IOU`, or break into pieces, keeps its
    outline; the log says how many. Polygons are treated one by one: neighbours may come to overlap slightly.

    Args:
        polygons: Valid Polygons with any columns.
        ground_crs: Coordinate system in metres, true in angles and lengths where the polygons lie.
        tolerance_m: Details smaller than that are not kept.

    Returns:
        The same rows in the same order with other outlines.

    Raises:
        ValueError: The tolerance is no length.
    """
    if not 0 < tolerance_m < np.inf:
        raise ValueError(f'tolerance_m = {tolerance_m}: expected metres, more than 0')
    before = polygons.geometry.to_crs(ground_crs).to_numpy()
    numbered = geopandas.GeoDataFrame({'number': np.arange(len(before))}, geometry=before, crs=ground_crs)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # outlines that it could not regularise: counted below
        pieces = regularize_geodataframe(
            numbered,
            parallel_threshold=tolerance_m,
            simplify_tolerance=tolerance_m,
            num_cores=max(min(len(before) // POLYGONS_PER_PROCESS, os.cpu_count() or 1), 1),
        )
    sole = pieces[~pieces['number'].duplicated(keep=False) & (pieces.geom_type == 'Polygon')]
    numbers, regular = sole['number'].to_numpy(), sole.geometry
    shared = shapely.area(shapely.intersection(before[numbers], regular.to_numpy()))
    iou = shared / (shapely.area(before[numbers]) + regular.area.to_numpy() - shared)
    mapped = regular.to_crs(polygons.crs).to_numpy()
    good = shapely.is_valid(mapped) & (iou >= MIN_IOU)
    if good.sum() < len(before):
        kept = f'{len(before) - good.sum()} of {len(before)}'
        print_log(f'{kept} outlines could not be made regular and stay as they are', logger='current')
    outlines = polygons.geometry.to_numpy().copy()
    outlines[numbers[good]] = mapped[good]
    return polygons.set_geometry(geopandas.GeoSeries(outlines, index=polygons.index, crs=polygons.crs))
