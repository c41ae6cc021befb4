"""What lies between the buildings: streets, pavements, yards, car parks and grass."""

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
import shapely

from .city import City, Walls, walls_of
from .frame import Frame
from .points import Points
from .spans import polygon_spans
from .styles import Style, palette
from .textures import anchor, clouds

_GAP_M, _PAVEMENT_M, _FAR_M = 5.0, 3.0, 24.0
_WIDE_M, _LOW_M, _SMOOTH_M = 13.0, 9.0, 1.5
_MARGIN_M = 2 * _GAP_M + _FAR_M + 6


class Ground(IntEnum):
    """Kinds of ground."""

    ASPHALT = 0
    PAVEMENT = 1
    CONCRETE = 2
    BITUMEN = 3
    GRASS = 4
    PLAZA = 5
    CAR_PARK = 6
    DRY_GRASS = 7


_PAINT = np.array([[228], [226], [218]], dtype=np.float32)
_ROUGHNESS = np.array([0.045, 0.05, 0.08, 0.07, 0.13, 0.05, 0.05, 0.12], dtype=np.float32)
_PATCHES = np.array([0.05, 0.05, 0.10, 0.10, 0.10, 0.05, 0.06, 0.10], dtype=np.float32)


@dataclass(frozen=True)
class Plan:
    """The ground of a region around a tile.

    Attributes:
        frame: Its pixels.
        kerb_m: (H, W) float32 Distance from the kerb, positive on the carriageway, to ±24 m.
        green: (H, W) float32 More than 0.25 where plants grow.
        car_park: (H, W) bool Where cars park off the street.
        widest_m: What is farther from the kerb than this is no street but a square or a car park.
    """

    frame: Frame
    kerb_m: np.ndarray
    green: np.ndarray
    car_park: np.ndarray
    widest_m: float

    @property
    def invented(self) -> bool:
        """Whether the streets are invented."""
        return bool(np.isfinite(self.widest_m))


def plan_ground(city: City, frame: Frame) -> Plan:
    """Lays out the ground from the city's roads and vegetation, or invents them.

    Without roads, buildings less than 10 m apart make up a block; 3 m of pavement run around it, and what lies beyond
    is street. Nothing depends on what is more than a few dozen metres away, nor on where the tile begins.

    Args:
        city: The city.
        frame: Pixels of the tile.

    Returns:
        The plan of the tile and its surroundings.
    """
    west, south, east, north = frame.bounds_m
    around = west - _MARGIN_M, south - _MARGIN_M, east + _MARGIN_M, north + _MARGIN_M
    grid = frame.around(around, max(0.5, frame.gsd_m, min(2 * frame.gsd_m, 1.0)))
    standing = city.index.query(shapely.box(*around))
    is_low = city.drawn_heights_m[standing] < _LOW_M
    low, tall = _mask(city.walls, standing[is_low], grid), _mask(city.walls, standing[~is_low], grid)
    if len(city.roads):
        road = polygon_mask(city.roads[city.road_index.query(shapely.box(*around))], grid)
        kerb = _distance(road, grid) - _distance(~road, grid)
    else:
        open_ground = _distance(~(low | tall), grid) > _GAP_M
        street = _distance(~open_ground, grid) <= _GAP_M
        kerb = _distance(street, grid) - _distance(~street, grid) - np.float32(_PAVEMENT_M)
        kerb = cv2.GaussianBlur(kerb, (0, 0), _SMOOTH_M / grid.gsd_m)
    x, y = grid.places(anchor(frame.west_m, frame.north_m))
    green = clouds(np.broadcast_to(x, grid.size_px), np.broadcast_to(y, grid.size_px), 4.0) - np.float32(0.9)
    green += np.float32(2.1) * _suburban(low, tall, grid)
    if len(city.vegetation):
        green[polygon_mask(city.vegetation[city.vegetation_index.query(shapely.box(*around))], grid)] += 4
    car_park = polygon_mask(city.car_parks[city.car_park_index.query(shapely.box(*around))], grid)
    if len(city.roads):
        return Plan(grid, kerb, green, car_park, np.inf)
    green[kerb > _WIDE_M] += np.float32(1.1)
    return Plan(grid, kerb, green, car_park, _WIDE_M)


def _suburban(low: np.ndarray, tall: np.ndarray, grid: Frame) -> np.ndarray:
    """Share of the buildings within 20 m of each pixel that are low."""
    reach = 2 * round(20 / grid.gsd_m) + 1
    low, tall = (cv2.boxFilter(mask.astype(np.float32), -1, (reach, reach)) for mask in (low, tall))
    return low / (low + 3 * tall + np.float32(0.02))


def polygon_mask(polygons: np.ndarray, frame: Frame) -> np.ndarray:
    """Pixels whose centres lie in any of the polygons.

    Args:
        polygons: (N,) shapely Polygons, metres.
        frame: The pixels.

    Returns:
        (H, W) bool.
    """
    parts = shapely.get_parts(shapely.clip_by_rect(polygons, *shapely.box(*frame.bounds_m).buffer(1).bounds))
    parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return _mask(walls_of(parts), np.arange(len(parts)), frame)


def _mask(walls: Walls, chosen: np.ndarray, frame: Frame) -> np.ndarray:
    """Pixels inside some of the polygons."""
    edges, owners = walls.of(chosen)
    starts, ends = frame.to_px(walls.starts_m[edges]), frame.to_px(walls.ends_m[edges])
    spans = polygon_spans(starts, ends, owners, frame.size_px)
    mask = np.zeros(frame.size_px, dtype=bool)
    mask.ravel()[spans.pixels(frame.size_px[1])] = True
    return mask


def _distance(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """Metres from each pixel of a mask to the nearest outside it, at most `_FAR_M`; 0 outside."""
    if mask.all():
        return np.full(mask.shape, _FAR_M, dtype=np.float32)
    pixels = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.minimum(pixels * np.float32(frame.gsd_m), np.float32(_FAR_M))


def resample(values: np.ndarray, source: Frame, target: Frame) -> np.ndarray:
    """Bilinear values of one grid at the pixels of another inside it.

    Args:
        values: (H, W) float32 on the source grid.
        source: That grid.
        target: The other one.

    Returns:
        float32 on the target grid.
    """
    scale = target.gsd_m / source.gsd_m
    column, row = source.to_px(np.array([target.west_m, target.north_m])) + 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, column], [0, scale, row]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, target.size_px[::-1], flags=flags)


def paint_ground(plan: Plan, frame: Frame, pixels: np.ndarray, points: Points, look: Style) -> np.ndarray:
    """Colours of the ground.

    Args:
        plan: The plan.
        frame: Pixels of the tile.
        pixels: (K,) Flat indices of those to paint.
        points: The points that they show.
        look: The style of the region.

    Returns:
        (3, K) float32, 255 is white.
    """
    kerb = resample(plan.kerb_m, plan.frame, frame).ravel()[pixels]
    green = resample(plan.green, plan.frame, frame).ravel()[pixels]
    dirt = points.dirt
    wide = kerb > plan.widest_m
    kinds = np.full(len(pixels), Ground.ASPHALT, dtype=np.uint8)
    kinds[wide] = np.where(green[wide] > -0.35, Ground.PLAZA, Ground.CAR_PARK)
    kinds[kerb <= 0] = Ground.PAVEMENT
    yard = kerb < -_PAVEMENT_M
    kinds[yard] = np.where(dirt[yard] > 0.1, Ground.CONCRETE, Ground.BITUMEN)
    grass = (green > 0.25) & (yard | wide)
    kinds[grass] = np.where(dirt[grass] > 0.75, Ground.DRY_GRASS, Ground.GRASS)
    kinds[resample(plan.car_park.astype(np.float32), plan.frame, frame).ravel()[pixels] > 0.5] = Ground.CAR_PARK
    materials = np.ascontiguousarray(palette(look.ground))
    colors = np.take(materials, kinds, axis=1) * (1 + _ROUGHNESS[kinds] * points.rough + _PATCHES[kinds] * dirt)
    painted = ((Ground.ASPHALT, _street_lines), (Ground.CAR_PARK, _bay_lines)) if look.markings else ()
    for kind, lines in painted:
        marked = np.flatnonzero(kinds == kind)
        share = lines(plan, frame, pixels[marked], kerb[marked], points.x_m[marked], points.y_m[marked])
        drawn = np.flatnonzero(share > 0.02)
        share, marked = share[drawn] * (0.75 + 0.1 * dirt[marked[drawn]]), marked[drawn]
        colors[:, marked] += share * (_PAINT - colors[:, marked])
    if look.markings:
        colors[:, np.abs(kerb) < max(0.15, frame.gsd_m / 2)] *= np.float32(1.12)
    return colors


def _coverage(distance_m: np.ndarray, width_m: float, gsd_m: float) -> np.ndarray:
    """Share of a pixel covered by a line of some width whose middle is so far away."""
    reach = max(width_m, gsd_m) / 2 + gsd_m / 2
    return np.clip((np.float32(reach) - np.abs(distance_m)) / np.float32(gsd_m), 0, min(width_m / gsd_m, 1.0))


def _street_lines(
    plan: Plan, frame: Frame, pixels: np.ndarray, kerb: np.ndarray, x_m: np.ndarray, y_m: np.ndarray
) -> np.ndarray:
    """Dashes half way between the kerbs, and on wide streets a line at the kerb: share of each pixel."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(2 / plan.frame.gsd_m) + 1,) * 2)
    smooth = plan.kerb_m if plan.invented else cv2.GaussianBlur(plan.kerb_m, (0, 0), _SMOOTH_M / plan.frame.gsd_m)
    ridge = smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disc)
    peak = cv2.dilate(ridge, disc)
    in_street = (peak > 0.4) & (plan.kerb_m > 2) & (plan.kerb_m < plan.widest_m)
    ridge = np.where(in_street, ridge / np.maximum(peak, np.float32(0.4)), np.float32(0))
    middle = np.clip(resample(ridge, plan.frame, frame).ravel()[pixels] * 14 - 13, 0, 1)
    dashed = np.mod(x_m + np.float32(0.5) * y_m, 8) < 4
    reach = 2 * round(4 / plan.frame.gsd_m) + 1
    wide = cv2.dilate((plan.kerb_m > 5.5).astype(np.float32), np.ones((reach, reach)))
    edge = _coverage(kerb - 2.5, 0.14, frame.gsd_m) * resample(wide, plan.frame, frame).ravel()[pixels]
    return np.maximum(edge * 0.8, middle * dashed * min(0.2 / frame.gsd_m, 1.0))


def _bay_lines(
    plan: Plan, frame: Frame, pixels: np.ndarray, kerb: np.ndarray, x_m: np.ndarray, y_m: np.ndarray
) -> np.ndarray:
    """Lines of parking bays, 2.5 m by 5 m, with lanes between the rows: share of each pixel."""
    across, along = np.mod(x_m, np.float32(2.5)) - np.float32(1.25), np.mod(y_m, np.float32(16))
    lines = _coverage(across, 0.12, frame.gsd_m) * (along < 10)
    return np.minimum(lines + _coverage(along - 5, 0.12, frame.gsd_m), 1)
