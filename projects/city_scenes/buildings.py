"""Buildings as upright prisms on flat ground."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Buildings:
    """The buildings of an area, each one prism or several (tiers) that may overlap: the highest is seen.

    Attributes:
        polygons: (N,) shapely Polygons, holes allowed; metres east and north.
        heights_m: (N,) Height of the top of each prism above ground; each reaches down to the ground. NaN is unknown.
        structures: (N,) Number of the building that each prism belongs to, from 0 without gaps.
        crs: Coordinate system of the polygons, such as 'EPSG:28355'; None for an invented place.
    """

    polygons: np.ndarray
    heights_m: np.ndarray
    structures: np.ndarray
    crs: str | None = None
