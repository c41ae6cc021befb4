"""Street scenes as a camera behind the windscreen sees them, labelled with the class names of Cityscapes."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import shapely
from numpy.random import Generator
from shapely import Point, box

from .materials import layered, speckled, striped, tiled
from .objects import BLACK, WHITE
from .outdoor_objects import GRAY, building_row, bus, car, hedge, lamp_post, person, traffic_sign, tree
from .perspective import FAR_M, Camera, Canvas
from .scenes import grain

KERB_M, PAVEMENT_M = 5.0, 5.5  # from the middle of the road to its edge; from there to the houses
Thing = tuple[float, Callable[[], None]]
"""How far away something is, in metres, and how to paint it."""


def street_view(
    rng: Generator, size: tuple[int, int], label_ids: Mapping[str, int], rarity: int
) -> tuple[np.ndarray, np.ndarray]:
    """A street with traffic, and one of the rarer things that Cityscapes labels but does not score.

    Args:
        rng: Source of everything random.
        size: (height, width) in pixels.
        label_ids: The value of each label.
        rarity: Which of the rarer things; successive numbers show all in turn.

    Returns:
        The picture, RGB, float, shape (H, W, 3), in 0–255, and the label map, shape (H, W), uint8.
    """
    height, width = size
    center = (width * rng.uniform(0.45, 0.65), height * rng.uniform(0.4, 0.5))
    canvas = Canvas(size, Camera(0.8 * width, center, rng.uniform(1.3, 1.8)), label_ids)
    middle = rng.uniform(-2.2, -1.2)  # of the road: the camera is in the right lane
    _sky(canvas, rng)
    hedge(canvas, rng, 150, 'vegetation', 11)
    _ground(canvas, rng, middle)
    for side in (-1, 1):
        building_row(canvas, rng, middle + side * (KERB_M + PAVEMENT_M), (rng.uniform(6, 12), 110))
    things = _beside_the_road(canvas, rng, middle) + _traffic(canvas, rng, middle)
    things.append(_RARITIES[rarity % len(_RARITIES)](canvas, rng, middle))
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    picture = canvas.picture * rng.uniform(0.8, 1.1) + grain(rng, size)
    _own_car_and_border(picture, canvas.labels, label_ids)
    return picture.clip(0, 255), canvas.labels


def _sky(canvas: Canvas, rng: Generator) -> None:
    blue = np.array([92.0, 144.0, 212.0]) + rng.uniform(0, 70) * np.array([1.0, 0.6, 0.1])
    sky = layered(rng, np.array([208.0, 218.0, 226.0]), blue, 500, 220)
    canvas.surface('z', FAR_M, box(-FAR_M, -FAR_M, FAR_M, FAR_M), 'sky', sky)


def _ground(canvas: Canvas, rng: Generator, middle: float) -> None:
    """Grass everywhere, on it pavements of slabs, up to the houses or not, and the road with its markings."""
    grass = speckled(rng, np.array([112.0, 150.0, 60.0]), 13, 0.4)
    canvas.surface('y', 0, box(-FAR_M, 0, FAR_M, FAR_M), 'terrain', grass)
    slabs = tiled(rng, np.array([188.0, 178.0, 168.0]) * rng.uniform(0.9, 1.05), 0.9, 0.9, contrast=8)
    for side in (-1, 1):
        width = PAVEMENT_M if rng.random() < 0.4 else 0.45 * PAVEMENT_M
        edges = sorted((middle + side * KERB_M, middle + side * (KERB_M + width)))
        canvas.surface('y', 0, box(edges[0], 0, edges[1], FAR_M), 'sidewalk', slabs)
    asphalt = speckled(rng, np.full(3, rng.uniform(78, 104)), 6, 0.3)
    canvas.surface('y', 0, box(middle - KERB_M, 0, middle + KERB_M, FAR_M), 'road', asphalt)
    paint = np.full(3, 218.0)
    dashes = [box(middle - 0.08, z, middle + 0.08, z + 3) for z in np.arange(rng.uniform(0, 6), 90, 6)]
    lines = [box(middle + x - 0.06, 0, middle + x + 0.06, 120) for x in (-2.9, 2.9)]
    canvas.surface('y', 0, shapely.union_all(dashes + lines), None, paint)
    if rng.random() < 0.3:
        start = rng.uniform(8, 16)
        bars = [box(x, start, x + 0.5, start + 3) for x in np.arange(middle - 4.6, middle + 4.5, 1)]
        canvas.surface('y', 0, shapely.union_all(bars), None, paint)


def _beside_the_road(canvas: Canvas, rng: Generator, middle: float) -> list[Thing]:
    """Trees, lamp posts, traffic signs and people."""
    things: list[Thing] = []
    for side in (-1, 1):
        kerb = middle + side * (KERB_M + 0.6)
        for z in np.arange(rng.uniform(9, 16), 60, rng.uniform(8, 14)):
            if rng.random() < 0.6:
                things.append((z, partial(tree, canvas, rng, kerb + side * 0.5, z, 'vegetation')))
            elif rng.random() < 0.7:
                things.append((z, partial(lamp_post, canvas, kerb, z)))
        for z in rng.uniform(6, 22, size=rng.integers(0, 3)):
            things.append((z, partial(traffic_sign, canvas, rng, kerb, z)))
        for z in rng.uniform(6, 24, size=rng.integers(0, 5)):
            x = middle + side * (KERB_M + rng.uniform(0.6, 0.45 * PAVEMENT_M))
            things.append((z, partial(person, canvas, rng, x, z)))
    return things


def _traffic(canvas: Canvas, rng: Generator, middle: float) -> list[Thing]:
    """Parked cars on both sides, vehicles on the two lanes."""
    things: list[Thing] = []
    for side in (-1, 1):
        for z in np.arange(rng.uniform(6, 10), 50, 6):
            if rng.random() < 0.3:
                things.append((z, partial(car, canvas, rng, middle + 3.9 * side, z)))
    for lane, nearest in ((-1.6, 9), (1.6, 10)):
        draw = bus if rng.random() < 0.35 else car
        if rng.random() < 0.7:
            z = rng.uniform(nearest, 26)
            things.append((z, partial(draw, canvas, rng, middle + lane, z)))
    return things


def _own_car_and_border(picture: np.ndarray, labels: np.ndarray, label_ids: Mapping[str, int]) -> None:
    """The bonnet, the edge that rectification leaves on the left, and the frame that is not annotated; in place."""
    height, width = labels.shape
    x, y = np.arange(width) / width - 0.5, np.arange(height)[:, None] / height
    depth = (y - 0.9 - 0.3 * x**2) / 0.1
    bonnet = depth > 0
    picture[bonnet] = np.array([44.0, 46.0, 50.0]) + 40 * np.exp(-8 * depth[bonnet][:, None])
    labels[bonnet] = label_ids['ego vehicle']
    edge = x + 0.5 < 0.012 * (1 - y)
    picture[edge] = 0
    labels[edge] = label_ids['rectification border']
    frame = max(round(height / 200), 1)
    inside = np.zeros(labels.shape, dtype=bool)
    inside[frame:-frame, frame:-frame] = True
    labels[~inside] = label_ids['out of roi']


def _strip(label: str, colors: tuple[float, float, float], stripe_m: float, edges: tuple[float, float]) -> Callable:
    """A striped part of the ground along the road, between two distances from its middle."""

    def rarity(canvas: Canvas, rng: Generator, middle: float) -> Thing:
        stripes = striped(np.array(colors), 0.8 * np.array(colors), stripe_m)
        shape = box(middle + edges[0], 4, middle + edges[1], 60)
        return FAR_M, lambda: canvas.surface('y', 0, shape, label, stripes)

    return rarity


def _boxes(label: str, color: tuple[float, float, float], sizes_m: tuple[float, float, float], x: float) -> Callable:
    """Two boxes of a (width, height, length), at a distance from the middle of the road."""

    def rarity(canvas: Canvas, rng: Generator, middle: float) -> Thing:
        z = rng.uniform(7, 10)
        width, height, length = sizes_m

        def paint() -> None:
            for start in (z + 2 * length, z):
                across = (middle + x - width / 2, middle + x + width / 2)
                canvas.cuboid(across, (0.05, height), (start, start + length), label, np.array(color))
                canvas.surface(
                    'z', start, box(across[0] + 0.1, 0.6 * height, across[1] - 0.1, 0.85 * height), label, GRAY
                )

        return z, paint

    return rarity


def _bridge(canvas: Canvas, rng: Generator, middle: float) -> Thing:
    """A bridge over the road."""
    z, half = rng.uniform(22, 35), KERB_M + PAVEMENT_M
    concrete = speckled(rng, np.array([172.0, 166.0, 158.0]), 8, 0.8)
    span = (middle - half, middle + half)
    return z, lambda: canvas.cuboid(span, (5.0, 6.6), (z, z + 6), 'bridge', concrete)


def _tunnel(canvas: Canvas, rng: Generator, middle: float) -> Thing:
    """A tunnel through a wooded hill, into which the road goes."""
    half = KERB_M + PAVEMENT_M
    leaves = speckled(rng, np.array([70.0, 106.0, 52.0]), 14, 0.8)
    mouth = box(middle - KERB_M, 0, middle + KERB_M, 3.5) | Point(middle, 3.5).buffer(3)

    def paint() -> None:
        canvas.surface('z', 40, box(middle - half, 0, middle + half, 11), 'vegetation', leaves)
        canvas.surface('z', 40, mouth, 'tunnel', BLACK + 22)

    return 40, paint


def _posts(canvas: Canvas, rng: Generator, middle: float) -> Thing:
    """Posts so close together that they are labelled as a group."""
    z, x = rng.uniform(7, 12), middle + KERB_M + 0.3
    shape = shapely.union_all([box(x + k * 0.3, 0, x + k * 0.3 + 0.16, 3.2) for k in range(4)])
    return z, lambda: canvas.surface('z', z, shape, 'polegroup', 0.7 * GRAY)


def _unlabeled(canvas: Canvas, rng: Generator, middle: float) -> Thing:
    """A bird overhead, of a kind that no label is for."""
    x, y = middle + rng.uniform(-1, 4), rng.uniform(2.8, 3.6)
    wings = shapely.LineString([(x - 0.7, y + 0.3), (x, y), (x + 0.7, y + 0.35)]).buffer(0.12)
    return 0.0, lambda: canvas.surface('z', 9, wings, 'unlabeled', WHITE)


_RARITIES: list[Callable[[Canvas, Generator, float], Thing]] = [
    _strip('parking', (176.0, 120.0, 96.0), 2.5, (-5.0, -2.9)),
    _strip('rail track', (122.0, 110.0, 104.0), 0.7, (0.3, 2.7)),
    _strip('ground', (206.0, 190.0, 150.0), 1.2, (KERB_M, KERB_M + PAVEMENT_M)),
    _boxes('static', (38.0, 92.0, 60.0), (0.9, 1.2, 0.8), 6.4),
    _boxes('dynamic', (220.0, 110.0, 30.0), (0.6, 0.9, 0.9), 6.8),
    _boxes('caravan', (236.0, 232.0, 220.0), (2.1, 2.6, 5.0), -3.9),
    _boxes('trailer', (110.0, 120.0, 84.0), (1.8, 1.3, 3.0), -3.9),
    _boxes('guard rail', (206.0, 208.0, 208.0), (0.25, 0.8, 9.0), -5.2),
    _bridge,
    _tunnel,
    _posts,
    _unlabeled,
]
"""What is seen once in so many pictures."""
