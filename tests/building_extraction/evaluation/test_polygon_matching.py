"""Pairs, one-to-one matching, what false alarms belong to, and average precision, by hand and against COCO's."""

import json

import numpy as np
import pytest
import shapely
from faster_coco_eval import COCO, COCOeval_faster

from projects.building_extraction.evaluation.polygon_matching import (
    Pairs,
    average_precision,
    classes_around,
    counted_in_area,
    match_by_score,
    overlapping_pairs,
)


def boxes(*corners):
    return np.array([shapely.box(*each) for each in corners], dtype=object)


def test_pairs_are_those_of_enough_overlap():
    found = boxes((0, 0, 10, 10), (0, 5, 10, 15), (30, 0, 40, 10), (10, 0, 20, 10))
    labeled = boxes((0, 0, 10, 10), (0, 4, 10, 14), (100, 100, 110, 110))
    pairs = overlapping_pairs(found, labeled, 0.3)
    triples = {(f, t): round(iou, 6) for f, t, iou in zip(*map(np.ndarray.tolist, pairs), strict=True)}
    assert triples == {(0, 0): 1.0, (0, 1): round(60 / 140, 6), (1, 0): round(50 / 150, 6), (1, 1): round(90 / 110, 6)}
    assert len(overlapping_pairs(found, labeled[:0], 0.5).iou) == 0
    assert len(overlapping_pairs(found[:0], labeled, 0.5).iou) == 0


def test_an_overlap_of_exactly_the_least_counts():
    found, labeled = boxes((0, 0, 10, 10)), boxes((0, 0, 5, 10))
    assert len(overlapping_pairs(found, labeled, 0.5).iou) == 1
    assert len(overlapping_pairs(found, labeled, 0.51).iou) == 0


def test_what_is_matched_counts_where_its_label_does_and_false_alarms_where_they_lie():
    label_of, inside = np.array([0, 1, -1, -1]), np.array([False, True, True, False])
    assert counted_in_area(label_of, inside, np.array([True, False])).tolist() == [True, False, True, False]
    assert counted_in_area(np.array([-1]), np.array([True]), np.array([], bool)).tolist() == [True]


def test_empty_polygons_match_nothing():
    nothing = np.array([shapely.Polygon()], dtype=object)
    assert len(overlapping_pairs(nothing, boxes((0, 0, 1, 1)), 0.5).iou) == 0
    assert len(overlapping_pairs(boxes((0, 0, 1, 1)), nothing, 0.5).iou) == 0


def test_the_higher_score_chooses_first_and_each_label_is_taken_once():
    pairs = Pairs(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0.9, 0.6, 0.55]))
    assert match_by_score(pairs, np.array([0.5, 0.8])).tolist() == [-1, 0]
    assert match_by_score(pairs, np.array([0.8, 0.5])).tolist() == [0, 1]
    assert match_by_score(pairs, np.array([0.8, 0.8])).tolist() == [0, 1]  # the pair that overlaps most goes first


def test_a_false_alarm_belongs_to_what_it_overlaps_most_and_else_to_the_nearest():
    labeled, classes = boxes((0, 0, 10, 10), (20, 0, 30, 10), (22, 0, 30, 10)), np.array([0, 2, 1])
    alarms = boxes((8, 0, 21, 10), (12, 0, 14, 10), (14.5, 0, 15.5, 1), (31, 0, 32, 1), (21, 0, 26, 10), (10, 0, 11, 1))
    assert classes_around(alarms, labeled, classes, 3).tolist() == [0, 0, 0, 1, 2, 0]
    assert classes_around(alarms[:1], labeled[:0], classes[:0], 3).tolist() == [3]


def test_average_precision_by_hand():
    # precision 1 up to a recall of 1/2 (51 of the 101 recalls), then 2/3
    value = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert value == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision(np.array([0.9]), np.array([True]), 100) == pytest.approx(2 / 101)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
    assert np.isnan(average_precision(np.array([0.5]), np.array([False]), 0))


def test_equal_scores_count_together_in_any_order():
    scores = np.full(4, 0.5)
    values = {average_precision(scores, np.roll([True, False, False, True], shift), 2) for shift in range(4)}
    assert values == {0.5}


def test_average_precision_is_that_of_coco():
    random = np.random.default_rng(0)
    images, annotations, results, scores, right = [], [], [], [], []
    for image in range(1, 9):
        images.append({'id': image, 'width': 100, 'height': 100})
        corners = random.integers(0, 8, (5 if image != 3 else 0, 2)) * 10
        for corner in np.unique(corners, axis=0).tolist():
            annotations.append({'id': len(annotations) + 1, 'image_id': image, 'category_id': 1, 'iscrowd': 0})
            annotations[-1] |= {'bbox': [*corner, 8, 8], 'area': 64}
        labeled = boxes(*([x, y, x + 8, y + 8] for x, y in np.unique(corners, axis=0).tolist()))
        found = np.concatenate([corners + random.integers(-1, 3, corners.shape), random.integers(0, 90, (3, 2))])
        own = random.random(len(found))
        for (x, y), score in zip(found.tolist(), own.tolist(), strict=True):
            results.append({'image_id': image, 'category_id': 1, 'bbox': [x, y, 8, 8], 'score': score})
        pairs = overlapping_pairs(boxes(*([x, y, x + 8, y + 8] for x, y in found.tolist())), labeled, 0.5)
        scores.append(own)
        right.append(match_by_score(pairs, own) >= 0)
    truth = COCO(json.loads(json.dumps({'images': images, 'annotations': annotations, 'categories': [{'id': 1}]})))
    evaluation = COCOeval_faster(truth, truth.loadRes(results), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = average_precision(np.concatenate(scores), np.concatenate(right), len(annotations))
    assert 0.2 < ours < 0.95
    assert ours == pytest.approx(evaluation.stats[1], abs=1e-9)
