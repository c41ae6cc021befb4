import numpy as np
import pytest
import shapely
from scipy import ndimage

from projects.geodata.polygons import simplification
from projects.geodata.polygons.pixel_regions import find_regions
from projects.geodata.polygons.simplification import MANY_CORNERS, _stay_near, simplify_outlines


def outlines(seed, sigma=0.7, size=150):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return find_regions(noise > 0, []).polygons


def simplified(polygons, tolerance=1.0):
    return simplify_outlines(polygons, tolerance, np.ones(2), lambda points: points)


@pytest.mark.parametrize('tolerance', [1.0, 2.5])
def test_no_outline_moves_farther_than_the_tolerance_or_breaks(tolerance):
    for seed in (0, 2, 4, 6):
        polygons = outlines(seed)
        found = simplified(polygons, tolerance)
        assert shapely.hausdorff_distance(found, polygons).max() <= tolerance * (1 + 1e-6)
        assert shapely.is_valid(found).all()


def test_outlines_with_very_many_holes_move_no_farther_and_do_not_break(monkeypatch):
    polygons = np.concatenate([outlines(seed, sigma) for seed, sigma in ((0, 0.7), (2, 2))])
    holes = shapely.get_num_interior_rings(polygons)
    expected = simplified(polygons)
    monkeypatch.setattr(simplification, 'MANY_HOLES', 3)
    found = simplified(polygons)
    assert (holes > 3).any()
    assert shapely.is_valid(found).all()
    assert shapely.hausdorff_distance(polygons, found).max() <= 1.0 + 1e-9
    assert shapely.equals(found[holes <= 3], expected[holes <= 3]).all()
    corners = shapely.get_num_coordinates(np.stack([polygons, expected, found]))[:, holes > 3].sum(axis=1)
    assert corners[2] < 0.75 * corners[0]  # as a rule they are simplified, not left as they are


def test_long_outlines_are_compared_as_short_ones_are():
    polygons = np.concatenate([outlines(seed, sigma) for seed, sigma in ((0, 0.7), (2, 2), (4, 4))])
    coarse = shapely.simplify(polygons, 2.0)
    distances = shapely.hausdorff_distance(polygons, coarse)
    is_long = shapely.get_num_coordinates(polygons) > MANY_CORNERS
    for limit in (1.0, 1.5, 1.9):
        near = _stay_near(polygons, coarse, limit)
        np.testing.assert_array_equal(near, distances <= limit)
    assert near[is_long].any()
    assert not near[is_long].all()


def test_small_buildings_keep_their_area():
    boxes = shapely.box(0, 0, np.array([1, 2, 3, 2]), np.array([1, 1, 1, 2]))
    np.testing.assert_allclose(shapely.area(simplified(boxes, 3.0)), [1, 2, 3, 4], rtol=0.1)


def test_rings_do_not_keep_the_point_where_they_happened_to_start():
    size, corners = 80, []
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    for angle in np.radians(range(3, 90, 3)):
        along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
        found = simplified(find_regions((abs(along) < 30) & (abs(across) < 15), []).polygons, 1.25)
        corners.append(shapely.get_num_coordinates(found)[0] - 1)
    assert np.median(corners) == 4
