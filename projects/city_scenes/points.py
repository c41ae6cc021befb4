"""The points of the scene that a tile shows, and the noise of their materials."""

from dataclasses import dataclass

import numpy as np

from .frame import Frame
from .surfaces import Seen
from .textures import anchor, clouds, grain, texel_m


@dataclass(frozen=True)
class Points:
    """Seen points, one for each pixel.

    Attributes:
        anchor_m: (2,) What `x_m` and `y_m` are counted from, metres east and north.
        x_m: float32 Metres east of the anchor.
        y_m: float32 Metres north of it.
        height_m: float32 Height above ground.
        dirt: float32 Smooth noise with patches of every size, mean 0 and deviation 1.
        rough: float32 Noise from pixel to pixel, the same.
    """

    anchor_m: np.ndarray
    x_m: np.ndarray
    y_m: np.ndarray
    height_m: np.ndarray
    dirt: np.ndarray
    rough: np.ndarray

    def at(self, pixels: np.ndarray) -> 'Points':
        """The points of some pixels, given by their flat indices."""
        maps = (self.x_m, self.y_m, self.height_m, self.dirt, self.rough)
        return Points(self.anchor_m, *(values.take(pixels) for values in maps))


def seen_points(frame: Frame, seen: Seen, offset_m: np.ndarray) -> Points:
    """Where the points are that a projection shows.

    Args:
        frame: Pixels of the view.
        seen: What it shows.
        offset_m: (2,) Metres east and north by which a point is displaced per metre of height.

    Returns:
        Maps of the tile's size.
    """
    anchor_m, offset_m = anchor(frame.west_m, frame.north_m), offset_m.astype(np.float32)
    east, north = frame.places(anchor_m)
    x_m, y_m = east - seen.height_m * offset_m[0], north - seen.height_m * offset_m[1]
    rough = grain(x_m, y_m + seen.height_m, texel_m(frame.gsd_m))
    return Points(anchor_m, x_m, y_m, seen.height_m, clouds(x_m, y_m, 0.5), rough)
