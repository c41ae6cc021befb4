"""Rendered tiles: geometry of the labels, shadows, and what is the same from tile to tile."""

import numpy as np
import pytest
import shapely
from shapely import affinity

from projects.city_scenes.buildings import Buildings
from projects.city_scenes.camera import Camera
from projects.city_scenes.city import City
from projects.city_scenes.frame import Frame
from projects.city_scenes.points import seen_points
from projects.city_scenes.render import render_tile
from projects.city_scenes.styles import Style
from projects.city_scenes.sunlight import Sun, lit
from projects.city_scenes.surfaces import GROUND, see
from projects.city_scenes.view import View

CORNER, SIZE, SUN = (1000.0, 2128.0), (128, 128), Sun(45, 60)
PERFECT = Style(camera=Camera(blur_px=0, noise=0, haze=0, variation=0))


def town(seed=0):
    """A street grid of slabs, towers on podiums and courtyards around the tile."""
    random = np.random.default_rng(seed)
    polygons, heights, structures = [], [], []
    for structure, (x, y) in enumerate((x, y) for x in range(980, 1150, 24) for y in range(1980, 2150, 24)):
        size = random.uniform(8, 16, 2)
        block = shapely.box(x, y, x + size[0], y + size[1])
        if structure % 5 == 0:
            block = block.difference(shapely.box(x + 3, y + 3, x + 6, y + 6))
        polygons.append(block)
        heights.append(random.uniform(3, 40))
        structures.append(structure)
        if structure % 3 == 0:
            polygons.append(shapely.box(x + 1, y + 1, x + size[0] - 2, y + size[1] - 2))
            heights.append(heights[-1] + 15)
            structures.append(structure)
    return City(Buildings(np.array(polygons, dtype=object), np.array(heights), np.array(structures)))


def one(polygon, height=10.0):
    return City(Buildings(np.array([polygon], dtype=object), np.array([float(height)]), np.array([0])))


@pytest.fixture(scope='module')
def city():
    return town()


@pytest.fixture(scope='module')
def tile(city):
    return render_tile(city, CORNER, SIZE, View(1.0, 30, 70), SUN, seed=1)


def test_types_and_shapes_are_those_promised(tile):
    assert (tile.image.shape, tile.image.dtype) == ((128, 128, 3), np.uint8)
    for ids in (tile.roof_ids, tile.facade_ids, tile.footprint_ids):
        assert (ids.shape, ids.dtype) == ((128, 128), np.int32)
    assert (tile.height_map_m.shape, tile.height_map_m.dtype) == ((128, 128), np.float32)


def test_tiles_need_not_be_square(city, tile):
    part = render_tile(city, CORNER, (80, 110), View(1.0, 30, 70), SUN, seed=1)
    assert part.image.shape == (80, 110, 3)
    assert np.all((part.roof_ids > 0) == (tile.roof_ids > 0)[:80, :110])


def test_zero_angle_makes_roofs_footprints_and_shows_no_facade(city):
    tile = render_tile(city, CORNER, SIZE, View(1.0), SUN, seed=1)
    assert np.array_equal(tile.roof_ids, tile.footprint_ids)
    assert not tile.facade_ids.any()
    assert tile.roof_ids.any()


def test_the_offset_grows_linearly_with_height():
    box = shapely.box(1040, 2040, 1060, 2060)
    rows = []
    for height in (0, 20, 40):
        tile = render_tile(one(box, height), CORNER, SIZE, View(1.0, 45, 0), SUN, seed=0)
        rows.append(np.flatnonzero(tile.roof_ids.any(axis=1)).min())
        assert tile.records[0].offset_px == pytest.approx((0, -height))
    assert rows == [68, 48, 28]


def test_turning_the_azimuth_is_turning_the_city():
    city, middle = town(3), (1064, 2064)
    turned = np.array([affinity.rotate(p, -90, origin=middle) for p in city.buildings.polygons], dtype=object)
    turned = City(Buildings(turned, city.buildings.heights_m, city.buildings.structures))
    first = render_tile(city, CORNER, SIZE, View(1.0, 30, 25), Sun(40, 10), seed=0)
    second = render_tile(turned, CORNER, SIZE, View(1.0, 30, 115), Sun(40, 100), seed=0)
    differs = np.abs(np.rot90(first.height_map_m, -1) - second.height_map_m) > 2e-3
    assert differs.mean() < 1e-3
    assert (np.rot90(first.roof_ids, -1) != second.roof_ids).mean() < 1e-3


def test_visible_masks_never_overlap_and_together_are_the_mask(tile):
    roof, facade = tile.roof_ids > 0, tile.facade_ids > 0
    assert not (roof & facade).any()
    assert np.array_equal(roof | facade, tile.height_map_m > 0)
    visible = tile.roof_ids + tile.facade_ids
    instances = [visible == record.instance for record in tile.records]
    assert np.array_equal(np.sum(instances, axis=0), (visible > 0).astype(int))


def test_records_number_what_the_maps_show_from_one_without_gaps(tile, city):
    shown = np.unique(np.concatenate([tile.roof_ids, tile.facade_ids, tile.footprint_ids]))
    assert shown[1:].tolist() == [record.instance for record in tile.records] == list(range(1, len(tile.records) + 1))
    structures = [record.structure for record in tile.records]
    assert structures == sorted(structures)
    for record in tile.records:
        tiers = city.buildings.structures == record.structure
        assert record.tiers == tiers.sum()
        assert record.height_m == city.buildings.heights_m[tiers].max()
        highest = tile.height_map_m[tile.roof_ids == record.instance]
        assert not len(highest) or highest.max() <= record.height_m + 1e-3


def test_footprints_are_whole_even_where_they_are_hidden():
    hidden, tower = shapely.box(1050, 2062, 1056, 2066), shapely.box(1040, 2040, 1066, 2060)
    buildings = Buildings(np.array([hidden, tower], dtype=object), np.array([3.0, 40.0]), np.array([0, 1]))
    tile = render_tile(City(buildings), CORNER, SIZE, View(1.0, 30, 0), SUN, seed=0)
    assert (tile.footprint_ids == 1).sum() == 24
    assert not (tile.roof_ids == 1).any()
    assert [record.visible_share for record in tile.records] == [0, 1]


def test_the_visible_share_counts_what_the_border_cuts_off():
    tile = render_tile(one(shapely.box(980, 2040, 1020, 2060)), CORNER, SIZE, View(1.0), SUN, seed=0)
    assert tile.records[0].visible_share == pytest.approx(0.5)


def test_unknown_heights_are_drawn_low_and_stay_unknown():
    tile = render_tile(one(shapely.box(1040, 2040, 1060, 2060), np.nan), CORNER, SIZE, View(1.0, 20), SUN, seed=0)
    assert 0 < tile.height_map_m.max() < 12
    assert np.isnan(tile.records[0].height_m)
    assert np.isnan(tile.records[0].offset_px).all()


def test_buildings_beyond_the_border_lean_into_the_tile():
    tile = render_tile(one(shapely.box(980, 2040, 995, 2060), 40), CORNER, SIZE, View(1.0, 45, 90), SUN, seed=0)
    assert not tile.footprint_ids.any()
    assert (tile.roof_ids == 1).sum() == 15 * 20
    assert (tile.facade_ids == 1).any()


def test_the_seed_decides_everything_random(city, tile):
    again = render_tile(city, CORNER, SIZE, View(1.0, 30, 70), SUN, seed=1)
    other = render_tile(city, CORNER, SIZE, View(1.0, 30, 70), SUN, seed=2)
    assert np.array_equal(tile.image, again.image)
    assert not np.array_equal(tile.image, other.image)
    assert np.array_equal(tile.height_map_m, other.height_map_m)


@pytest.mark.parametrize('with_roads', [False, True])
def test_neighboring_tiles_agree(with_roads):
    city = town()
    if with_roads:
        roads = np.array([shapely.box(900, 2044, 1200, 2050), shapely.box(1044, 1900, 1050, 2200)], dtype=object)
        city = City(city.buildings, roads, np.array([shapely.box(1000, 2000, 1040, 2040)], dtype=object))
    view = View(1.0, 30, 70)
    whole = render_tile(city, CORNER, (128, 192), view, SUN, 0, PERFECT)
    left = render_tile(city, CORNER, (128, 96), view, SUN, 0, PERFECT)
    right = render_tile(city, (CORNER[0] + 96, CORNER[1]), (128, 96), view, SUN, 0, PERFECT)
    heights = np.hstack([left.height_map_m, right.height_map_m])
    assert np.array_equal(heights, whole.height_map_m)
    structure = [np.array([-1, *(r.structure for r in t.records)])[t.roof_ids] for t in (left, right, whole)]
    assert np.array_equal(np.hstack(structure[:2]), structure[2])
    difference = np.abs(np.hstack([left.image, right.image]).astype(int) - whole.image).max(axis=2)
    assert (difference > 12).mean() < 4e-3


def shadow_by_rays(city, seen, x, y, sun):
    """Whether the segment from each seen point towards the sun passes through a prism."""
    lit_px = np.ones(seen.height_m.size, dtype=bool)
    heights, direction = seen.height_m.ravel().astype(float) + 0.05, -sun.shadow_m
    for polygon, top in zip(city.buildings.polygons, city.buildings.heights_m, strict=True):
        climb = np.maximum(top - heights, 0)[:, None] * direction
        points = np.column_stack([x.ravel(), y.ravel()]).astype(float)
        lower = points + 0.3 * direction / np.linalg.norm(direction)
        rays = shapely.linestrings(np.stack([lower, points + climb], axis=1))
        lit_px &= ~(shapely.intersects(rays, polygon) & (climb != 0).any(axis=1))
    return lit_px.reshape(seen.height_m.shape)


@pytest.mark.parametrize('sun', [Sun(35, 60), Sun(60, 300)])
def test_shadows_fall_where_rays_to_the_sun_are_blocked(city, sun):
    frame, offset = Frame(*CORNER, 1.0, (96, 96)), View(1.0, 25, 200).offset_m(1.0)
    seen = see(city, frame, offset)
    points = seen_points(frame, seen, offset)
    ours = lit(city, frame, seen, points, sun)
    expected = shadow_by_rays(city, seen, points.x_m + points.anchor_m[0], points.y_m + points.anchor_m[1], sun)
    flat = (seen.surface == GROUND) | (seen.surface >= len(city.wall_prisms))
    assert 0.1 < expected[flat].mean() < 0.9
    assert (ours != expected)[flat].mean() < 0.06


def test_shadows_are_darker_than_sunlit_ground():
    city = one(shapely.box(1050, 2050, 1070, 2070), 30)
    tile = render_tile(city, CORNER, SIZE, View(1.0), Sun(45, 180), 0, PERFECT)
    assert tile.image[32:55, 52:68].mean() < 0.7 * tile.image[80:100, 52:68].mean()


def test_color_alone_does_not_tell_buildings_from_ground(tile):
    gray = tile.image.mean(axis=2)
    building = tile.roof_ids > 0
    limits = np.percentile(gray, np.arange(0, 101, 5))
    best = max(((gray > limit) == building).mean() for limit in limits)
    assert best < max(building.mean(), 1 - building.mean()) + 0.2


@pytest.mark.parametrize('elevation_deg', [0, -5, 91])
def test_suns_below_the_horizon_are_refused(elevation_deg):
    with pytest.raises(ValueError, match='elevation_deg'):
        Sun(elevation_deg, 0)
