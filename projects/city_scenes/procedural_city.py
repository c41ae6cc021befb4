"""An invented city: towers in its centres, blocks with courtyards around them, detached houses in the suburbs."""

from collections.abc import Sequence

import numpy as np
import shapely
from shapely import affinity

from .buildings import Buildings
from .city import City
from .city_plan import box_around, divide, plan_city

MIN_SIZE_M = 200.0
MAX_HEIGHT_M = 250.0
CENTER_DENSITY, TOWN_DENSITY = 0.5, 0.12
"""Blocks denser than these are built as centre and as town, all others as suburb."""
PAVEMENT_M, LANE_M = 3.0, 2.0
"""Buildings stand so far back from the street, and in dense quarters so far into it."""

CENTER_HEIGHT = (46.0, 0.8)
"""Median in metres and log-normal spread. With the next two it was chosen so that the heights of the three zones
together spread as those of Melbourne's structures do (median 12.5 m, 90 % 60 m, 99 % 169 m)."""
TOWN_HEIGHT = (15.0, 0.45)
HOUSE_HEIGHT = (6.2, 0.22)
SHED_HEIGHT = (8.0, 0.2)
QUARTER_HEIGHT, SHED_HEIGHT_DENSE = (8.5, 0.35), (3.0, 0.12)
YARD_SHARE = 0.1

PLANS: dict[str, list[tuple[float, float]]] = {
    'bar': [(0, 0), (1, 0), (1, 1), (0, 1)],
    'L': [(0, 0), (1, 0), (1, 0.45), (0.4, 0.45), (0.4, 1), (0, 1)],
    'U': [(0, 0), (1, 0), (1, 1), (0.7, 1), (0.7, 0.45), (0.3, 0.45), (0.3, 1), (0, 1)],
    'T': [(0, 0), (1, 0), (1, 0.45), (0.7, 0.45), (0.7, 1), (0.3, 1), (0.3, 0.45), (0, 0.45)],
}
"""Floor plans in the unit square; the first side is the longer one."""
LARGE_M2 = 500.0
"""Smaller buildings are bars and Ls only: the wings of a U or a T would be narrower than a room."""


class _Site:
    """What has been built so far."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.polygons: list[shapely.Polygon] = []
        self.heights_m: list[float] = []
        self.structures: list[int] = []
        self.car_parks: list[shapely.Polygon] = []
        self.green: list[shapely.Polygon] = []

    def build(self, tiers: Sequence[tuple[shapely.Geometry, float]]) -> None:
        """Adds one building; parts of a tier that touch no more are prisms of their own."""
        prisms = [
            (part, height)
            for outline, height in tiers
            for part in shapely.get_parts(outline)
            if part.geom_type == 'Polygon' and part.area > 12
        ]
        if prisms:
            number = self.structures[-1] + 1 if self.structures else 0
            self.polygons += [part for part, _ in prisms]
            self.heights_m += [height for _, height in prisms]
            self.structures += [number] * len(prisms)

    def height(self, median_and_spread: tuple[float, float]) -> float:
        median, spread = median_and_spread
        return float(np.clip(median * self.random.lognormal(0, spread), 2.8, MAX_HEIGHT_M))

    def lots(self, land: shapely.Polygon, target_m2: float, gap_m: float) -> np.ndarray:
        return divide(land, lambda _: target_m2 * self.random.lognormal(0, 0.3), lambda _: gap_m, 1.5, self.random)[0]


def procedural_city(size_m: float = 2000.0, seed: int = 0, pattern: str = 'districts') -> City:
    """Invents a city with all classes of height, streets, parks and car parks.

    There is about one centre per square kilometre, so that however the ground is divided for training and test, each
    part can have towers, as the centres and suburbs of a large city have.

    Args:
        size_m: Side of the square of ground, whose south-west corner is at (0, 0).
        seed: Equal seeds give equal cities.
        pattern: 'districts', as above, or 'dense': houses of one to five floors, wall to wall, with sheds between.

    Returns:
        The city, without coordinate system.

    Raises:
        ValueError: The square is too small for streets and blocks, or the pattern is unknown.
    """
    if pattern not in ('districts', 'dense'):
        raise ValueError(f"pattern is {pattern!r}; expected 'districts' or 'dense'")
    if not size_m >= MIN_SIZE_M:
        raise ValueError(f'size_m = {size_m}: expected at least {MIN_SIZE_M:g} metres, room for a few blocks.')
    random = np.random.default_rng(seed)
    plan = plan_city(size_m, random)
    site = _Site(random)
    for block, density in zip(plan.blocks, plan.densities, strict=True):
        land = block.buffer(LANE_M if pattern == 'dense' else -PAVEMENT_M, join_style='mitre')
        if land.area < 100:
            continue
        chance = random.random()
        if chance < 0.06:
            site.green.append(block)
        elif chance < 0.1:
            _retail(site, land)
        elif pattern == 'dense':
            _quarter(site, land)
        elif density > CENTER_DENSITY:
            _center(site, land, float(density))
        elif density > TOWN_DENSITY:
            _town(site, land)
        else:
            _suburb(site, block, land)
    buildings = Buildings(_array(site.polygons), np.array(site.heights_m), np.array(site.structures))
    return City(buildings, plan.streets, _array(site.green), _array(site.car_parks))


def _array(polygons: list[shapely.Polygon]) -> np.ndarray:
    array = np.empty(len(polygons), dtype=object)
    array[:] = polygons
    return array


def _retail(site: _Site, land: shapely.Polygon) -> None:
    """One large low building on a car park."""
    site.car_parks.append(land)
    corner, along, across = box_around(land)
    share = site.random.uniform(0.35, 0.6)
    hall = shapely.Polygon([corner + a * along + b * across for a, b in ((0, 0), (share, 0), (share, 1), (0, 1))])
    site.build([(land.buffer(-4, join_style='mitre').intersection(hall), site.height(SHED_HEIGHT))])


def _center(site: _Site, land: shapely.Polygon, density: float) -> None:
    """Lots filled to their edges, with towers; higher towards the middle of the centre."""
    median, spread = CENTER_HEIGHT
    for lot in site.lots(land, site.random.uniform(900, 1900), 1.0):
        if site.random.random() < 0.05:
            (site.car_parks if site.random.random() < 0.5 else site.green).append(lot)
            continue
        site.build(_tower(lot, site.height((median * (0.55 + 0.6 * density), spread)), site.random))


def _tower(lot: shapely.Polygon, height_m: float, random: np.random.Generator) -> list[tuple[shapely.Geometry, float]]:
    """A podium, and on it one to three tiers that grow narrower."""
    if height_m < 30:
        return _house(lot, height_m, random, margin_m=0.0, fill=1.0)
    ground = lot.buffer(-random.uniform(0, 1.5), join_style='mitre')
    tiers = [(ground, min(height_m * 0.45, 15 * random.lognormal(0, 0.35)))]
    corner, along, across = box_around(ground)
    slender = min(1.0, 38 / float(np.hypot(*along)))  # towers are seldom longer than that
    fills = (random.uniform(0.7, 0.95) * slender, random.uniform(0.6, 0.9))
    middle = corner + along / 2 + across / 2
    shaft = _laid_out(PLANS['bar'], middle, fills[0] * along, fills[1] * across).intersection(ground)
    if random.random() < 0.15:
        shaft = shapely.Point(middle).buffer(0.42 * float(np.hypot(*across)), quad_segs=6).intersection(ground)
    steps = 1 + int(height_m > 80) * random.integers(0, 2) + int(height_m > 140)
    for level in np.linspace(1, 0, steps + 1)[1:]:
        share = 1 - 0.28 * level
        tiers.append((shaft, height_m * share))
        shaft = affinity.scale(shaft, random.uniform(0.6, 0.85), random.uniform(0.6, 0.85))
    if random.random() < 0.6:
        plant = affinity.scale(shaft, 0.6, 0.6)  # lifts and cooling on the roof
        tiers.append((plant, min(height_m + random.uniform(2.5, 5), MAX_HEIGHT_M)))
    return tiers


def _town(site: _Site, land: shapely.Polygon) -> None:
    """Mid-rise: a closed block with a courtyard, a block of single houses around one, or free-standing slabs."""
    random = site.random
    depth = random.uniform(11, 15)
    court = land.buffer(-depth, join_style='mitre')
    chance = random.random()
    if chance < 0.65 and court.area > 150:
        site.green.append(court)
        ring = land.difference(court)
        height = site.height(TOWN_HEIGHT)
        if chance < 0.2:
            site.build([(ring, height)])
            return
        for lot in site.lots(land, random.uniform(450, 900), 0.0):
            own = height * random.lognormal(0, 0.2) if random.random() < 0.93 else site.height((45.0, 0.4))
            site.build([(lot.intersection(ring), min(own, MAX_HEIGHT_M))])
        return
    site.green.append(land)
    for lot in site.lots(land, random.uniform(1000, 2200), 2.0):
        high = random.random() < 0.15
        site.build(_house(lot, site.height((42.0, 0.4) if high else TOWN_HEIGHT), random, margin_m=3.0, fill=0.9))


def _quarter(site: _Site, land: shapely.Polygon) -> None:
    """Houses of one to five floors, wall to wall, many with a stair head or a lower annex, and yards between."""
    random = site.random
    for lot in site.lots(land, random.uniform(70, 150), 0.3):
        chance = random.random()
        if chance < YARD_SHARE:
            (site.green if chance < YARD_SHARE / 2 else site.car_parks).append(lot)
            continue
        height = site.height(SHED_HEIGHT_DENSE if chance < 2 * YARD_SHARE else QUARTER_HEIGHT)
        tiers = _house(lot, height, random, margin_m=random.uniform(0, 0.6), fill=random.uniform(1, 1.3))
        if tiers and height > 5 and random.random() < 0.6:
            head = affinity.scale(tiers[0][0], random.uniform(0.3, 0.6), random.uniform(0.3, 0.6))
            side = affinity.translate(head, *(random.uniform(-1.5, 1.5, 2)))
            tiers.append((side.intersection(tiers[0][0]), height + 2.6))
        site.build(tiers)


def _suburb(site: _Site, block: shapely.Polygon, land: shapely.Polygon) -> None:
    """Detached houses in gardens."""
    site.green.append(block)
    for lot in site.lots(land, site.random.uniform(420, 650), 0.0):
        if site.random.random() < 0.94:
            site.build(_house(lot, site.height(HOUSE_HEIGHT), site.random, margin_m=2.0, fill=0.72))


def _house(
    lot: shapely.Polygon, height_m: float, random: np.random.Generator, margin_m: float, fill: float
) -> list[tuple[shapely.Geometry, float]]:
    """One prism whose floor plan is a bar, an L, a U or a T, along the lot."""
    inner = lot.buffer(-margin_m, join_style='mitre')
    if inner.is_empty:
        return []
    corner, along, across = box_around(inner)
    middle = corner + along / 2 + across / 2
    name = random.choice(list(PLANS), p=(0.4, 0.3, 0.15, 0.15) if inner.area > LARGE_M2 else (0.65, 0.35, 0, 0))
    turned, mirrored = random.choice((-1, 1), 2)
    sides = fill * random.uniform(0.85, 1) * turned * along, fill * random.uniform(0.85, 1) * mirrored * across
    return [(_laid_out(PLANS[name], middle, *sides).intersection(inner), height_m)]


def _laid_out(
    plan: list[tuple[float, float]], middle: np.ndarray, along: np.ndarray, across: np.ndarray
) -> shapely.Polygon:
    """A floor plan of the unit square, stretched to two sides around a middle."""
    return shapely.Polygon((np.array(plan) - 0.5) @ np.stack([along, across]) + middle)
