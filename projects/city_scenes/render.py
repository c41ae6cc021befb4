"""Tiles of a city as an aerial camera sees it off nadir, with exact labels."""

from dataclasses import dataclass

import cv2
import numpy as np

from .city import City
from .facades import paint_facades
from .frame import Frame
from .ground import paint_ground, plan_ground
from .ground_objects import cars, trees
from .labels import BuildingRecord, label
from .points import seen_points
from .roofs import paint_roofs, rims
from .styles import Style
from .sunlight import Sun, lit
from .surfaces import GROUND, Seen, see
from .view import View

_BRIGHTEST = np.float32(1.3)


@dataclass(frozen=True)
class RenderedTile:
    """A picture and everything that is known of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        roof_ids, facade_ids: (H, W) int32 Building whose roof or facade is seen at each pixel, from 1; 0 is none. The
            two never overlap; together they are the visible building.
        footprint_ids: (H, W) int32 Building that stands at each pixel, hidden or not; the same numbers.
        height_map_m: (H, W) float32 Height above ground of the surface seen at each pixel.
        records: The buildings that any of the maps shows, in the order of their numbers.
    """

    image: np.ndarray
    roof_ids: np.ndarray
    facade_ids: np.ndarray
    footprint_ids: np.ndarray
    height_map_m: np.ndarray
    records: list[BuildingRecord]


def render_tile(
    city: City,
    west_north_m: tuple[float, float],
    size_px: tuple[int, int],
    view: View,
    sun: Sun,
    seed: int,
    look: Style | None = None,
) -> RenderedTile:
    """Renders a tile.

    Geometry, shadows and textures depend on the place in the world alone, so that neighbouring tiles fit together; the
    seed draws the light of the day and the noise.

    Args:
        city: The city.
        west_north_m: The tile's upper left corner.
        size_px: Its height and width.
        view: Ground sample distance and angles.
        sun: Where the sun stands.
        seed: Draws what differs from flight to flight.
        look: Materials, light and camera; those of `plain` if None.

    Returns:
        Image, maps and table.
    """
    look = look or Style()
    frame = Frame(float(west_north_m[0]), float(west_north_m[1]), float(view.gsd_m), size_px)
    seen = see(city, frame, view.offset_m(1.0))
    labels = label(city, frame, view, seen)
    radiance = _shade(city, frame, seen, view, sun, look)
    image = look.camera.expose(radiance, seed)
    return RenderedTile(
        image, labels.roof_ids, labels.facade_ids, labels.footprint_ids, seen.height_m, labels.records
    )  # fmt: skip


def _shade(city: City, frame: Frame, seen: Seen, view: View, sun: Sun, look: Style) -> np.ndarray:
    """Light that each seen point sends to the camera, (3, H, W) float32, 255 is white."""
    offset = view.offset_m(1.0)
    points = seen_points(frame, seen, offset)
    surface, walls = seen.surface.ravel(), len(city.wall_prisms)
    colors = np.zeros((3, surface.size), dtype=np.float32)
    direct = np.ones(surface.size, dtype=np.float32)

    plan = plan_ground(city, frame)
    ground = np.flatnonzero(surface == GROUND)
    _put(colors, ground, paint_ground(plan, frame, ground, points.at(ground), look))
    _put(colors, *cars(plan, frame, sun.shadow_m))
    crowns, leaves, tree_shadows = trees(plan, frame, sun.shadow_m)
    leaves = leaves * (1 + np.float32(0.22) * points.rough.take(crowns))
    _put(colors, crowns, leaves)

    facades = np.flatnonzero((surface != GROUND) & (surface < walls))
    if len(facades):
        paint, direct[facades] = paint_facades(city, surface[facades], points.at(facades), view, sun)
        _put(colors, facades, paint)
    roofs = np.flatnonzero(surface >= walls)
    if len(roofs):
        places = np.zeros(len(city.buildings.polygons), dtype=np.int64)
        places[seen.prisms] = np.arange(len(seen.prisms))
        which = places.take(surface.take(roofs) - walls)
        paint, direct[roofs] = paint_roofs(city, seen.prisms, which, points.at(roofs), view, sun, look)
        _put(colors, roofs, paint)
        _edge_roofs(colors, rims(city, frame, seen.prisms, offset), seen.surface - walls + 1, sun, frame.gsd_m)

    if look.canopy_m:
        covered = seen.height_m.ravel()[crowns] < look.canopy_m
        _put(colors, crowns[covered], leaves[:, covered])

    sunny = lit(city, frame, seen, points, sun).ravel().astype(np.float32)
    sunny[tree_shadows[surface[tree_shadows] == GROUND]] *= np.float32(0.15)
    light = cv2.GaussianBlur(sunny.reshape(frame.size_px), (0, 0), 0.6).ravel() * np.minimum(direct, _BRIGHTEST)
    sky_light, sun_light = (np.asarray(color, np.float32) for color in (look.sky, look.sunlight))
    for color, sky, sunlight in zip(colors, sky_light, sun_light, strict=True):
        color *= sky + sunlight * light
    return colors.reshape(3, *frame.size_px)


def _put(colors: np.ndarray, pixels: np.ndarray, paint: np.ndarray) -> None:
    """Sets some pixels; channel by channel is faster than all at once."""
    for channel, values in zip(colors, paint, strict=True):
        channel[pixels] = values


def _edge_roofs(colors: np.ndarray, rim: np.ndarray, roof: np.ndarray, sun: Sun, gsd_m: float) -> None:
    """Brightens parapets, and darkens the strip of the roof on which they throw their shadow."""
    on_rim = (rim == roof) & (roof > 0)
    right, down = np.clip(np.round(sun.shadow_m * 0.9 / gsd_m * (1, -1)), -8, 8).astype(int)
    in_shadow = (np.roll(rim, (down, right), axis=(0, 1)) == roof) & (roof > 0) & ~on_rim
    colors[:, np.flatnonzero(on_rim)] *= np.float32(1.10)
    colors[:, np.flatnonzero(in_shadow)] *= np.float32(0.66)
