"""Cars and trees, each at a place that the world's coordinates decide."""

import cv2
import numpy as np

from .frame import Frame
from .ground import Plan
from .textures import uniform

_CAR_COLORS = np.array(
    [(232, 232, 230), (205, 207, 209), (150, 153, 156), (96, 98, 102), (44, 45, 48), (38, 38, 42), (140, 36, 34),
     (48, 66, 108), (226, 226, 226), (214, 190, 70)], dtype=np.float32,
).T  # fmt: skip
_PALETTE = np.column_stack([np.array([[38], [38], [42]]), _CAR_COLORS, _CAR_COLORS * 0.5]).astype(np.float32)
_SHIFT = 4


def _scatter(plan: Plan, cell_m: float, salt: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One place in each cell of a grid over the world, well inside the plan: points, cell numbers, plan pixels."""
    west, south, east, north = plan.frame.bounds_m
    grid = np.meshgrid(
        np.arange(np.ceil(west / cell_m), np.floor(east / cell_m), dtype=np.int64),
        np.arange(np.ceil(south / cell_m), np.floor(north / cell_m), dtype=np.int64),
    )
    columns, rows = grid[0].ravel(), grid[1].ravel()
    jitter = np.column_stack([uniform(salt, columns, rows), uniform(salt + 1, columns, rows)])
    points = (np.column_stack([columns, rows]) + jitter) * cell_m
    places = plan.frame.to_px(points).astype(np.int64)
    return points, columns, rows, np.clip(places, 0, np.array(plan.frame.size_px[::-1]) - 1)


def cars(plan: Plan, frame: Frame, shadow_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cars at the kerbs, in the lanes and on car parks.

    Args:
        plan: The plan of the ground.
        frame: Pixels of the tile.
        shadow_m: (2,) Shadow of a point one metre high.

    Returns:
        (K,) flat indices of the pixels that show a car or its shadow on the road, (3, K) float32 their colours.
    """
    image = np.zeros(frame.size_px, dtype=np.uint8)
    points, columns, rows, (px, py) = *(found := _scatter(plan, 5.8, 11))[:3], found[3].T
    kerb = plan.kerb_m[py, px]
    smooth = cv2.GaussianBlur(plan.kerb_m, (0, 0), 2 / plan.frame.gsd_m)
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)[py, px]
    slope_y = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)[py, px]
    steep = np.hypot(slope_x, slope_y)
    across = np.column_stack([slope_x, slope_y]) / np.maximum(steep, 1e-6)[:, None]
    draw = uniform(13, columns, rows)
    parked, moving = (kerb > 0) & (kerb < 2.6) & (draw < 0.5), (kerb > 2.8) & (kerb < 10) & (draw < 0.16)
    lane = np.where(parked, 1.2, 4.1 + 3.2 * np.floor(np.maximum(kerb - 2.6, 0) / 3.2))
    bay = (kerb > plan.widest_m) & (plan.green[py, px] < -0.45) & (draw < 0.7)
    in_bays = np.floor(points / (2.5, 16)) * (2.5, 16) + np.column_stack([0 * draw, np.where(draw < 0.4, 2.5, 7.5)])
    reach = 2 * round(2.5 / plan.frame.gsd_m) + 1
    well_inside = cv2.erode(plan.car_park.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    bx, by = np.clip(plan.frame.to_px(in_bays).astype(np.int64), 0, np.array(plan.frame.size_px[::-1]) - 1).T
    on_car_park = well_inside[by, bx] & (draw < 0.7)
    parked, moving, bay = parked & ~on_car_park, moving & ~on_car_park, bay | on_car_park
    points = np.where(bay[:, None], in_bays, points + across * (lane - kerb)[:, None])
    across[bay] = (1, 0)
    keep = (on_car_park | (parked | moving | bay) & (steep > 1e-3)) & _near(points, frame, 8)
    paint = (uniform(14, columns, rows) * _CAR_COLORS.shape[1]).astype(int)[keep]
    lorry = (uniform(16, columns, rows) > 0.95) & ~on_car_park
    length = (4.1 + 0.9 * uniform(15, columns, rows) + 4.5 * lorry)[keep]
    along = np.column_stack([-across[:, 1], across[:, 0]])[keep]
    across, points = across[keep], points[keep]
    for part, (front, back, half) in enumerate(((0.5, -0.5, 0.92), (0.5, -0.5, 0.92), (0.22, -0.38, 0.74))):
        middle = points + (1.4 * shadow_m * 0.5 if part == 0 else 0)
        ends = [middle + along * (length * share)[:, None] for share in (front, back)]
        quads = np.stack(
            [ends[0] + across * half, ends[0] - across * half, ends[1] - across * half, ends[1] + across * half], 1
        )
        quads = np.round((frame.to_px(quads) - 0.5) * 2**_SHIFT).astype(np.int32)
        numbers = np.ones_like(paint) if part == 0 else 2 + paint + (part - 1) * _CAR_COLORS.shape[1]
        for quad, number in zip(quads, numbers.tolist(), strict=True):
            cv2.fillConvexPoly(image, quad, number, cv2.LINE_8, _SHIFT)
    pixels = np.flatnonzero(image)
    return pixels, np.take(_PALETTE, image.ravel()[pixels] - 1, axis=1)


def trees(plan: Plan, frame: Frame, shadow_m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crowns of street trees and of parks.

    Args:
        plan: The plan of the ground.
        frame: Pixels of the tile.
        shadow_m: (2,) Shadow of a point one metre high.

    Returns:
        (K,) flat indices of the pixels that show leaves, (3, K) float32 their colours; (S,) flat indices of the pixels
        in the shadow of a crown.
    """
    points, columns, rows, (px, py) = *(found := _scatter(plan, 7.5, 21))[:3], found[3].T
    kerb, green = plan.kerb_m[py, px], plan.green[py, px]
    draw, size = uniform(23, columns, rows), uniform(24, columns, rows)
    planted = (green > 0.25) & ((kerb < -3) | (kerb > plan.widest_m)) & ~plan.car_park[py, px]
    likely = np.select([(kerb > -2.4) & (kerb < -0.4), planted], [0.5, np.clip(0.12 + 0.2 * green, 0, 0.7)], 0.0)
    keep = (draw < likely) & _near(points, frame, 16)
    crowns, hues, shadows = (np.zeros(frame.size_px, dtype=np.uint8) for _ in range(3))
    radius = (1.6 + 2.8 * size**1.5)[keep]
    points, columns, rows = points[keep], columns[keep], rows[keep]
    tint = (1 + 254 * uniform(25, columns, rows)).astype(np.uint8)
    lobes = np.arange(7)
    angle = 2 * np.pi * (lobes / 6 + uniform(26, columns, rows)[:, None])
    reach = np.where(lobes == 6, 0, 0.35 + 0.3 * uniform(27, columns[:, None], rows[:, None], lobes))
    lobe_m = points[:, None] + (radius[:, None] * reach)[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    toward = -shadow_m / max(float(np.hypot(*shadow_m)), 1e-9)
    lobe_radius = radius[:, None] * (0.42 + 0.2 * uniform(28, columns[:, None], rows[:, None], lobes))
    _discs(
        shadows, frame, lobe_m + (radius * 1.1)[:, None, None] * shadow_m, lobe_radius, np.full(lobe_radius.shape, 255)
    )
    _discs(hues, frame, lobe_m, lobe_radius, np.broadcast_to(tint[:, None], lobe_radius.shape))
    for share, level in ((1.0, 96), (0.72, 128), (0.4, 160)):
        bright = np.clip(level + 26 * ((lobe_m - points[:, None]) @ toward) / radius[:, None], 40, 220)
        shifted = lobe_m + (lobe_radius * (1 - share) * 0.7)[..., None] * toward
        _discs(crowns, frame, shifted, lobe_radius * share, bright)
    leaves = np.flatnonzero(crowns)
    hue = hues.take(leaves) * np.float32(1 / 255)
    leaf = np.stack([0.46 + 0.22 * hue**2, 0.60 + 0.06 * hue, 0.36 + 0.06 * hue])
    return leaves, leaf * crowns.take(leaves), np.flatnonzero((shadows > 0) & (crowns == 0))


def _discs(image: np.ndarray, frame: Frame, centers_m: np.ndarray, radii_m: np.ndarray, values: np.ndarray) -> None:
    """Draws discs in order."""
    centers = np.round((frame.to_px(centers_m.reshape(-1, 2)) - 0.5) * 2**_SHIFT).astype(int).tolist()
    radii = np.round(radii_m.ravel() / frame.gsd_m * 2**_SHIFT).astype(int).tolist()
    for center, radius, value in zip(centers, radii, values.ravel().tolist(), strict=True):
        cv2.circle(image, center, radius, value, -1, cv2.LINE_8, _SHIFT)


def _near(points_m: np.ndarray, frame: Frame, margin_m: float) -> np.ndarray:
    """Which points are within a margin of the tile."""
    west, south, east, north = frame.bounds_m
    x, y = points_m.T
    return (x > west - margin_m) & (x < east + margin_m) & (y > south - margin_m) & (y < north + margin_m)
