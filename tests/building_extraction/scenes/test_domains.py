import numpy as np
import pytest
import shapely

from projects.building_extraction.scenes.areas import Demand, Places, divide_ground, place_tiles
from projects.building_extraction.scenes.domains import Domain, default_domains


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


def clustered_places():
    """Low buildings everywhere, 40 towers in the middle of a square of 1 km."""
    random = np.random.default_rng(0)
    low, towers = random.uniform(0, 1000, (800, 2)), random.uniform(350, 650, (40, 2))
    return Places(np.vstack([low, towers]), np.repeat([0, 1], [800, 40]), 2)


def test_places_are_counted_per_class():
    places = Places(np.array([[1, 1], [2, 2], [9, 9], [2, 8]]), np.array([0, 1, 1, 0]), 2)
    counts = places.count(np.array([[0, 0, 5, 5], [0, 0, 10, 10], [5, 0, 9, 5]]))
    assert counts.tolist() == [[1, 1], [2, 2], [0, 0]]


def test_no_roof_can_be_seen_from_two_areas():
    demands = {'source': Demand(6, 80), 'target': Demand(2, 20), 'test': Demand(2, 10)}
    areas = divide_ground((0, 0, 1000, 1000), demands, clustered_places(), 100)
    for first in demands:
        for second in demands:
            if first < second:
                distance = shapely.box(*areas[first]).distance(shapely.box(*areas[second]))
                assert distance >= demands[first].reach_m + demands[second].reach_m - 1e-6


def test_towers_in_one_cluster_are_shared_by_all_areas():
    demands = {name: Demand(share, 10) for name, share in (('a', 2), ('b', 1), ('c', 1))}
    places = clustered_places()
    areas = divide_ground((0, 0, 1000, 1000), demands, places, 100)
    counts = places.count(np.array(list(areas.values())))
    assert (counts[:, 1] >= 0.7 * np.array([20, 10, 10])).all()


def test_ground_is_shared_out_as_asked():
    demands = {'a': Demand(3, 0), 'b': Demand(1, 0)}
    areas = divide_ground((0, 0, 1000, 1000), demands, clustered_places(), 100)
    west, south, east, north = areas['a']
    assert (east - west) * (north - south) == pytest.approx(750_000)


def test_too_little_ground_is_refused_with_the_way_out():
    demands = {'a': Demand(1, 400), 'b': Demand(1, 400)}
    with pytest.raises(ValueError, match=r'too small for tiles of 300 m.*larger city'):
        divide_ground((0, 0, 1000, 1000), demands, clustered_places(), 300)


def test_tiles_do_not_overlap_as_long_as_they_fit():
    area = np.array([0.0, 0, 1000, 500])
    where = place_tiles(area, 30, 100, clustered_places(), np.random.default_rng(0))
    boxes = shapely.box(where[:, 0], where[:, 1] - 100, where[:, 0] + 100, where[:, 1])
    assert shapely.union_all(boxes).area == pytest.approx(30 * 100**2)
    assert shapely.covers(shapely.box(*area), boxes).all()


def test_more_tiles_than_fit_stay_within_the_area():
    area = np.array([0.0, 0, 350, 200])
    where = place_tiles(area, 20, 100, clustered_places(), np.random.default_rng(0))
    boxes = shapely.box(where[:, 0], where[:, 1] - 100, where[:, 0] + 100, where[:, 1])
    assert len(np.unique(where, axis=0)) == 20
    assert shapely.covers(shapely.box(*area).buffer(1e-6), boxes).all()
    assert shapely.union_all(boxes[:6]).area == pytest.approx(6 * 100**2)


def test_an_area_without_buildings_is_refused():
    with pytest.raises(ValueError, match='holds no building'):
        place_tiles(np.array([2000.0, 0, 3000, 500]), 3, 100, clustered_places(), np.random.default_rng(0))
