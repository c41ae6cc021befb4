"""Measures of outlines, each against values worked out by hand."""

import numpy as np
import pytest
import shapely
from shapely import Polygon, box

from projects.building_extraction.evaluation.polygon_measures import (
    boundary_iou,
    c_iou,
    corner_counts,
    holes_kept,
    overlapped_areas,
    polis,
    right_angles,
)

SQUARE = box(0, 0, 10, 10)
RING = Polygon(SQUARE.exterior, [box(4, 4, 6, 6).exterior])


def array(*polygons):
    result = np.empty(len(polygons), object)
    result[:] = polygons
    return result


def one(function, first, second, *more):
    return function(array(first), array(second), *more)[0]


@pytest.mark.parametrize('d', [0, 0.5, 2, 5])
def test_polis_of_a_moved_square(d):
    # two of four corners leave the outline by d, the other two stay on it; from either side
    assert one(polis, SQUARE, box(d, 0, 10 + d, 10)) == pytest.approx(d / 2)


def test_polis_of_a_square_moved_along_both_axes():
    # (3, 4) lies inside, 3 from the left edge; (13, 4) 3 right of it; (13, 14) 5 from the corner; (3, 14) 4 above
    assert one(polis, SQUARE, box(3, 4, 13, 14)) == pytest.approx((3 + 3 + 5 + 4) / 4)


def test_polis_of_a_smaller_square_inside():
    # its corners are 2 away from the edges; the corners of the larger one sqrt(8) from its corners
    assert one(polis, SQUARE, box(2, 2, 8, 8)) == pytest.approx(2 / 2 + np.sqrt(8) / 2)


def test_collinear_corners_count_as_corners():
    more = Polygon([(1, 0), (6, 0), (11, 0), (11, 10), (1, 10)])  # the square moved by 1, with a corner amid an edge
    # of its five corners the two on the right are 1 off; two of the four true ones
    assert one(polis, SQUARE, more) == pytest.approx((2 / 4 + 2 / 5) / 2)
    assert corner_counts(array(SQUARE, more)).tolist() == [4, 5]


def test_polis_of_holes_and_of_several_parts():
    assert one(polis, RING, RING) == 0
    moved = Polygon(SQUARE.exterior, [box(4, 5, 6, 7).exterior])
    assert one(polis, RING, moved) == pytest.approx(2 / 8)  # two of eight corners are 1 off
    # the hole's corners are 4 from the square; none of the square's from the ring
    assert one(polis, SQUARE, RING) == pytest.approx(4 * 4 / 8 / 2)
    two = shapely.MultiPolygon([SQUARE, box(20, 0, 30, 10)])
    assert one(polis, two, shapely.MultiPolygon([SQUARE, box(20, 0, 33, 10)])) == pytest.approx(2 * 3 / 8 / 2)
    assert corner_counts(array(two, RING)).tolist() == [8, 8]


def test_polis_does_not_depend_on_order_start_or_direction():
    star = Polygon([(0, 0), (9, 1), (12, 8), (5, 5), (1, 9)])
    turned = Polygon([(12, 8), (9, 1), (0, 0), (1, 9), (5, 5)])
    assert one(polis, SQUARE, star) == pytest.approx(one(polis, turned, SQUARE))
    assert one(polis, star, turned) == 0


def test_c_iou():
    values = c_iou(np.array([1, 0.8, 0.8]), np.array([4, 12, 4]), np.array([4, 4, 12]))
    assert values == pytest.approx([1, 0.8 / 2, 0.8 / 2])


def test_boundary_iou_of_a_moved_square():
    # bands of 36; they share two strips of 9 x 1; the sides that are left and right lie beside one another
    assert one(boundary_iou, SQUARE, box(1, 0, 11, 10), 1) == pytest.approx(18 / 54)
    assert one(boundary_iou, SQUARE, SQUARE, 1) == pytest.approx(1)
    assert one(boundary_iou, SQUARE, box(50, 0, 60, 10), 1) == 0
    # where bands fill all it is the IoU
    assert one(boundary_iou, SQUARE, box(5, 0, 15, 10), 7) == pytest.approx(50 / 150)
    # a square of 4 in the middle lies wholly inside of the inner edge of the band
    assert one(boundary_iou, SQUARE, box(3, 3, 7, 7), 1) == 0
    # with a hole there is a band around it too, round outside of its corners, but for the circle's chords
    assert one(boundary_iou, RING, SQUARE, 1) == pytest.approx(36 / (36 + 4 * 2 + np.pi), abs=1e-3)


@pytest.mark.parametrize('seed', range(20))
def test_boundary_iou_is_that_of_the_bands(seed):
    random = np.random.default_rng(seed)
    first, second = (shapely.convex_hull(shapely.MultiPoint(random.uniform(0, 10, (6, 2)))) for _ in range(2))
    bands = [polygon.difference(polygon.buffer(-0.7)) for polygon in (first, second)]
    expected = bands[0].intersection(bands[1]).area / bands[0].union(bands[1]).area
    assert one(boundary_iou, first, second, 0.7) == pytest.approx(expected, abs=1e-9)


def test_right_angles():
    nearly = Polygon([(0, 0), (100, 0), (100 + 100 * np.tan(np.radians(4.9)), 100), (0, 100)])
    slanted = Polygon([(0, 0), (100, 0), (100 + 100 * np.tan(np.radians(5.1)), 100), (0, 100)])
    ell = Polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    more = Polygon([(0, 0), (5, 0), (10, 0), (10, 10), (0, 10)])
    diamond = shapely.affinity.rotate(SQUARE, 33)
    counts = right_angles(array(SQUARE, nearly, slanted, ell, more, diamond, RING, Polygon([(0, 0), (1, 0), (0, 1)])))
    assert counts.tolist() == [4, 4, 2, 6, 4, 4, 8, 1]


def test_overlaps_with_neighbours():
    areas = overlapped_areas(array(SQUARE, box(10, 0, 20, 10), box(8, 0, 12, 10), box(50, 0, 60, 10)))
    assert areas == pytest.approx([20, 20, 40, 0])  # walls that are shared are no overlap


def test_holes_kept():
    holes = Polygon(SQUARE.exterior, [box(1, 1, 2, 2).exterior, box(4, 4, 6, 6).exterior])
    found = array(holes, SQUARE, Polygon(SQUARE.exterior, [box(5, 4, 7, 6).exterior]), SQUARE)
    number, kept = holes_kept(found, array(holes, holes, holes, SQUARE))
    assert number.tolist() == [2, 2, 2, 0]
    assert kept.tolist() == [2, 0, 1, 0]  # half of the second hole is open
