"""Scores of sets of polygons, by hand and by what must hold of any."""

import numpy as np
import pytest
import shapely
from shapely import box

from projects.building_extraction.evaluation.polygon_comparison import compare_polygons
from projects.building_extraction.height_classes import HeightClasses

CLASSES = HeightClasses((12.0,), ('low', 'high'))


def array(*polygons):
    result = np.empty(len(polygons), object)
    result[:] = polygons
    return result


def statistics(found, labeled, heights_m=None, scores=None, band_m=1.0):
    heights_m = np.full(len(labeled), 5.0) if heights_m is None else np.array(heights_m)
    return compare_polygons(found, labeled, heights_m, CLASSES, band_m, scores).statistics(CLASSES)


def test_equal_sets_are_perfect():
    labeled = array(box(0, 0, 10, 10), box(10, 0, 20, 10), box(30, 0, 40, 10).difference(box(33, 3, 37, 7)))
    overall = statistics(labeled[[2, 0, 1]], labeled)['overall']
    for name in ('f1', 'boundary_ap', 'iou', 'c_iou', 'boundary_iou', 'right_angles', 'holes_kept'):
        assert overall[name] == pytest.approx(100)
    assert (overall['polis_m'], overall['corner_ratio'], overall['overlapping']) == (0, 1, 0)


def test_a_distance_of_zero_counts_in_the_mean():
    labeled, found = array(box(0, 0, 10, 10), box(20, 0, 30, 10)), array(box(0, 0, 10, 10), box(22, 0, 32, 10))
    overall = statistics(found, labeled)['overall']
    assert overall['polis_m'] == pytest.approx((0 + 1) / 2)
    assert overall['iou'] == pytest.approx(100 * (1 + 80 / 120) / 2)


def test_each_true_polygon_is_matched_once_and_unmatched_ones_have_no_distance():
    labeled = array(box(0, 0, 10, 10))
    found = array(box(0, 0, 10, 10), box(0, 0, 10, 9), box(50, 0, 60, 10))
    overall = statistics(found, labeled)['overall']
    assert (overall['matched'], overall['polis_m']) == (1, 0)
    assert overall['precision'] == pytest.approx(100 / 3)


def test_classes_have_their_own_labels_and_false_alarms():
    labeled = array(box(0, 0, 10, 10), box(100, 0, 110, 10), box(200, 0, 210, 10))
    found = array(box(1, 0, 11, 10), box(120, 0, 130, 10), box(201, 0, 212, 10))
    table = statistics(found, labeled, [5, 50, np.nan])
    assert (table['low']['polis_m'], table['low']['f1']) == (0.5, 100)
    assert (table['high']['recall'], table['high']['precision']) == (0, 0)
    assert table['unknown height']['matched'] == 1
    assert table['overall']['found'] == sum(table[name]['found'] for name in ('low', 'high', 'unknown height'))


def test_boundary_ap_takes_the_lower_of_both_ious_and_matches_anew():
    labeled = array(box(0, 0, 20, 20))
    # IoU 380/420 = 0.905; bands of 76, of which 2 strips of 19 and none at the sides are shared: 38/114 = 0.33
    overall = statistics(array(box(1, 0, 21, 20)), labeled)['overall']
    assert overall['boundary_iou'] == pytest.approx(100 / 3)
    assert overall['boundary_ap'] == 0
    # with a band that fills all it is that of the IoU: 0.905 passes 9 of the 10 thresholds
    assert statistics(array(box(1, 0, 21, 20)), labeled, band_m=11)['overall']['boundary_ap'] == pytest.approx(90)
    # what is surest is not near enough for the strictest threshold; the other one is, and is second
    found = array(box(1, 0, 21, 20), box(0, 0, 20, 20))
    overall = statistics(found, labeled, scores=np.array([0.9, 0.5]), band_m=11)['overall']
    assert overall['boundary_ap'] == pytest.approx((9 * 100 + 50) / 10)


def test_repeated_points_are_no_corners():
    doubled = shapely.Polygon([(0, 0), (0, 0), (10, 0), (10, 10), (10, 10), (0, 10)])
    overall = statistics(array(doubled), array(box(0, 0, 10, 10)))['overall']
    assert (overall['corner_ratio'], overall['right_angles']) == (1, 100)


def test_neither_order_nor_place_matters():
    random = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(6), np.arange(6)), -1).reshape(-1, 2) * 20.0
    corners = np.concatenate([places, places + random.uniform(5, 15, (36, 2))], axis=1)
    labeled = array(*(box(*corner) for corner in corners))
    moved = array(*(shapely.affinity.translate(p, *random.normal(0, 1, 2)) for p in labeled[:30]))
    heights_m, scores, order = random.uniform(3, 30, 36), random.random(30), random.permutation(30)
    first = statistics(moved, labeled, heights_m, scores)
    second = statistics(moved[order], labeled, heights_m, scores[order])
    away = [shapely.transform(polygons, lambda points: points + 1000) for polygons in (moved, labeled)]
    third = statistics(*away, heights_m, scores)
    for name, row in first.items():
        assert second[name] == pytest.approx(row, nan_ok=True)
        assert third[name] == pytest.approx(row, nan_ok=True)
    assert 0 < first['overall']['boundary_ap'] < 100


def test_nothing_found_and_nothing_true():
    nothing, one = array(), array(box(0, 0, 1, 1))
    assert statistics(nothing, one)['overall']['recall'] == 0
    assert np.isnan(statistics(nothing, one)['overall']['polis_m'])
    overall = statistics(one, nothing)['overall']
    assert overall['precision'] == 0
    assert np.isnan(overall['boundary_ap'])
