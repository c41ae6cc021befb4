import numpy as np
import pytest
import shapely

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.preparation.scenes.finished_sets import fingerprint
from projects.city_scenes.city_plan import AVENUE_M, Centers, box_around, divide, plan_city, rectangle
from projects.city_scenes.procedural_city import MAX_HEIGHT_M, procedural_city


@pytest.fixture(scope='module')
def city():
    return procedural_city(1000, seed=3)


def test_every_class_of_height_is_well_represented(city):
    counts = np.bincount(HeightClasses().index(city.structure_heights_m), minlength=5)
    assert counts[:4].min() >= 10
    assert counts[0] > counts[1] > counts[2] > counts[3]
    assert counts[4] == 0


def test_the_upper_heights_are_spread_as_in_a_real_city(city):
    heights = city.structure_heights_m
    assert 5 < np.median(heights) < 25
    assert 25 < np.quantile(heights, 0.9) < 80
    assert 90 < np.quantile(heights, 0.99) <= MAX_HEIGHT_M == 250


def test_buildings_are_valid_polygons_some_with_courtyards_some_in_tiers(city):
    polygons = city.buildings.polygons
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_num_interior_rings(polygons) > 0).sum() >= 3
    assert (city.tiers > 1).sum() >= 20
    assert 0.15 < shapely.union_all(polygons).area / 1000**2 < 0.5


def test_all_ground_lies_within_the_square(city):
    for polygons in (city.buildings.polygons, city.roads, city.vegetation):
        west, south, east, north = shapely.total_bounds(polygons)
        assert min(west, south) >= -1e-6
        assert max(east, north) <= 1000 + 1e-6


def test_structures_are_numbered_without_gaps_and_do_not_overlap(city):
    structures = city.buildings.structures
    assert (np.unique(structures) == np.arange(structures.max() + 1)).all()
    polygons = city.buildings.polygons
    first, second = shapely.STRtree(polygons).query(polygons)
    others = structures[first] < structures[second]
    shared = shapely.area(shapely.intersection(polygons[first[others]], polygons[second[others]]))
    assert (shared < 1).all()


def test_no_building_stands_on_a_street():
    random_city = procedural_city(600, seed=1)
    plan = plan_city(600, np.random.default_rng(1))
    streets = shapely.union_all(plan.streets)
    assert shapely.area(shapely.intersection(random_city.buildings.polygons, streets)).max() < 0.1


def test_wide_streets_are_divided_and_narrow_ones_are_not():
    streets = plan_city(2000, np.random.default_rng(0)).streets
    assert set(shapely.get_type_id(streets)) == {shapely.GeometryType.POLYGON}
    widths_m = 2 * shapely.length(shapely.maximum_inscribed_circle(streets))
    whole = shapely.get_num_interior_rings(streets) == 0
    assert (~whole).any()
    assert widths_m.max() < AVENUE_M


def test_upper_tiers_stand_on_lower_ones(city):
    buildings = city.buildings
    for structure in np.flatnonzero(city.tiers == 2):
        tiers = np.flatnonzero(buildings.structures == structure)
        if len(tiers) == 2:
            low, high = tiers[np.argsort(buildings.heights_m[tiers])]
            if buildings.polygons[low].area > buildings.polygons[high].area:
                overlap = buildings.polygons[low].intersection(buildings.polygons[high]).area
                assert overlap > 0.99 * buildings.polygons[high].area


def test_equal_seeds_give_equal_cities_and_others_do_not(city):
    assert fingerprint(procedural_city(1000, seed=3)) == fingerprint(city)
    assert fingerprint(procedural_city(1000, seed=4)) != fingerprint(city)


def test_a_square_without_room_for_blocks_is_refused():
    with pytest.raises(ValueError, match='size_m = 100'):
        procedural_city(100)


def test_land_is_divided_without_loss():
    land = shapely.box(0, 0, 300, 200)
    pieces, strips = divide(land, lambda _: 5000, lambda length: 10.0, 3, np.random.default_rng(0))
    assert shapely.area(pieces).max() < 5000
    assert np.isclose(shapely.area(pieces).sum() + shapely.area(strips).sum(), land.area)
    assert shapely.union_all([*pieces, *strips]).symmetric_difference(land).area < 1e-6


def test_the_box_around_a_rotated_rectangle_has_its_sides():
    direction = np.array([0.6, 0.8])
    corner, along, across = box_around(rectangle(np.array([5.0, 5.0]), direction, (2.0, 7.0)))
    assert np.isclose(np.hypot(*along), 14)
    assert np.isclose(np.hypot(*across), 4)
    assert np.isclose(abs(along @ direction), 0)
    assert np.allclose(corner + along / 2 + across / 2, 5)


def test_density_falls_to_1_in_e_at_the_radius():
    centers = Centers(np.array([[0.0, 0.0]]), np.array([100.0]), np.array([0.8]))
    assert np.allclose(centers.density(np.array([[0.0, 0.0], [0.0, 100.0]])), [0.8, 0.8 / np.e])
