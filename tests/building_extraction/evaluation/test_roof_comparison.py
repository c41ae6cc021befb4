"""Roofs, footprints, offsets and heights of one image, by hand."""

import numpy as np
import pytest
import shapely

from projects.building_extraction.evaluation.bonai_evaluation import published_counts, published_scores
from projects.building_extraction.evaluation.roof_comparison import (
    WAYS,
    Detections,
    compare_roofs,
)
from projects.building_extraction.evaluation.roof_offset_scores import (
    class_confusion,
    detection_scores,
    height_scores,
    offset_scores,
)
from projects.building_extraction.evaluation.roof_samples import Roofs
from projects.building_extraction.height_classes import HeightClasses

CLASSES = HeightClasses((12.0,), ('low', 'high'))
NAN = float('nan')
EMPTY = shapely.Polygon()


def roofs(*rows):
    """Of (left, top, side, offset, height, score)."""
    boxes = np.array([shapely.box(x, y, x + side, y + side) for x, y, side, *_ in rows], dtype=object)
    offsets, heights, scores = zip(*(row[3:] for row in rows), strict=True) if rows else ((), (), ())
    return Roofs(boxes, np.reshape(offsets, (-1, 2)).astype(float), np.array(heights, float), np.array(scores, float))


def compare(found, labeled, ignored=EMPTY, gsd_m=0.5, min_object_px=16):
    return compare_roofs(found, labeled, ignored, CLASSES, gsd_m, min_object_px)


def test_offset_errors_by_hand():
    labeled = roofs((0, 0, 20, (3, -4), 5, 1), (50, 0, 20, (0, -10), 50, 1), (0, 50, 20, (6, 8), NAN, 1))
    found = roofs((0, 0, 20, (0, 0), 7, 0.9), (50, 0, 20, (0, -4), 44, 0.8))
    scores = offset_scores(compare(found, labeled).buildings, 'predicted', 0.5)
    assert (scores['matched'], scores['unmatched'], scores['unknown']) == (2, 1, 0)
    assert scores['epe_px'] == pytest.approx((5 + 6) / 2)
    assert scores['epe_median_px'] == pytest.approx(5.5)
    assert scores['epe_p90_px'] == pytest.approx(5.9)
    assert scores['epe_m'] == pytest.approx(2.75)
    assert scores['length_error_px'] == pytest.approx((-5 - 6) / 2)
    assert scores['length_error_m'] == pytest.approx(-2.75)
    assert scores['angles'] == 1  # the other one was said to be of length 0
    assert scores['angle_error_deg'] == pytest.approx(0)
    assert scores['located_recall'] == 0
    heights = height_scores(compare(found, labeled).buildings, 0.5)
    assert (heights['compared'], heights['unmatched'], heights['unknown'], heights['not_predicted']) == (2, 0, 1, 0)
    assert heights['mae_m'] == pytest.approx(4)
    assert heights['bias_m'] == pytest.approx(-2)
    assert heights['rmse_m'] == pytest.approx(np.sqrt((4 + 36) / 2))


def test_located_recall_counts_all_labels_and_both_errors():
    """A roof 4 px off with an offset that is 4 px off the other way has its footprint in place."""
    labeled = roofs((10, 10, 30, (0, -8), 5, 1), (60, 10, 30, (0, -8), 5, 1), (10, 60, 30, (0, -8), 5, 1))
    found = roofs((14, 10, 30, (4, -8), 5, 0.9), (64, 10, 30, (0, -8), 5, 0.9))
    scores = offset_scores(compare(found, labeled, gsd_m=0.51).buildings, 'predicted', 0.5)
    assert scores['located_recall'] == pytest.approx(100 / 3)  # the second is 4 px = 2.04 m off, the third not found
    scores = offset_scores(compare(found, labeled, gsd_m=0.5).buildings, 'predicted', 0.5)
    assert scores['located_recall'] == pytest.approx(200 / 3)  # 2 m are near enough
    scores = offset_scores(compare(found, labeled, gsd_m=NAN).buildings, 'predicted', 0.5)
    assert np.isnan(scores['located_recall'])
    assert np.isnan(scores['epe_m'])
    assert scores['epe_px'] == pytest.approx(2)


def test_angles_are_wrapped_and_short_offsets_have_none():
    def angle(true, said):
        buildings = compare(roofs((0, 0, 20, said, 5, 0.9)), roofs((0, 0, 20, true, 5, 1))).buildings
        return offset_scores(buildings, 'predicted', 0.5)['angle_error_deg']

    assert angle((-10, 0.1), (-10, -0.1)) == pytest.approx(2 * np.degrees(np.arctan(0.01)))
    assert angle((10, 0), (0, 1)) == pytest.approx(90)
    assert angle((0, -5), (0, 5)) == pytest.approx(180)
    assert np.isnan(angle((2, 2), (2, -2)))  # 2.8 px


def test_offsets_never_decide_who_is_matched():
    labeled = roofs((0, 0, 20, (0, -15), 50, 1))
    wrong, right = (0, 0, 20, (0, 40), 50, 0.9), (1, 0, 20, (0, -15), 50, 0.6)
    comparison = compare(roofs(wrong, right), labeled)
    scores = offset_scores(comparison.buildings, 'predicted', 0.5)
    assert (scores['matched'], scores['epe_px']) == (1, 55)
    assert detection_scores(comparison.roofs, 0.5)['precision'] == 50
    # footprints are matched anew: the second one is right
    assert comparison.footprints['predicted'].right.tolist() == [False, True]


def test_footprints_are_moved_whole_beyond_the_image():
    labeled = roofs((0, 0, 20, (15, 0), 50, 1))
    for off, right in ((0, True), (6, True), (7, False)):  # IoU 14/26 and 13/27
        comparison = compare(roofs((0, 0, 20, (15 + off, 0), 50, 0.9)), labeled)
        assert comparison.footprints['predicted'].right.tolist() == [right]


def test_footprint_and_offset_make_the_roof():
    """A roof that is found 5 px off, with an offset that is 5 px off the same way, has its footprint in place."""
    labeled, found = roofs((50, 50, 20, (0, -15), 50, 1)), roofs((55, 50, 20, (5, -15), 50, 0.9))
    assert labeled.footprints()[0].bounds == found.footprints()[0].bounds == (50, 65, 70, 85)
    comparison = compare(found, labeled)
    assert comparison.footprints['predicted'].right.tolist() == [True]
    assert comparison.footprints['zero'].right.tolist() == [False]  # 15 px away from where the footprint is
    assert compare(roofs((55, 50, 20, (-5, -15), 50, 0.9)), labeled).footprints['predicted'].right.tolist() == [False]


def test_baselines():
    labeled = roofs((0, 0, 20, (0, -10), 50, 1), (40, 0, 20, (0, -2), 5, 1), (80, 0, 20, (0, -4), 5, 1))
    found = roofs((0, 0, 20, (6, -8), 50, 0.9), (40, 0, 20, (2, 0), 5, 0.9), (80, 0, 20, (NAN, NAN), 5, 0.9))
    buildings = compare(found, labeled).buildings
    ways = {way: buildings.found_offsets_px[:, number].round(6).tolist() for number, way in enumerate(WAYS)}
    assert ways['predicted'] == [[6, -8], [2, 0], [0, 0]]  # unknown is zero
    assert ways['zero'] == [[0, 0]] * 3
    assert ways['median'] == [[0, -4]] * 3
    assert ways['direction'] == [[0, -10], [0, -2], [0, 0]]
    assert offset_scores(buildings, 'zero', 0.5)['epe_px'] == pytest.approx(16 / 3)
    assert offset_scores(buildings, 'direction', 0.5)['epe_px'] == pytest.approx(4 / 3)


def test_where_no_label_leans_the_direction_moves_nothing():
    still = roofs((0, 0, 20, (0, 0), 5, 1))
    buildings = compare(roofs((0, 0, 20, (6, -8), 50, 0.9)), still).buildings
    assert buildings.found_offsets_px[:, WAYS.index('direction')].tolist() == [[0, 0]]


def test_classes_of_right_wrong_and_missed_ones():
    labeled = roofs((0, 0, 20, (0, 0), 5, 1), (100, 0, 20, (0, 0), 50, 1), (100, 50, 20, (0, 0), 50, 1))
    found = roofs((0, 0, 20, (0, 0), 5, 0.9), (80, 0, 10, (0, 0), 5, 0.8), (100, 0, 20, (0, 0), 5, 0.7))
    low, high, unknown, both = (detection_scores(compare(found, labeled).roofs, 0.5, c) for c in (0, 1, 2, None))
    assert (low['f1'], low['ap50']) == (100, 100)
    assert (high['precision'], high['recall']) == (50, 50)  # the false alarm is nearest to a high one
    assert np.isnan(unknown['f1'])
    assert both['precision'] == pytest.approx(200 / 3)
    assert both['f1'] == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 1))
    assert detection_scores(compare(found, labeled).roofs, 0.85)['recall'] == pytest.approx(100 / 3)


def test_images_without_labels_or_predictions_count():
    nobody, someone = roofs(), roofs((0, 0, 20, (0, -3), 5, 1))
    alarm, missed = compare(someone, nobody), compare(nobody, someone)
    assert detection_scores(alarm.roofs, 0.5)['precision'] == 0
    assert alarm.roofs.classes.tolist() == [2]  # of unknown height
    assert detection_scores(missed.roofs, 0.5)['recall'] == 0
    assert offset_scores(missed.buildings, 'predicted', 0.5)['located_recall'] == 0
    assert len(alarm.buildings.classes) == 0
    joined = Detections.join([alarm.roofs, missed.roofs], 3)
    assert joined.labels.tolist() == [1, 0, 0]
    assert (
        published_scores([published_counts(alarm_of, label) for alarm_of, label in ((someone, nobody),)])[
            'skipped_images'
        ]
        == 1
    )


def test_small_and_ignored_ones_are_neither_right_nor_wrong():
    labeled = roofs((0, 0, 3, (0, 0), 5, 1), (20, 0, 20, (0, 0), 5, 1))
    found = roofs((0, 0, 3, (0, 0), 5, 0.9), (60, 0, 3, (0, 0), 5, 0.9), (80, 0, 20, (0, 0), 5, 0.9))
    comparison = compare(found, labeled, ignored=shapely.box(80, 0, 90, 20))
    assert comparison.roofs.right.tolist() == []
    assert comparison.roofs.labels.tolist() == [1, 0, 0]
    comparison = compare(found, labeled, ignored=shapely.box(80, 0, 89, 20))
    assert comparison.roofs.right.tolist() == [False]
    assert compare(found, labeled, min_object_px=9).roofs.right.tolist() == [True, False, False]


def test_labels_of_unknown_offset_have_no_footprint_to_find():
    labeled = roofs((0, 0, 20, (NAN, NAN), 5, 1), (40, 0, 20, (0, -5), 50, 1))
    found = roofs((0, 0, 20, (0, -30), 5, 0.9), (40, 0, 20, (0, -5), 50, 0.9))
    comparison = compare(found, labeled)
    assert comparison.roofs.right.tolist() == [True, True]
    assert comparison.footprints['predicted'].right.tolist() == [True]
    assert comparison.footprints['predicted'].labels.tolist() == [0, 1, 0]
    assert offset_scores(comparison.buildings, 'predicted', 0.5)['unknown'] == 1


def test_heights_that_were_not_predicted_are_counted():
    labeled = roofs((0, 0, 20, (0, 0), 5, 1), (40, 0, 20, (0, 0), NAN, 1), (80, 0, 20, (0, 0), 9, 1))
    found = roofs((0, 0, 20, (0, 0), NAN, 0.9), (40, 0, 20, (0, 0), 8, 0.9))
    heights = height_scores(compare(found, labeled).buildings, 0.5)
    counts = [heights[name] for name in ('compared', 'unmatched', 'not_predicted', 'unknown')]
    assert counts == [0, 1, 1, 1]
    assert np.isnan(heights['mae_m'])


def test_confusion_of_classes():
    assert class_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


def test_the_published_evaluation_has_its_holes():
    labeled = roofs((100, 100, 40, (0, -30), 50, 1), (300, 100, 40, (-30, 0.3), 50, 1))
    twice = (100, 100, 40, (0, -30), 50, 0.9), (101, 100, 40, (0, -30), 50, 0.45)
    wrong_offset, low = (300, 100, 40, (30, 0), 50, 0.9), (500, 500, 40, (0, 0), 5, 0.39)
    small = (600, 600, 22, (0, 0), 5, 0.9)
    counts = published_counts(roofs(*twice, wrong_offset, low, small), labeled)
    # found twice is right twice; the wrong offset is no error of offsets, since its footprint matches nothing
    assert counts.counts.tolist() == [[3, 0, 0], [2, 1, 1]]
    scores = published_scores([counts])
    assert scores['roof_f1'] == 100
    assert scores['aEPE'] == 0
    turned = published_scores([published_counts(roofs((300, 100, 40, (-30, -0.3), 50, 0.9)), labeled)])
    assert turned['aEPE'] == pytest.approx(0.6)
    assert turned['aAE'] == pytest.approx(2 * np.pi - 2 * np.arctan(0.01))  # not wrapped
    half = roofs((100, 100, 40, (0, -30), 50, 0.9)), Roofs(np.array([shapely.box(100, 100, 120, 140)]), *[None] * 3)
    half = half[0], Roofs(half[1].polygons, np.array([[0.0, -30.0]]), np.array([50.0]), np.ones(1))
    assert published_counts(*half).counts[0].tolist() == [0, 1, 1]  # 800 / 1601 px
    assert compare(*half).roofs.right.tolist() == [True]
