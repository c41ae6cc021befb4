"""Noise, ground, facades and the camera."""

import numpy as np
import pytest
import shapely

from projects.city_scenes.buildings import Buildings
from projects.city_scenes.camera import Camera
from projects.city_scenes.city import City
from projects.city_scenes.facades import paint_facades
from projects.city_scenes.frame import Frame
from projects.city_scenes.ground import plan_ground, polygon_mask, resample
from projects.city_scenes.ground_objects import cars, trees
from projects.city_scenes.points import Points
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.textures import ANCHOR_M, anchor, clouds, grain, texel_m, uniform
from projects.city_scenes.view import View

FRAME = Frame(320000.0, 5812000.0, 0.5, (160, 200))


def blocks(gap_m, height_m=20.0):
    """Two rows of touching houses on either side of a street of some width, well beyond the tile."""
    west = 319900 + 10.0 * np.arange(40)
    south = np.repeat([5811940 - 15 - gap_m / 2, 5811940 + gap_m / 2], len(west))
    boxes = shapely.box(np.tile(west, 2), south, np.tile(west, 2) + 10, south + 15)
    return City(Buildings(boxes, np.full(len(boxes), height_m), np.arange(len(boxes))))


def at(frame):
    east, north = frame.places(anchor(frame.west_m, frame.north_m))
    return tuple(np.ascontiguousarray(v) for v in np.broadcast_arrays(east, north))


def test_whole_numbers_hash_evenly_and_always_alike():
    rows, columns = np.mgrid[-200:200, -200:200]
    draw = uniform(3, rows, columns)
    assert 0 <= draw.min() < draw.max() < 1
    counts = np.histogram(draw, 10, (0, 1))[0] / draw.size
    assert np.abs(counts - 0.1).max() < 0.01
    assert abs(np.corrcoef(draw[:, 1:].ravel(), draw[:, :-1].ravel())[0, 1]) < 0.01
    assert np.array_equal(draw, uniform(3, rows.astype(np.float32), columns.astype(np.int16)))
    assert not np.array_equal(draw, uniform(4, rows, columns))


@pytest.mark.parametrize('noise', [clouds, grain])
def test_noise_repeats_from_anchor_to_anchor(noise):
    x, y = at(FRAME)
    assert np.abs(noise(x, y, 0.5) - noise(x + np.float32(ANCHOR_M), y, 0.5)).mean() < 0.02
    x, y = np.meshgrid(np.arange(1000, dtype=np.float32), np.arange(1000, dtype=np.float32))
    whole = noise(x, y, 1.0)
    assert (whole.mean(), whole.std()) == pytest.approx((0, 1), abs=0.02)


@pytest.mark.parametrize(('finest', 'expected'), [(0.1, 0.25), (0.25, 0.25), (0.3, 0.5), (1.2, 2.0), (30, 4.0)])
def test_texels_are_no_finer_than_the_pixels_and_repeat_within_an_anchor(finest, expected):
    assert texel_m(finest) == expected
    assert ANCHOR_M % (1000 * texel_m(finest)) == 0


def test_resampling_keeps_a_plane_a_plane():
    source = Frame(0, 100, 1.0, (100, 100))
    east, north = source.places(np.zeros(2))
    target = Frame(20.3, 70.1, 0.4, (50, 60))
    wanted_east, wanted_north = target.places(np.zeros(2))
    plane = resample(np.ascontiguousarray(east + 2 * north), source, target)
    assert np.abs(plane - (wanted_east + 2 * wanted_north)).max() < 0.15


def test_masks_of_polygons_leave_holes_out_and_cut_what_lies_beyond():
    frame = Frame(0, 10, 1.0, (10, 10))
    ring = shapely.box(-500, 2, 8, 8).difference(shapely.box(3, 3, 6, 6))
    mask = polygon_mask(np.array([ring], dtype=object), frame)
    assert mask.sum() == 8 * 6 - 9
    assert not mask[4:7, 3:6].any()


def test_streets_are_invented_where_buildings_stand_apart():
    wide, narrow = (plan_ground(blocks(gap), FRAME) for gap in (24, 6))
    middle = tuple(wide.frame.to_px(np.array([320050.0, 5811940.0])).astype(int)[::-1])
    assert wide.kerb_m[middle] > 4
    assert narrow.kerb_m[middle] < -3


def test_given_roads_are_kept_and_the_kerb_runs_along_them():
    road = shapely.box(319000, 5811936, 321000, 5811944)
    plan = plan_ground(City(blocks(24).buildings, np.array([road], dtype=object)), FRAME)
    _, north = plan.frame.places(np.zeros(2))
    inside = np.abs(north - 5811940).ravel()
    assert np.all(plan.kerb_m[inside < 3] > 0)
    assert np.all(plan.kerb_m[inside > 5] < 0)


def test_vegetation_grows_where_it_is_given():
    park = np.array([shapely.box(320010, 5811930, 320060, 5811950)], dtype=object)
    plan = plan_ground(City(blocks(24).buildings, vegetation=park), FRAME)
    inside = polygon_mask(park, plan.frame)
    assert plan.green[inside].min() > 0.25
    assert plan.green[inside].mean() > plan.green[~inside].mean() + 2


def test_cars_stand_in_bays_well_inside_car_parks():
    road = np.array([shapely.box(319000, 5811936, 321000, 5811944)], dtype=object)
    lot = np.array([shapely.box(320010, 5811950, 320060, 5811990)], dtype=object)
    city = blocks(24)
    without, on_cars = (
        set(cars(plan_ground(City(city.buildings, road, car_parks=parks), FRAME), FRAME, np.zeros(2))[0].tolist())
        for parks in (np.empty(0, dtype=object), lot)
    )
    parked = np.zeros(FRAME.size_px, dtype=bool)
    parked.ravel()[list(on_cars - without)] = True
    inside = polygon_mask(lot, FRAME)
    assert parked[inside].mean() > 0.05
    assert not parked[~inside].any()


def test_cars_stand_on_roads_and_trees_do_not():
    city = blocks(24)
    plan = plan_ground(city, FRAME)
    kerb = resample(plan.kerb_m, plan.frame, FRAME).ravel()
    on_cars, colors = cars(plan, FRAME, np.zeros(2))
    crowns, leaves, _ = trees(plan, FRAME, np.zeros(2))
    assert len(on_cars) > 50
    assert len(crowns) > 50
    assert (kerb[on_cars] > -0.5).mean() > 0.95
    assert np.mean((kerb[crowns] < 3) | (kerb[crowns] > plan.widest_m - 3)) > 0.95
    assert colors.shape == (3, len(on_cars))
    assert (leaves[1] > leaves[2]).all()


def facade(wall, height_m, sun, gsd_m=0.1):
    city = City(Buildings(np.array([shapely.box(0, 0, 30, 30)], dtype=object), np.array([60.0]), np.array([0])))
    middle = (city.walls.starts_m + city.walls.ends_m) / 2
    edge = int(np.argmin(np.linalg.norm(middle - wall, axis=1)))
    along = np.linspace(0, 1, 400)[:, None]
    places = (city.walls.starts_m[edge] + along * (city.walls.ends_m - city.walls.starts_m)[edge]).astype(np.float32)
    heights, none = np.full(len(along), height_m, dtype=np.float32), np.zeros(len(along), dtype=np.float32)
    points = Points(np.zeros(2), *places.T, heights, none, none)
    return paint_facades(city, np.full(len(along), edge, dtype=np.int32), points, View(gsd_m, 30), sun)


def test_walls_take_light_by_their_angle_to_the_sun():
    sun = Sun(30, 180)
    assert facade((15, 0), 20, sun)[1] == pytest.approx(1 / np.tan(np.radians(30)))
    for turned_away in ((15, 30), (0, 15), (30, 15)):
        assert facade(turned_away, 20, sun)[1] == pytest.approx(0, abs=1e-6)


def test_windows_stand_in_floors_and_fade_when_pixels_are_too_large():
    sun, heights = Sun(30, 180), np.arange(10, 55, 0.1)
    sides = ((15, 0), (30, 15), (15, 30), (0, 15))
    fine = max((np.array([facade(side, h, sun)[0].mean() for h in heights]) for side in sides), key=np.std)
    assert fine.std() > 3
    spectrum = np.abs(np.fft.rfft(fine - fine.mean()))
    assert 2.8 < len(heights) * 0.1 / spectrum.argmax() < 3.9
    rough = [facade(side, 20, sun, gsd_m=20)[0].mean(axis=0) for side in sides]
    assert max(np.std(line) for line in rough) < 20


def test_the_camera_without_faults_changes_nothing():
    radiance = np.random.default_rng(0).uniform(0, 255, (3, 20, 30)).astype(np.float32)
    image = Camera(blur_px=0, noise=0, haze=0, variation=0).expose(radiance, 5)
    assert np.array_equal(image, np.floor(radiance + 0.5).astype(np.uint8).transpose(1, 2, 0))


def test_noise_blur_and_haze_do_what_they_say():
    gray = np.full((3, 200, 200), 120, dtype=np.float32)
    noisy = Camera(blur_px=0, noise=4, haze=0, variation=0).expose(gray, 5)
    assert noisy.std() == pytest.approx(4, rel=0.05)
    assert not np.array_equal(noisy, Camera(blur_px=0, noise=4, haze=0, variation=0).expose(gray, 6))
    black = np.zeros((3, 9, 9), dtype=np.float32)
    assert Camera(blur_px=0, noise=0, haze=0.5, variation=0).expose(black, 5)[0, 0].tolist() == [89, 95, 104]
    black[:, 4, 4] = 255
    assert Camera(blur_px=1, noise=0, haze=0, variation=0).expose(black, 5)[4, 4, 0] == pytest.approx(41, abs=3)


def test_too_much_light_is_white_and_none_is_black():
    radiance = np.stack([np.full((4, 4), v, dtype=np.float32) for v in (900, -50, 10)])
    image = Camera(blur_px=0, noise=0, haze=0, variation=0).expose(radiance, 0)
    assert image[0, 0].tolist() == [255, 0, 10]
