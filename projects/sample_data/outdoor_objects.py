"""Things that stand in streets and parks, painted on a canvas; x and z say where on the ground, in metres."""

import numpy as np
import shapely
from numpy.random import Generator
from shapely import Geometry, Point, Polygon, affinity, box

from .materials import facade, speckled, striped
from .objects import BLACK, WHITE
from .perspective import Canvas, Interval

GLASS = np.array([52.0, 62.0, 78.0])
GRAY = np.array([150.0, 152.0, 150.0])
GAP_SHARE = 0.25  # of the plots along a street


def building_row(canvas: Canvas, rng: Generator, x: float, z: Interval) -> None:
    """Houses along a street, on the right of it if x > 0, else on the left, with gaps between some of them."""
    houses = []
    start = z[0]
    while start < z[1]:
        length = rng.uniform(7, 16)
        if rng.random() > GAP_SHARE:
            houses.append((start, min(start + length, z[1]), rng.uniform(5, 15)))
        start += length
    for near, far, height in reversed(houses):
        wall = np.array(_PLASTER[rng.integers(len(_PLASTER))]) * rng.uniform(0.8, 1.05)
        across = (x, x + 12) if x > 0 else (x - 12, x)
        canvas.cuboid(across, (0, height), (near, far), 'building', facade(rng, wall))


def tree(canvas: Canvas, rng: Generator, x: float, z: float, label: str) -> None:
    """A trunk and a crown of lumps, lighter above than below."""
    height = rng.uniform(3.8, 6.2)
    radius = 0.32 * height
    crown = Point(0, 0).buffer(radius)
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, 7, endpoint=False)
    lumps = [
        Point(0.75 * radius * np.cos(angle), 0.75 * radius * np.sin(angle)).buffer(radius * rng.uniform(0.4, 0.6))
        for angle in angles
    ]
    outline = affinity.translate(shapely.union_all([crown, *lumps]), x, height - radius)
    green = np.array([58.0, 96.0, 38.0]) * rng.uniform(0.75, 1.25)
    leaves = speckled(rng, green, 20, 0.25)

    def lit_leaves(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return leaves(u, v) * (1 + 0.35 * (v - height + radius) / radius)[..., None]

    trunk = box(x - 0.05 * radius - 0.05, 0, x + 0.05 * radius + 0.05, height - radius)
    canvas.surface('z', z, trunk, label, np.array([74.0, 58.0, 44.0]))
    canvas.surface('z', z, outline, label, lit_leaves)


def hedge(canvas: Canvas, rng: Generator, z: float, label: str, height_m: float) -> None:
    """A far row of trees across the whole picture."""
    x = np.linspace(-400, 400, 161)
    y = height_m * (0.7 + 0.3 * np.abs(np.sin(x / height_m + rng.uniform(0, 9)))) + rng.uniform(0, 0.3 * height_m, 161)
    outline = Polygon([(-400, 0), *zip(x, y, strict=True), (400, 0)])
    canvas.surface('z', z, outline, label, speckled(rng, np.array([66.0, 100.0, 58.0]), 14, 0.2 * height_m))


def car(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A car that drives along z: body, cabin, wheels, lights."""
    color = np.array(_PAINTS[rng.integers(len(_PAINTS))]) * rng.uniform(0.8, 1.1)
    left, right, length = x - 0.9, x + 0.9, 4.3
    _shadow(canvas, box(left - 0.1, z - 0.2, right + 0.1, z + length))
    canvas.cuboid((left, right), (0.3, 0.95), (z, z + length), 'car', color)
    canvas.cuboid((left + 0.1, right - 0.1), (0.95, 1.5), (z + 0.6, z + 3.2), 'car', GLASS, color)
    _wheels(canvas, (left, right), (z + 0.8, z + length - 0.9), z, 0.34, 'car')
    for side in (left + 0.25, right - 0.25):
        lamp = np.array([205.0, 30.0, 30.0]) if rng.random() < 0.5 else WHITE
        canvas.surface('z', z, box(side - 0.2, 0.62, side + 0.2, 0.82), 'car', lamp)


def bus(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A bus that drives along z: a yellow or red box with a band of windows."""
    color = np.array([(232.0, 178.0, 20.0), (200.0, 40.0, 34.0)][rng.integers(2)]) * rng.uniform(0.9, 1.05)
    left, right, length = x - 1.25, x + 1.25, 10.0
    _shadow(canvas, box(left - 0.1, z - 0.2, right + 0.1, z + length))
    canvas.cuboid((left, right), (0.35, 3.1), (z, z + length), 'bus', color)
    panes = striped(GLASS, 0.8 * GLASS, 1.6)
    if left > 0 or right < 0:
        canvas.surface('x', left if left > 0 else right, box(z + 0.3, 1.6, z + length - 0.3, 2.6), 'bus', panes)
    canvas.surface('z', z, box(left + 0.15, 1.4, right - 0.15, 2.6), 'bus', GLASS)
    canvas.surface('z', z, box(left + 0.4, 2.7, right - 0.4, 2.98), 'bus', BLACK + 25)
    _wheels(canvas, (left, right), (z + 1.6, z + length - 2), z, 0.48, 'bus')


def person(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """Someone who walks: head, coat and two legs."""
    height, stride = rng.uniform(1.6, 1.9), rng.uniform(0.08, 0.3)
    coat = np.array(_COATS[rng.integers(len(_COATS))]) * rng.uniform(0.8, 1.15)
    trousers = np.array([48.0, 52.0, 74.0]) * rng.uniform(0.6, 1.3)
    skin = np.array([224.0, 180.0, 150.0]) * rng.uniform(0.55, 1.0)
    _shadow(canvas, Point(x, z).buffer(0.4))
    for foot in (-stride, stride):
        leg = shapely.LineString([(x, 0.5 * height), (x + foot, 0)]).buffer(0.1, cap_style='flat')
        canvas.surface('z', z, leg, 'person', trousers)
    torso = Polygon([(-0.2, 0.84), (0.2, 0.84), (0.27, 0.45), (-0.27, 0.45)])
    canvas.surface('z', z, affinity.translate(affinity.scale(torso, 1, height, origin=(0, 0)), x), 'person', coat)
    canvas.surface('z', z, Point(x, 0.92 * height).buffer(0.14), 'person', skin)


def lamp_post(canvas: Canvas, x: float, z: float) -> None:
    """A post of 6 m with an arm over the street."""
    canvas.surface('z', z, box(x - 0.11, 0, x + 0.11, 6), 'pole', 0.6 * GRAY)
    canvas.surface('z', z, box(min(x, 0.7 * x), 5.8, max(x, 0.7 * x), 6), 'pole', 0.6 * GRAY)


def traffic_sign(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A round, triangular or square sign on a post."""
    canvas.surface('z', z, box(x - 0.07, 0, x + 0.07, 2.1), 'pole', GRAY)
    red, blue = np.array([206.0, 22.0, 30.0]), np.array([20.0, 74.0, 190.0])
    triangle = Polygon([(-0.55, 0.45), (0.55, 0.45), (0, -0.5)])
    shape, rim, face = [
        (Point(0, 0).buffer(0.5), red, WHITE),
        (triangle, red, WHITE),
        (box(-0.45, -0.45, 0.45, 0.45), WHITE, blue),
    ][rng.integers(3)]
    for plate, color in ((shape, rim), (affinity.scale(shape, 0.68, 0.68), face)):
        canvas.surface('z', z, affinity.translate(plate, x, 2.5), 'traffic sign', color)


def _shadow(canvas: Canvas, shape: Geometry) -> None:
    canvas.surface('y', 0, shape, None, BLACK, opacity=0.5)


def _wheels(canvas: Canvas, x: Interval, along: Interval, rear: float, radius: float, label: str) -> None:
    """Wheels on the side that the camera sees, and the tyres below the rear."""
    tyre = BLACK + 28
    for side, is_seen in ((x[0], x[0] > 0), (x[1], x[1] < 0)):
        for z in along if is_seen else ():
            canvas.surface('x', side, Point(z, radius).buffer(radius), label, tyre)
            canvas.surface('x', side, Point(z, radius).buffer(0.5 * radius), label, GRAY)
    for left in (x[0] + 0.05, x[1] - 0.35):
        canvas.surface('z', rear, box(left, 0.02, left + 0.3, 0.32), label, tyre)


_PLASTER = [(198.0, 180.0, 148.0), (176.0, 116.0, 92.0), (204.0, 202.0, 194.0), (150.0, 140.0, 132.0)]
_PAINTS = [(34.0, 60.0, 140.0), (190.0, 194.0, 198.0), (150.0, 24.0, 30.0), (34.0, 36.0, 40.0), (90.0, 150.0, 190.0)]
_COATS = [(190.0, 40.0, 60.0), (236.0, 190.0, 60.0), (226.0, 120.0, 170.0), (60.0, 160.0, 160.0), (240.0, 240.0, 236.0)]
