"""Which surface of which prism a parallel projection shows at each pixel: exact hidden-surface removal."""

from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from .city import City
from .frame import Frame
from .spans import parallelogram_spans, polygon_spans

GROUND = -1
"""Surface number of the ground."""

_STEPS_PER_M = 1000
_NUMBER_BITS = 32


@dataclass(frozen=True)
class Seen:
    """What is seen at each pixel.

    Attributes:
        height_m: (H, W) float32 Height of the seen point above ground, to a millimetre.
        surface: (H, W) int32 `GROUND`, or the wall's number e, or, for a roof, the number of all walls + that of the
            prism: numbers of the whole city, comparable between projections and tiles.
        prisms: (P,) Prisms that were drawn.
    """

    height_m: np.ndarray
    surface: np.ndarray
    prisms: np.ndarray

    def roof_pixels(self, city: City) -> np.ndarray:
        """(N,) How many pixels show the roof of each of a city's prisms."""
        walls = len(city.wall_prisms)
        return np.bincount(self.surface[self.surface >= walls] - walls, minlength=len(city.buildings.polygons))


def prisms_in_view(city: City, bounds_m: tuple[float, float, float, float], offset_m: np.ndarray) -> np.ndarray:
    """Prisms of which some part may be displaced into a region.

    Args:
        city: The prisms.
        bounds_m: West, south, east and north of the region.
        offset_m: (2,) Metres east and north by which a point is displaced per metre of height.

    Returns:
        (P,) Ascending indices.
    """
    heights = city.drawn_heights_m
    if not len(heights):
        return np.empty(0, dtype=np.int64)
    region, farthest = np.array(bounds_m), heights.max() * offset_m
    around = region - np.concatenate([np.maximum(farthest, 0), np.minimum(farthest, 0)])
    near = np.sort(city.index.query(shapely.box(*around)))
    moved = heights[near, None] * offset_m
    lowest = city.bounds_m[near, :2] + np.minimum(moved, 0)
    highest = city.bounds_m[near, 2:] + np.maximum(moved, 0)
    return near[((lowest <= region[2:]) & (highest >= region[:2])).all(axis=1)]


def see(city: City, frame: Frame, offset_m: np.ndarray) -> Seen:
    """Projects the prisms onto the ground along parallel rays and keeps, at each pixel's centre, the highest point.

    A ray that passes the ground at p meets height h at p - h · offset; it comes from above, so that of all points of
    roofs and walls on it the highest is seen. A wall is the parallelogram that its edge on the ground sweeps along the
    offset, height growing in proportion; only walls that face the rays are drawn, since a prism's roof hides the rest.

    Args:
        city: The prisms.
        frame: Pixels on the ground.
        offset_m: (2,) Metres east and north by which a point is displaced per metre of height.

    Returns:
        The highest surface at each pixel.
    """
    prisms = prisms_in_view(city, frame.bounds_m, offset_m)
    per_m = offset_m * (1 / frame.gsd_m, -1 / frame.gsd_m)
    turned = abs(per_m[1]) > abs(per_m[0])
    axes = [1, 0] if turned else [0, 1]
    height, width = size_px = frame.size_px[::-1] if turned else frame.size_px
    edges, owners = city.walls.of(prisms)
    tops = city.drawn_heights_m[prisms][owners]
    starts, ends = frame.to_px(city.walls.starts_m[edges]), frame.to_px(city.walls.ends_m[edges])
    moved = tops[:, None] * per_m
    spans = polygon_spans((starts + moved)[:, axes], (ends + moved)[:, axes], owners, size_px)
    nearest = np.zeros(height * width, dtype=np.int64)
    keys = _keys(city.drawn_heights_m[prisms], len(city.walls.starts_m) + prisms)
    np.maximum.at(nearest, spans.pixels(width), spans.each(keys[spans.shapes]))

    base = np.minimum(city.wall_bases_m[edges], tops)
    sides, sweeps = ends - starts, (tops - base)[:, None] * per_m
    facing = np.flatnonzero(sides[:, 0] * sweeps[:, 1] - sides[:, 1] * sweeps[:, 0] < -1e-9)
    if len(facing):
        corners = (starts + base[:, None] * per_m)[facing][:, axes]
        spans, shares, growth = parallelogram_spans(corners, sides[facing][:, axes], sweeps[facing][:, axes], size_px)
        rise = (tops - base)[facing][spans.shapes]
        before = np.cumsum(spans.lengths) - spans.lengths
        slope = rise * growth
        heights = spans.each(base[facing][spans.shapes] + rise * shares - slope * before)
        heights += spans.each(slope) * np.arange(len(heights))
        keys = _keys(np.maximum(heights, 0), spans.each(edges[facing][spans.shapes]))
        np.maximum.at(nearest, spans.pixels(width), keys)
    height_m: np.ndarray = ((nearest >> _NUMBER_BITS) / _STEPS_PER_M).astype(np.float32).reshape(size_px)
    surface: np.ndarray = (nearest.astype(np.int32) - 1).reshape(size_px)
    if turned:
        height_m, surface = np.asarray(cv2.transpose(height_m)), np.asarray(cv2.transpose(surface))
    return Seen(height_m, surface, prisms)


def _keys(heights_m: np.ndarray, surfaces: np.ndarray) -> np.ndarray:
    """One number for each point that orders by height, then by surface; the ground's is 0."""
    return (np.rint(heights_m * _STEPS_PER_M).astype(np.int64) << _NUMBER_BITS) | (surfaces + 1)
