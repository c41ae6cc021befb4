"""Sunlight and cast shadows."""

from dataclasses import dataclass

import numpy as np

from .city import City
from .frame import Frame
from .points import Points
from .surfaces import GROUND, Seen, see


@dataclass(frozen=True)
class Sun:
    """Where the sun stands.

    Attributes:
        elevation_deg: Above the horizon, more than 0 to 90.
        azimuth_deg: Direction towards the sun, clockwise from north.
    """

    elevation_deg: float = 45.0
    azimuth_deg: float = 45.0

    def __post_init__(self) -> None:
        if not 0 < self.elevation_deg <= 90:
            raise ValueError(f'elevation_deg = {self.elevation_deg}: expected more than 0 to 90 degrees.')

    @property
    def direction(self) -> np.ndarray:
        """(3,) Unit vector towards the sun: east, north, up."""
        elevation, azimuth = np.radians((self.elevation_deg, self.azimuth_deg))
        return np.array([np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])

    @property
    def shadow_m(self) -> np.ndarray:
        """(2,) Where the shadow of a point one metre above ground falls, metres east and north of it."""
        return -self.direction[:2] / self.direction[2]


def lit(city: City, frame: Frame, seen: Seen, points: Points, sun: Sun) -> np.ndarray:
    """Whether the sun reaches each seen point: whether seen from the sun, too, it is the highest on its ray.

    Sunlight is a parallel projection onto the ground like the view: the point at (x, y) and height h lies on the ray
    that meets the ground at (x, y) + h · shadow, and is lit if no prism on that ray is higher.

    Args:
        city: The prisms.
        frame: Pixels of the view.
        seen: What the view shows.
        points: Where the seen points are, maps of the tile's size.
        sun: The sun.

    Returns:
        (H, W) bool.
    """
    shadow = sun.shadow_m.astype(np.float32)
    east, north = points.x_m + seen.height_m * shadow[0], points.y_m + seen.height_m * shadow[1]
    west, north_end = points.anchor_m[0] + float(east.min()), points.anchor_m[1] + float(north.max())
    east_end, south = points.anchor_m[0] + float(east.max()), points.anchor_m[1] + float(north.min())
    region = frame.around((west, south, east_end + 1e-3, north_end + 1e-3), 1.5 * frame.gsd_m)
    from_sun = see(city, region, sun.shadow_m)
    per_m = np.float32(1 / region.gsd_m)
    columns = ((east - np.float32(region.west_m - points.anchor_m[0])) * per_m).astype(np.int32)
    rows = ((np.float32(region.north_m - points.anchor_m[1]) - north) * per_m).astype(np.int32)
    height, width = region.size_px
    places = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    tolerance_m = np.float32(0.2 + 0.7 * region.gsd_m * max(1.0, 1.0 / max(np.hypot(*shadow), 1e-3)))
    same = (from_sun.surface.ravel()[places] == seen.surface) & (seen.surface != GROUND)
    return same | (from_sun.height_m.ravel()[places] <= seen.height_m + tolerance_m)
