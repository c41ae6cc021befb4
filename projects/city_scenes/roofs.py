"""Looks of roofs: membrane, gravel, concrete and metal with equipment on them, pitched roofs of small houses."""

import cv2
import numpy as np

from .city import City
from .frame import Frame
from .points import Points
from .styles import Style, palette
from .sunlight import Sun
from .textures import uniform
from .view import View

_EQUIPMENT = np.array(
    [(205, 206, 206), (168, 170, 172), (120, 122, 125), (86, 88, 92), (188, 184, 176)], dtype=np.float32
).T
_CELL_M = 5.0
CORRUGATION_M = 0.9  # between the laps of sheets, which drones see; their waves of 8 cm they do not


def paint_roofs(
    city: City, roofs: np.ndarray, prisms: np.ndarray, points: Points, view: View, sun: Sun, look: Style
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of roof pixels.

    Args:
        city: The city.
        roofs: (P,) Prisms in view.
        prisms: (K,) For each roof pixel its prism, as a position in `roofs`.
        points: The points that the pixels show.
        view: The view.
        sun: The sun.
        look: The style of the region.

    Returns:
        (3, K) float32 colours, (K,) float32 how directly the sun shines on the pixel, a horizontal roof's being 1.
    """
    box = city.boxes[roofs]
    structures = city.buildings.structures[roofs]
    pitched = (4 * box[:, 4] * box[:, 5] < 420) & (city.drawn_heights_m[roofs] < 11) & (box[:, 5] > 2)
    pitched &= uniform(31, structures) < look.pitched_share
    metal = ~pitched & (uniform(38, roofs) < look.sheet_share)
    flat, sloping, sheet = (palette(colors) for colors in (look.flat_roofs, look.pitched_roofs, look.sheet_roofs))
    draw, shade = uniform(32, roofs), (0.9 + 0.2 * uniform(33, roofs))
    flat_color = flat[:, (draw * flat.shape[1]).astype(int)]
    color = shade * np.where(pitched, sloping[:, (draw * sloping.shape[1]).astype(int)], flat_color)
    color = np.where(metal, shade * sheet[:, (draw * sheet.shape[1]).astype(int)], color)
    least, most = look.busy
    busy = np.where(pitched | metal | (box[:, 5] < 4), 0, least + (most - least) * uniform(34, roofs))
    patchy = 0.03 + 0.10 * uniform(35, roofs) ** 2
    sheets = np.where(uniform(37, roofs) > 0.55, 3 + 5 * uniform(36, roofs), np.float32(0))
    table = np.column_stack([box[:, 2:], box[:, :2] - points.anchor_m, patchy, busy, pitched])
    axis_x, axis_y, half_length, half_width, center_x, center_y, patchy, busy, pitched = np.take(
        np.ascontiguousarray(table.T, dtype=np.float32), prisms, axis=1
    )
    east, north = points.x_m - center_x, points.y_m - center_y
    along, across = east * axis_x + north * axis_y, north * axis_x - east * axis_y
    colors = np.take(color.astype(np.float32), prisms, axis=1)
    colors *= 1 + patchy * points.dirt + np.float32(0.045) * points.rough
    direct = np.ones(len(prisms), dtype=np.float32)

    level = np.flatnonzero(busy)
    if len(level):
        _draw_seams(colors, level, along[level], across[level], sheets[prisms[level]], view.gsd_m)
        _equip(colors, level, prisms[level], along[level], across[level], roofs, table, sun, view)
    corrugated = np.flatnonzero(metal[prisms])
    if len(corrugated):
        wave = np.sin(along[corrugated] * np.float32(2 * np.pi / CORRUGATION_M))
        colors[:, corrugated] *= 1 + np.float32(0.09) * wave
    sloped = np.flatnonzero(pitched)
    if len(sloped):
        u, v = along[sloped], across[sloped]
        end = half_length[sloped] - np.abs(u) < half_width[sloped] - np.abs(v)
        side_x = np.where(end, np.sign(u) * axis_x[sloped], -np.sign(v) * axis_y[sloped])
        side_y = np.where(end, np.sign(u) * axis_y[sloped], np.sign(v) * axis_x[sloped])
        pitch = 0.5
        shadow = sun.shadow_m.astype(np.float32)
        facing = (1 - pitch * (side_x * shadow[0] + side_y * shadow[1])) / float(np.hypot(1, pitch))
        direct[sloped] = np.maximum(facing, 0)
        ridge = np.minimum(
            np.abs(np.where(end, 99, v)), np.abs(half_length[sloped] - np.abs(u) - half_width[sloped] + np.abs(v))
        )
        colors[:, sloped] *= np.where(ridge < max(0.2, view.gsd_m / 2), np.float32(1.12), np.float32(1))
    return colors, direct


def _draw_seams(
    colors: np.ndarray, pixels: np.ndarray, along: np.ndarray, across: np.ndarray, sheets_m: np.ndarray, gsd_m: float
) -> None:
    """Darkens the lines between a roof's sheets, where it has any."""
    sheeted = np.flatnonzero(sheets_m)
    columns, rows = along[sheeted] / sheets_m[sheeted], across[sheeted] / (2.2 * sheets_m[sheeted])
    line = np.float32(max(0.12, gsd_m)) / sheets_m[sheeted]
    on_line = (columns - np.floor(columns) < line) | (rows - np.floor(rows) < line / 2.2)
    colors[:, pixels[sheeted[on_line]]] *= np.float32(1 - 0.3 * min(0.15 / gsd_m, 1.0))


def _equip(
    colors: np.ndarray, pixels: np.ndarray, prisms: np.ndarray, along: np.ndarray, across: np.ndarray,
    roofs: np.ndarray, table: np.ndarray, sun: Sun, view: View,
) -> None:  # fmt: skip
    """Draws boxes (air conditioning, stairs, skylights) and their shadows, at most one in each 5 m cell of a roof."""
    cell_u, cell_v = np.floor(along / _CELL_M), np.floor(across / _CELL_M)
    reach_u, reach_v, busy = (table[:, [2, 3, 7]] - (3.2, 3.2, 0)).T.astype(np.float32)
    inside = np.abs((cell_u + 0.5) * _CELL_M) < reach_u[prisms]
    inside &= np.abs((cell_v + 0.5) * _CELL_M) < reach_v[prisms]
    inside = np.flatnonzero(inside)
    draw = uniform(41, cell_u[inside], cell_v[inside], roofs[prisms[inside]])
    chosen = inside[draw < busy[prisms[inside]] * 0.7]
    if not len(chosen):
        return
    key = cell_u[chosen], cell_v[chosen], roofs[prisms[chosen]]
    half_u, half_v = 0.5 + 1.3 * uniform(42, *key), 0.4 + 1.0 * uniform(43, *key)
    u = along[chosen] - (key[0] + 0.5) * _CELL_M - 0.5 * (uniform(44, *key) - 0.5)
    v = across[chosen] - (key[1] + 0.5) * _CELL_M - 0.5 * (uniform(45, *key) - 0.5)
    tall = 0.6 + 1.4 * uniform(46, *key)
    axis_x, axis_y = table[prisms[chosen], :2].T.astype(np.float32)
    color = _EQUIPMENT[:, (uniform(47, *key) * _EQUIPMENT.shape[1]).astype(int)]
    for (east, north), reach, factor in (
        (sun.shadow_m, (0, 1), None),
        (view.offset_m(1.0), (0, 1), 0.55),
        (view.offset_m(1.0), (1, 1), 1.0),
    ):
        move_u, move_v = (east * axis_x + north * axis_y) * tall, (north * axis_x - east * axis_y) * tall
        hit = _swept(u, v, half_u, half_v, move_u, move_v, reach)
        if factor is None:
            colors[:, pixels[chosen[hit]]] *= np.float32(0.5)
        else:
            colors[:, pixels[chosen[hit]]] = color[:, hit] * np.float32(factor)


def _swept(
    u: np.ndarray, v: np.ndarray, half_u: np.ndarray, half_v: np.ndarray, move_u: np.ndarray, move_v: np.ndarray,
    reach: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Whether points lie in a rectangle around the origin at some share of its move, between the two of `reach`."""
    first, last = np.full(u.shape, reach[0], dtype=np.float32), np.full(u.shape, reach[1], dtype=np.float32)
    for place, half, move in ((u, half_u, move_u), (v, half_v, move_v)):
        move = np.where(np.abs(move) < 1e-6, np.float32(1e-6), move)
        enter, leave = (place - half) / move, (place + half) / move
        first, last = np.maximum(first, np.minimum(enter, leave)), np.minimum(last, np.maximum(enter, leave))
    return first <= last


def rims(city: City, frame: Frame, prisms: np.ndarray, offset_m: np.ndarray) -> np.ndarray:
    """Outlines of the roofs where they appear: each prism's number + 1 along its border, lower roofs first.

    Args:
        city: The city.
        frame: Pixels of the view.
        prisms: (P,) Prisms in view.
        offset_m: (2,) Displacement per metre of height.

    Returns:
        (H, W) int32, 0 elsewhere.
    """
    order = prisms[np.argsort(city.drawn_heights_m[prisms], kind='stable')]
    edges, owners = city.walls.of(order)
    moved = city.drawn_heights_m[order][owners][:, None] * offset_m
    lines = np.stack([city.walls.starts_m[edges] + moved, city.walls.ends_m[edges] + moved], axis=1)
    lines = np.round((frame.to_px(lines) - 0.5) * 16).astype(np.int32)
    image = np.zeros(frame.size_px, dtype=np.int32)
    thickness = max(1, round(0.7 / frame.gsd_m))
    for prism, part in zip(
        order.tolist(), np.split(lines, np.searchsorted(owners, np.arange(1, len(order)))), strict=True
    ):
        cv2.polylines(image, list(part), False, prism + 1, thickness, cv2.LINE_8, 4)
    return image
