"""Rooms, streets and landscapes, labelled with the class names of ADE20K."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.random import Generator
from shapely import Polygon, box

from .materials import layered, speckled, striped, tiled
from .objects import WHITE
from .outdoor_objects import building_row, car, hedge, tree
from .perspective import FAR_M, Camera, Canvas, Interval, Material
from .scenes import grain


def everyday_scene(
    rng: Generator, size: tuple[int, int], label_ids: Mapping[str, int], category: str
) -> tuple[np.ndarray, np.ndarray]:
    """A scene of one of the `CATEGORIES`.

    Args:
        rng: Source of everything random.
        size: (height, width) in pixels.
        label_ids: The value of each label; what has no class is labelled 'other'.
        category: What the scene shows.

    Returns:
        The picture, RGB, float, shape (H, W, 3), in 0–255, and the label map, shape (H, W), uint8.
    """
    height, width = size
    center = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.42, 0.55))
    canvas = Canvas(size, Camera(0.75 * max(size), center, rng.uniform(1.4, 1.8)), label_ids)
    CATEGORIES[category](canvas, rng)
    picture = canvas.picture * rng.uniform(0.85, 1.1) + grain(rng, size)
    return picture.clip(0, 255), canvas.labels


def _room(canvas: Canvas, rng: Generator) -> tuple[Interval, float]:
    """An empty room with a window; returns its extent in x and its depth."""
    left, right, depth, height = -rng.uniform(1.8, 2.6), rng.uniform(1.8, 2.6), rng.uniform(4.2, 5.5), 2.7
    paint = _pick(rng, _WALLS)
    wall = striped(paint, 0.92 * paint, rng.uniform(0.3, 0.8)) if rng.random() < 0.4 else speckled(rng, paint, 3, 0.5)
    canvas.surface('z', depth, box(-9, -9, 9, 9), 'wall', wall)  # no gaps where surfaces meet
    boards = tiled(rng, _pick(rng, _FLOORS), 0.35, 1.6, contrast=9)
    canvas.surface('y', 0, box(left, 0, right, depth), 'floor', boards)
    canvas.surface('y', height, box(left, 0, right, depth), 'ceiling', speckled(rng, WHITE - 6, 2, 0.5))
    for x in (left, right):
        canvas.surface('x', x, box(0, 0, depth, height), 'wall', wall, brightness=0.85)
    daylight = layered(rng, np.array([190.0, 226.0, 250.0]), np.array([120.0, 184.0, 250.0]), 2.4, 0.6)
    if rng.random() < 0.5:
        start = rng.uniform(left + 0.2, right - 1.6)
        _window(canvas, 'z', depth, (start, start + 1.4), daylight)
    else:
        start = rng.uniform(2.2, depth - 1.6)
        _window(canvas, 'x', rng.choice([left, right]), (start, start + 1.4), daylight)
    return (left, right), depth


def _window(canvas: Canvas, axis: str, value_m: float, across: Interval, daylight: Material) -> None:
    """Four bright panes in a white frame."""
    canvas.surface(axis, value_m, box(across[0], 0.9, across[1], 2.2), 'windowpane', WHITE)
    middle = sum(across) / 2
    for first, second in ((across[0] + 0.07, middle - 0.03), (middle + 0.03, across[1] - 0.07)):
        for bottom, top in ((0.97, 1.5), (1.56, 2.13)):
            canvas.surface(axis, value_m, box(first, bottom, second, top), 'windowpane', daylight)


def _bedroom(canvas: Canvas, rng: Generator) -> None:
    """A room with a bed, its head to the far wall, and a lamp."""
    (left, right), depth = _room(canvas, rng)
    x, width = rng.uniform(left, right - 1.9), rng.uniform(1.4, 1.9)
    foot = depth - 2.1
    cover = _pick(rng, _BLANKETS)
    canvas.cuboid((x, x + width), (0, 1.1), (depth - 0.1, depth), 'bed', np.array([110.0, 72.0, 44.0]))
    quilt = tiled(rng, cover, 0.3, 0.3, contrast=7)
    canvas.cuboid((x, x + width), (0.12, 0.6), (foot, depth - 0.1), 'bed', speckled(rng, 0.9 * cover, 5, 0.2), quilt)
    for side in (x + 0.12, x + width / 2 + 0.06):
        pillow = (side, side + width / 2 - 0.18)
        canvas.cuboid(pillow, (0.6, 0.74), (depth - 0.6, depth - 0.15), 'bed', WHITE - 25, WHITE)
    _lamp(canvas, x + width + 0.3 if x + width + 0.6 < right else x - 0.3, depth - 0.3)


def _dining_room(canvas: Canvas, rng: Generator) -> None:
    """A room with one or two tables and a lamp."""
    (left, right), depth = _room(canvas, rng)
    _lamp(canvas, rng.uniform(left + 0.4, right - 0.4), depth - 0.3)
    z = depth - 1.0
    wood = speckled(rng, _pick(rng, _WOODS), 9, 0.15)
    for _ in range(rng.integers(1, 3)):
        width = rng.uniform(1.3, 2.0)
        x = rng.uniform(left + 0.1, right - width - 0.1)
        z -= rng.uniform(0.9, 1.2)
        for leg_z in (z + 0.7, z + 0.05):
            for leg_x in (x + 0.05, x + width - 0.13):
                canvas.cuboid((leg_x, leg_x + 0.08), (0, 0.7), (leg_z, leg_z + 0.08), 'table', wood)
        canvas.cuboid((x, x + width), (0.7, 0.8), (z, z + 0.85), 'table', wood)


def _lamp(canvas: Canvas, x: float, z: float) -> None:
    """A standard lamp, which belongs to no class here."""
    canvas.surface('z', z, box(x - 0.03, 0, x + 0.03, 1.5), 'other', np.array([60.0, 56.0, 52.0]))
    shade = Polygon([(x - 0.26, 1.35), (x + 0.26, 1.35), (x + 0.15, 1.8), (x - 0.15, 1.8)])
    canvas.surface('z', z, shade, 'other', np.array([250.0, 214.0, 120.0]))


def _street(canvas: Canvas, rng: Generator) -> None:
    """A road with houses on both sides, trees and cars."""
    _sky(canvas, rng)
    hedge(canvas, rng, 120, 'tree', 9)
    _grass(canvas, rng)
    middle = rng.uniform(-1, 1)
    asphalt = speckled(rng, np.full(3, rng.uniform(84, 112)), 6, 0.3)
    canvas.surface('y', 0, box(middle - 3.6, 0, middle + 3.6, FAR_M), 'road', asphalt)
    for z in np.arange(rng.uniform(0, 6), 80, 6):
        canvas.surface('y', 0, box(middle - 0.08, z, middle + 0.08, z + 3), 'road', WHITE)
    for side in (-1, 1):
        building_row(canvas, rng, middle + side * 6.5, (rng.uniform(7, 11), 90))
    things = [
        (z, partial(tree, canvas, rng, middle + side * 4.9, z, 'tree'))
        for side in (-1, 1)
        for z in rng.uniform(8, 40, size=rng.integers(1, 4))
    ]
    for side in (-1, 1):
        z = rng.uniform(7, 22)
        things.append((z, partial(car, canvas, rng, middle + 1.9 * side, z)))
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()


def _park(canvas: Canvas, rng: Generator) -> None:
    """A meadow with trees, perhaps with a path."""
    _sky(canvas, rng)
    hedge(canvas, rng, 90, 'tree', 10)
    _grass(canvas, rng)
    if rng.random() < 0.4:
        gravel = speckled(rng, np.array([196.0, 176.0, 140.0]), 8, 0.2)
        start, end = rng.uniform(-2, 2), rng.uniform(-30, 30)
        canvas.surface('y', 0, Polygon([(start - 1, 0), (start + 1, 0), (end + 3, 80), (end - 3, 80)]), 'other', gravel)
    _trees(canvas, rng, 5, 9)


def _mountain(canvas: Canvas, rng: Generator) -> None:
    """Mountains behind a meadow with a few trees."""
    _sky(canvas, rng)
    _ridge(canvas, rng, rng.uniform(220, 420))
    _grass(canvas, rng)
    _trees(canvas, rng, 1, 5)


def _coast(canvas: Canvas, rng: Generator) -> None:
    """The sea beyond a strip of grass, perhaps with an island."""
    _sky(canvas, rng)
    if rng.random() < 0.5:
        _ridge(canvas, rng, rng.uniform(60, 140))
    water = np.array([34.0, 92.0, 148.0]) * rng.uniform(0.8, 1.2)
    waves = speckled(rng, water, 12, 1.2)
    canvas.surface('y', 0, box(-FAR_M, 0, FAR_M, FAR_M), 'sea', lambda u, v: waves(0.3 * u, v))
    x = np.linspace(-60, 60, 61)
    shore = rng.uniform(6, 12) + rng.uniform(-0.3, 0.3) * x + np.cumsum(rng.uniform(-0.5, 0.5, size=61))
    meadow = Polygon([(-60, 0), *zip(x, shore.clip(min=4.5), strict=True), (60, 0)])
    canvas.surface('y', 0, meadow, 'grass', speckled(rng, _pick(rng, _GREENS), 13, 0.4))
    _trees(canvas, rng, 0, 2, nearest=5, farthest=7)


def _sky(canvas: Canvas, rng: Generator) -> None:
    blue = np.array([84.0, 140.0, 214.0]) + rng.uniform(0, 60) * np.array([1.0, 0.6, 0.1])
    sky = layered(rng, np.array([206.0, 218.0, 230.0]), blue, 600, 240)
    canvas.surface('z', FAR_M, box(-FAR_M, -FAR_M, FAR_M, FAR_M), 'sky', sky)


def _ridge(canvas: Canvas, rng: Generator, height_m: float) -> None:
    """A jagged range of mountains with snow on what is high."""
    x = np.linspace(-700, 700, 113)
    walk = np.cumsum(rng.normal(size=113)) + 3 * np.abs((x / 220 + rng.uniform(0, 2)) % 2 - 1)
    y = height_m * (0.3 + 0.7 * (walk - walk.min()) / np.ptp(walk))
    rock, snow = speckled(rng, np.array([122.0, 112.0, 116.0]), 13, 30), speckled(rng, WHITE - 8, 5, 30)
    outline = Polygon([(-700, 0), *zip(x, y, strict=True), (700, 0)])
    snow_line = height_m * rng.uniform(0.6, 0.75)

    def material(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        is_snow = v + 0.06 * height_m * np.sin(u / 17) > snow_line
        return np.where(is_snow[..., None], snow(u, v), rock(u, v))

    canvas.surface('z', 900, outline, 'mountain', material)


def _grass(canvas: Canvas, rng: Generator) -> None:
    canvas.surface('y', 0, box(-FAR_M, 0, FAR_M, FAR_M), 'grass', speckled(rng, _pick(rng, _GREENS), 13, 0.4))


def _trees(canvas: Canvas, rng: Generator, fewest: int, most: int, nearest: float = 7, farthest: float = 35) -> None:
    """So many trees anywhere, painted from far to near."""
    for z in sorted(rng.uniform(nearest, farthest, size=rng.integers(fewest, most + 1)), reverse=True):
        tree(canvas, rng, rng.uniform(-0.7, 0.7) * z, z, 'tree')


def _pick(rng: Generator, palette: list[tuple[float, float, float]]) -> np.ndarray:
    return np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.9, 1.06)


_WALLS = [(222.0, 204.0, 168.0), (176.0, 196.0, 176.0), (214.0, 176.0, 170.0), (196.0, 198.0, 210.0)]
_FLOORS = [(150.0, 100.0, 62.0), (118.0, 78.0, 52.0), (176.0, 132.0, 88.0)]
_BLANKETS = [(60.0, 84.0, 170.0), (176.0, 44.0, 60.0), (70.0, 140.0, 130.0), (230.0, 160.0, 60.0)]
_WOODS = [(96.0, 54.0, 30.0), (70.0, 46.0, 34.0), (128.0, 70.0, 34.0)]
_GREENS = [(108.0, 152.0, 56.0), (128.0, 160.0, 70.0), (150.0, 164.0, 84.0)]

CATEGORIES: dict[str, Callable[[Canvas, Generator], None]] = {
    'bedroom': _bedroom,
    'street': _street,
    'dining_room': _dining_room,
    'mountain': _mountain,
    'coast': _coast,
    'park': _park,
}
"""The scenes that can be drawn, under the names that ADE20K gives them."""
