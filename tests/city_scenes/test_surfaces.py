"""Hidden-surface removal against a ray caster that knows nothing of it."""

import numpy as np
import pytest
import shapely
from shapely import affinity

from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.frame import Frame
from projects.city_scenes.surfaces import GROUND, prisms_in_view, see
from projects.city_scenes.view import View

FRAME = Frame(100.0, 248.0, 1.0, (48, 64))


def city_of(polygons, heights, structures=None):
    structures = np.arange(len(polygons)) if structures is None else np.array(structures)
    return City(Buildings(np.array(polygons, dtype=object), np.array(heights, dtype=float), structures))


def random_city(seed):
    """Towers with nested tiers, courtyards, stars and slabs that overlap and lean into the tile from beyond."""
    random = np.random.default_rng(seed)
    polygons, heights, structures = [], [], []
    for structure in range(14):
        center = random.uniform((85, 185), (180, 265))
        shape = shapely.box(-1, -1, 1, 1)
        if structure % 4 == 1:
            shape = shape.difference(shapely.box(-0.5, -0.6, 0.4, 0.5))
        if structure % 4 == 2:
            angles = np.sort(random.uniform(0, 2 * np.pi, 9))
            radii = random.uniform(0.3, 1.3, 9)
            shape = shapely.Polygon(np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])).buffer(0)
            shape = max(shapely.get_parts(shape), key=lambda part: part.area)
        size = random.uniform(3, 12, 2)
        angle = random.uniform(0, 90)
        height = random.uniform(2, 60)
        for tier in range(random.integers(1, 4)):
            scale = size * 0.7**tier
            part = affinity.rotate(affinity.scale(shape, *scale, origin=(0, 0)), angle, origin=(0, 0))
            polygons.append(affinity.translate(part, *center))
            heights.append(height * (1 + 0.6 * tier))
            structures.append(structure)
    return city_of(polygons, heights, structures)


def cast_rays(city, frame, offset_m):
    """Highest point on each pixel's ray: the end of the ray's part inside each prism, nothing clever."""
    rows, columns = frame.size_px
    x = frame.west_m + (np.arange(columns) + 0.5) * frame.gsd_m
    y = frame.north_m - (np.arange(rows) + 0.5) * frame.gsd_m
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    best, owner = np.zeros(len(points)), np.full(len(points), -1)
    for prism, (polygon, top) in enumerate(zip(city.buildings.polygons, city.buildings.heights_m, strict=True)):
        rays = shapely.linestrings(np.stack([points, points - top * offset_m - 1e-12], axis=1))
        for ray in np.flatnonzero(shapely.intersects(rays, polygon)):
            inside = shapely.get_coordinates(rays[ray].intersection(polygon))
            far = np.linalg.norm(inside - points[ray], axis=1).max()
            height = min(far / np.linalg.norm(offset_m), top)
            if height >= best[ray]:
                best[ray], owner[ray] = height, city.buildings.structures[prism]
    return best.reshape(rows, columns), owner.reshape(rows, columns)


def structures_of(city, surface):
    walls = np.repeat(city.buildings.structures, np.diff(city.walls.first))
    return np.where(surface == GROUND, -1, np.concatenate([walls, city.buildings.structures])[surface])


@pytest.mark.parametrize(('seed', 'azimuth_deg'), [(0, 20), (1, 90), (2, 130), (3, 200), (4, 270), (5, 333)])
def test_every_pixel_shows_the_highest_point_on_its_ray(seed, azimuth_deg):
    city = random_city(seed)
    offset = View(1.0, 35, azimuth_deg).offset_m(1.0)
    seen = see(city, FRAME, offset)
    heights, owners = cast_rays(city, FRAME, offset)
    assert (heights > 0).mean() > 0.3
    wrong = (np.abs(seen.height_m - heights) > 2e-3) | (structures_of(city, seen.surface) != owners)
    assert wrong.mean() < 5e-4, f'{wrong.mean():.3%} of the pixels disagree'


def test_a_low_roof_hides_the_foot_of_a_taller_wall_behind_it():
    """Whole buildings painted in ascending height would show the tower's wall here."""
    low, tower = shapely.box(110, 210, 120, 215), shapely.box(110, 220, 120, 230)
    seen = see(city_of([low, tower], [10, 40]), FRAME, np.array([0.0, 1.0]))
    column = seen.height_m[:, 15]
    north = FRAME.north_m - (np.arange(48) + 0.5)
    assert column[north > 225].min() > 5
    assert np.all(column[(north > 220) & (north < 225)] == 10)


def test_walls_facing_away_and_walls_inside_other_prisms_are_never_seen():
    podium, tower = shapely.box(105, 205, 135, 235), shapely.box(112, 212, 122, 222)
    city = city_of([podium, tower], [10, 30], [0, 0])
    assert np.all(city.wall_bases_m == [0, 0, 0, 0, 10, 10, 10, 10])
    seen = see(city, FRAME, np.array([0.0, 0.5]))
    walls = np.unique(seen.surface[(seen.surface != GROUND) & (seen.surface < 8)])
    south = [np.flatnonzero((city.walls.starts_m[:, 1] == y) & (city.walls.ends_m[:, 1] == y))[0] for y in (205, 212)]
    assert sorted(walls) == sorted(south)


def test_walls_keep_the_inside_on_their_left_whichever_way_the_rings_run():
    shell, hole = [(0, 0), (9, 0), (9, 9), (0, 9)], [(3, 3), (6, 3), (6, 6), (3, 6)]
    for rings in ((shell, hole), (shell[::-1], hole), (shell, hole[::-1]), (shell[::-1], hole[::-1])):
        polygon = shapely.Polygon(rings[0], [rings[1]])
        walls = city_of([polygon, shapely.box(20, 0, 22, 1)], [1, 1]).walls
        side = walls.ends_m - walls.starts_m
        left = np.column_stack([-side[:, 1], side[:, 0]]) / np.linalg.norm(side, axis=1)[:, None]
        inside = (walls.starts_m + walls.ends_m) / 2 + 0.1 * left
        assert shapely.contains_xy(polygon, inside[:8]).all()
        assert walls.first.tolist() == [0, 8, 12]


def test_pixel_centers_decide_at_zero_angle():
    city = city_of([shapely.box(101.4, 240.6, 104.6, 246.4)], [7])
    seen = see(city, FRAME, np.zeros(2))
    expected = np.zeros((48, 64))
    expected[2:7, 1:5] = 7
    assert np.all(seen.height_m == expected)
    assert seen.roof_pixels(city).tolist() == [20]


def test_roofs_count_as_far_as_nothing_stands_before_them():
    tower, house = shapely.box(110, 200, 120, 210), shapely.box(110, 212, 120, 222)
    seen = see(city_of([tower, house], [18, 3]), FRAME, np.array([0.0, 1.0]))  # roofs at 218 to 228, and 215 to 225
    assert seen.roof_pixels(city_of([tower, house], [18, 3])).tolist() == [100, 0]
    seen = see(city_of([tower, house], [10, 3]), FRAME, np.array([0.0, 1.0]))  # roofs at 210 to 220, and 215 to 225
    assert seen.roof_pixels(city_of([tower, house], [10, 3])).tolist() == [100, 50]


def test_prisms_beyond_the_tile_are_kept_only_if_they_reach_into_it():
    beside, behind = shapely.box(90, 220, 95, 225), shapely.box(200, 220, 205, 225)
    city = city_of([beside, behind], [20, 20])
    assert prisms_in_view(city, FRAME.bounds_m, np.array([0.5, 0.0])).tolist() == [0]
    assert (see(city, FRAME, np.array([0.5, 0.0])).surface != GROUND).any()
    assert prisms_in_view(city, FRAME.bounds_m, np.array([0.2, 0.0])).tolist() == []


def test_an_empty_city_is_ground():
    seen = see(city_of([], []), FRAME, np.array([0.3, 0.3]))
    assert (seen.surface == GROUND).all()
    assert (seen.height_m == 0).all()


@pytest.mark.parametrize(
    ('polygons', 'heights', 'message'),
    [
        ([shapely.box(0, 0, 1, 1)], [-2.0], r'-2\.0 m high'),
        ([shapely.MultiPolygon([shapely.box(0, 0, 1, 1)])], [2.0], 'expected a Polygon'),
        ([shapely.box(0, 0, 1, 1)], [2.0, 3.0], 'one height and one structure'),
    ],
)
def test_cities_that_cannot_be_drawn_are_refused(polygons, heights, message):
    with pytest.raises(ValueError, match=message):
        city_of(polygons, heights, [0] * len(polygons))
