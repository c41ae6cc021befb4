"""Looks of facades: floors and bays of windows, curtain walls, blank walls."""

import numpy as np

from .city import City
from .points import Points
from .sunlight import Sun
from .textures import uniform
from .view import View

_WALLS = np.array(
    [(176, 170, 160), (150, 146, 140), (124, 121, 118), (196, 192, 184), (142, 118, 100),
     (128, 92, 78), (110, 112, 116), (166, 158, 140), (98, 98, 100), (210, 208, 204)], dtype=np.float32,
).T  # fmt: skip
_GLASS = np.array([(58, 68, 80), (46, 52, 58), (70, 84, 94), (52, 66, 70), (78, 82, 86)], dtype=np.float32).T


def paint_facades(city: City, walls: np.ndarray, points: Points, view: View, sun: Sun) -> tuple[np.ndarray, np.ndarray]:
    """Colours of facade pixels.

    Args:
        city: The city.
        walls: (K,) Wall of each facade pixel.
        points: The points that the pixels show.
        view: The view.
        sun: The sun.

    Returns:
        (3, K) float32 colours, (K,) float32 how much sunlight falls on the wall, of what falls on the ground; 0 where
        the wall turns away.
    """
    rise_m = view.gsd_m / max(float(np.tan(np.radians(view.off_nadir_deg))), 1e-6)
    place = np.zeros(len(city.wall_prisms), dtype=np.int32)
    place[walls] = 1
    used = np.flatnonzero(place)
    place[used] = np.arange(len(used))
    which = place[walls]
    starts = city.walls.starts_m[used]
    sides = city.walls.ends_m[used] - starts
    sides /= np.maximum(np.linalg.norm(sides, axis=1), 1e-9)[:, None]
    structures = city.buildings.structures[city.wall_prisms[used]]
    low = city.drawn_heights_m[city.wall_prisms[used]] < 12
    kind = uniform(51, structures) * np.where(low, np.float32(0.5), np.float32(1))
    glazed, blank = kind > 0.62, (uniform(52, used) < 0.12) & (kind < 0.5)
    bay, floor = 1.5 + 2.9 * uniform(53, structures), 3.0 + 0.7 * uniform(54, structures)
    wide = np.where(glazed, 0.90, 0.40 + 0.35 * uniform(55, structures))
    tall = np.where(glazed, 0.80, np.where(kind < 0.15, 0.42, 0.45 + 0.25 * uniform(56, structures)))
    wide = np.where((kind > 0.35) & (kind < 0.5), 1.0, wide)
    wall_color = _pick(_WALLS, uniform(57, structures)) * (0.9 + 0.2 * uniform(58, structures))
    glass_color = _pick(_GLASS, uniform(59, structures)) * (0.8 + 0.5 * uniform(60, structures))
    table = np.column_stack([starts - points.anchor_m, sides, bay, floor, wide, tall, blank])
    start_x, start_y, side_x, side_y, bay, floor, wide, tall, blank = np.take(
        np.ascontiguousarray(table.T, dtype=np.float32), which, axis=1
    )
    bays, floors = ((points.x_m - start_x) * side_x + (points.y_m - start_y) * side_y) / bay, points.height_m / floor
    column, row = np.floor(bays), np.floor(floors)
    across = _window(bays - column, wide, np.float32(view.gsd_m) / bay)
    upward = _window(floors - row, tall, np.float32(rise_m) / floor)
    glass = across * upward * (1 - blank) * (points.height_m > 0.3)
    sparkle = uniform(61, column, row, structures[which])
    detail = np.float32(np.clip(1.3 - 0.35 * rise_m, 0.25, 1))
    pane = 1 + detail * (1.1 * sparkle**3 - 0.25)
    shade = 0.80 + 0.20 * np.minimum(points.height_m * np.float32(0.12), 1)
    colors = np.take(wall_color.astype(np.float32), which, axis=1) * ((1 - glass) * shade)
    colors += np.take(glass_color.astype(np.float32), which, axis=1) * (glass * pane * shade)
    outward = np.column_stack([sides[:, 1], -sides[:, 0]]) @ sun.shadow_m
    return colors, np.maximum(-outward, 0).astype(np.float32)[which]


def _pick(palette: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Colours, (3, N), that numbers from 0 to 1 choose."""
    return palette[:, (draw * palette.shape[1]).astype(int)]


def _window(position: np.ndarray, share: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """How much of a pixel is window, where a window fills the middle share of each cell; both in cells."""
    blur = np.maximum(pixel, 0.05)
    sharp = np.clip((share / 2 - np.abs(position - 0.5)) / blur + 0.5, 0, 1)
    mix = np.clip(1.6 - 1.2 * pixel, 0, 1)
    return share + mix * (sharp - share)
