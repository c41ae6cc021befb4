import numpy as np
import pytest
import shapely

from projects.city_scenes.areas import Demand, Places, divide_ground, place_tiles
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, default_domains


def test_angles_are_drawn_within_their_ranges_and_differ_from_tile_to_tile():
    domain = Domain(9, off_nadir_deg=(10, 40), azimuth_deg=(350, 370), sun_elevation_deg=(20, 30))
    random = np.random.default_rng(0)
    flights = [domain.draw(0.5, random) for _ in range(300)]
    angles = np.array([flight.view.off_nadir_deg for flight in flights])
    assert 10 <= angles.min() < 12
    assert 38 < angles.max() <= 40
    azimuths = np.array([flight.view.azimuth_deg for flight in flights])
    assert ((azimuths >= 350) | (azimuths <= 10)).all()
    assert all(20 <= flight.sun.elevation_deg <= 30 for flight in flights)
    assert all(flight.view.gsd_m == 0.5 for flight in flights)


def test_the_registration_error_is_the_spread_of_each_axis():
    domain, random = Domain(1, registration_error_m=1.5), np.random.default_rng(0)
    moved = np.array([domain.draw(1, random).displacement_m for _ in range(4000)])
    assert np.allclose(moved.mean(axis=0), 0, atol=0.1)
    assert np.allclose(moved.std(axis=0), 1.5, atol=0.07)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.05


def test_without_registration_error_labels_stay():
    assert Domain(1).draw(1, np.random.default_rng(0)).displacement_m == (0.0, 0.0)


def test_lean_is_the_tangent_of_the_largest_angle():
    assert Domain(1, off_nadir_deg=(0, 45)).lean == pytest.approx(1)


def test_the_default_source_is_noisy_and_the_rest_is_clean():
    domains = default_domains(4, 3, 2, 1)
    assert [domain.num_tiles for domain in domains.values()] == [4, 3, 2, 1]
    assert domains['source'].label == 'footprint'
    assert domains['source'].off_nadir_deg == (10, 40)
    assert domains['source'].registration_error_m == 1.5
    for name in ('target', 'val', 'test'):
        assert (domains[name].label, domains[name].registration_error_m) == ('roof', 0)
        assert domains[name].off_nadir_deg == (0, 10)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_tiles': 0}, 'num_tiles = 0'),
        ({'label': 'wall'}, 'roof, footprint, visible'),
        ({'off_nadir_deg': (30, 10)}, 'off_nadir_deg'),
        ({'off_nadir_deg': (0, 90)}, '0 to 75'),
        ({'registration_error_m': -1}, 'registration_error_m = -1'),
        ({'registration_error_m': float('nan')}, 'registration_error_m = nan'),
        ({'sun_elevation_deg': (0, 90)}, '5 to 90'),
        ({'azimuth_deg': (0, float('inf'))}, 'azimuth_deg'),
    ],
)
def test_impossible_domains_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Domain(**({'num_tiles': 1} | wrong))


def places_at(points, heights, side=4.0, classes=None):
    """Square buildings around points."""
    points, heights = np.asarray(points, float), np.asarray(heights, float)
    low, high = (points - side / 2).T, (points + side / 2).T
    city = City(Buildings(shapely.box(*low, *high), heights, np.arange(len(points))))
    classes = (heights > 20).astype(int) if classes is None else np.array(classes)
    return Places(city, classes, 2)


def clustered_places():
    """Low buildings everywhere, 40 towers in the middle of a square of 1 km."""
    random = np.random.default_rng(0)
    low, towers = random.uniform(2, 998, (800, 2)), random.uniform(350, 650, (40, 2))
    return places_at(np.vstack([low, towers]), np.repeat([5, 60], [800, 40]))


def divide(demands, places, tile_m=50.0, seed=0):
    return divide_ground(demands, places, tile_m, np.random.default_rng(seed))


def test_places_are_counted_per_class():
    places = places_at([[1, 1], [2, 2], [9, 9], [2, 8]], [5] * 4, 0.1, classes=[0, 1, 1, 0])
    counts = places.count(np.array([[0, 0, 5, 5], [0, 0, 10, 10], [5, 0, 9, 5]]))
    assert counts.tolist() == [[1, 1], [2, 2], [0, 0]]


def test_a_tile_shows_others_as_far_as_they_lean_and_labels_are_displaced():
    places = places_at([[50, 50], [150, 50]], [10, 30])  # the second one's western wall is at 148
    own = np.array([True, False])
    for demand, first_m in ((Demand(1), 98), (Demand(1, lean=1.0), 68), (Demand(1, lean=1.0, margin_m=5), 63)):
        southwest = np.array([[first_m - 0.1, 0.0], [first_m + 0.1, 0.0]])
        assert places.show_others(southwest, 50, own, demand).tolist() == [False, True]


def test_areas_hold_tiles_of_their_own_buildings_alone():
    demands = {'source': Demand(6, 0.84, 3), 'target': Demand(2, 0.2), 'test': Demand(2, 0.1)}
    places = clustered_places()
    areas = divide(demands, places)
    assert np.sum([area.own for area in areas.values()], axis=0).tolist() == [1] * 840
    for name, area in areas.items():
        assert len(area.cells_m) > 5
        assert not places.show_others(area.cells_m, 50, area.own, demands[name]).any()


def test_towers_in_one_cluster_are_shared_by_all_areas():
    demands = {name: Demand(share, 0.1) for name, share in (('a', 2), ('b', 1), ('c', 1))}
    areas = divide(demands, clustered_places())
    towers = np.array([area.own[800:].sum() for area in areas.values()])
    assert (towers >= 0.6 * np.array([20, 10, 10])).all()


def test_ground_is_shared_out_as_asked_but_for_chance():
    west, south, east, north = divide({'a': Demand(3), 'b': Demand(1)}, clustered_places())['a'].bounds_m
    assert (east - west) * (north - south) == pytest.approx(750_000, rel=0.15)


def test_another_seed_divides_the_ground_in_another_way():
    demands, places = {'a': Demand(3), 'b': Demand(1)}, clustered_places()
    first, same, other = (divide(demands, places, seed=seed)['a'].bounds_m for seed in (0, 0, 1))
    assert (first == same).all()
    assert (first != other).any()


def test_a_building_far_off_costs_no_memory_and_no_ground():
    places = clustered_places()
    points = np.vstack([places.points_m, [[5e8, -3e7]]])
    far = places_at(points, np.append(places.city.buildings.heights_m, 5))
    demands = {'a': Demand(3, 0.2), 'b': Demand(1, 0.2)}
    cells = [sum(len(area.cells_m) for area in divide(demands, some).values()) for some in (places, far)]
    assert cells[1] > 0.9 * cells[0]


def test_a_tower_costs_the_places_around_it_alone():
    points = np.stack(np.meshgrid(np.arange(10, 2000, 20), np.arange(10, 2000, 20)), axis=-1).reshape(-1, 2)
    heights = np.full(len(points), 5.0)
    heights[len(points) // 2] = 300
    areas = divide({'a': Demand(3, 0.84), 'b': Demand(1, 0.1)}, places_at(points, heights), 100.0)
    assert sum(len(area.cells_m) for area in areas.values()) > 0.75 * 400


def test_splits_that_ask_for_less_than_a_tile_get_more_ground():
    demands = {'a': Demand(100), 'b': Demand(1, 1.0), 'c': Demand(1, 1.0)}
    areas = divide(demands, clustered_places(), 150.0)
    assert all(len(area.cells_m) for area in areas.values())
    assert len(areas['a'].cells_m) > 2 * len(areas['b'].cells_m)


def test_too_little_ground_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r'too small for tiles of 300 m.*leans up to 600 m.*larger city'):
        divide({'a': Demand(1, 10), 'b': Demand(1, 5)}, clustered_places(), 300.0)


def placed(num_tiles, demand=None):
    """Tiles of one of two splits, and its area."""
    demand, places = demand or Demand(1), clustered_places()
    area = divide({'a': demand, 'b': demand}, places)['a']
    where = place_tiles(area, num_tiles, 50, places, demand, np.random.default_rng(0))
    return shapely.box(where[:, 0], where[:, 1] - 50, where[:, 0] + 50, where[:, 1]), area, places


def test_tiles_do_not_overlap_as_long_as_they_fit():
    boxes, area, _ = placed(30)
    assert shapely.union_all(boxes).area == pytest.approx(30 * 50**2)
    assert shapely.covers(shapely.box(*area.bounds_m).buffer(1e-6), boxes).all()


def test_more_tiles_than_fit_stay_within_the_area_and_show_its_own_buildings_alone():
    demand = Demand(1, 0.5)
    boxes, area, places = placed(800, demand)
    southwest = shapely.bounds(boxes)[:, :2]
    assert len(np.unique(southwest, axis=0)) > 790
    assert shapely.covers(shapely.box(*area.bounds_m).buffer(1e-6), boxes).all()
    assert shapely.union_all(boxes[: len(area.cells_m)]).area == pytest.approx(len(area.cells_m) * 50**2)
    assert not places.show_others(southwest, 50, area.own, demand).any()
