"""Right angles for building outlines, by the library `buildingregulariser`."""

import warnings

import numpy as np
import shapely

from projects.building_extraction.vector_files import polygon_frame

try:
    from buildingregulariser import regularize_geodataframe
except ImportError as error:
    raise ImportError(f"{error}; right angles need the extra 'geo': pip install -e '.[geo]'") from error

MIN_IOU = 0.75  # a regular outline that agrees less with what was traced is not that building's


def regularise(polygons: np.ndarray, tolerance_m: float, *, min_iou: float = MIN_IOU) -> np.ndarray:
    """Turn edges parallel, perpendicular or at 45 degrees to each building's main direction; discs become circles.

    A building whose regular outline is not one valid polygon, loses a hole, or agrees with its outline by an
    intersection over union below `min_iou`, keeps its outline.

    Args:
        polygons: (N,) Valid Polygons in metres.
        tolerance_m: Edges shorter than about this are noise, and parallel edges closer than twice this become one.
        min_iou: 0 to 1.

    Returns:
        (N,) Valid Polygons.
    """
    if not len(polygons):
        return polygons
    frame = polygon_frame(polygons, {'number': np.arange(len(polygons))}, None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of single polygons that it leaves as they are
        made = regularize_geodataframe(
            frame, parallel_threshold=2 * tolerance_m, simplify_tolerance=tolerance_m, num_cores=1
        )
    numbers, regular = made['number'].to_numpy(), made.geometry.to_numpy()
    original = polygons[numbers]
    usable = (np.bincount(numbers, minlength=len(polygons)) == 1)[numbers]
    usable &= (shapely.get_type_id(regular) == shapely.GeometryType.POLYGON) & shapely.is_valid(regular)
    usable &= shapely.get_num_interior_rings(regular) == shapely.get_num_interior_rings(original)
    numbers, regular, original = numbers[usable], regular[usable], original[usable]
    shared = shapely.area(shapely.intersection(regular, original))
    agreed = shared / (shapely.area(regular) + shapely.area(original) - shared) >= min_iou
    result = polygons.copy()
    result[numbers[agreed]] = regular[agreed]
    return result
