"""Scores of weighted images: values by hand, COCO's own evaluation, and whole images counted twice."""

import contextlib
import io

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from projects.deployment.predictions import Detections
from projects.deployment.quantization_study.evidence import (
    HIT,
    IGNORED,
    MISS,
    BoxAP,
    EqualPixels,
    MeanIoU,
    Objects,
    match,
    overlaps,
    resamplings,
)

ONCE = np.ones((1, 2), int)


def random_scenes(number=12, num_classes=3):
    """Objects, some of them crowds, and detections that nearly fit, or do not."""
    rng = np.random.default_rng(0)
    found, there = [], []
    for _ in range(number):
        count = rng.integers(0, 6)
        corners = rng.uniform(0, 100, (count, 2))
        boxes = np.hstack([corners, corners + rng.uniform(10, 60, (count, 2))])
        labels = rng.integers(0, num_classes, count)
        there.append(Objects(boxes, labels, rng.random(count) < 0.2))
        near = np.repeat(boxes, 2, axis=0) + rng.normal(0, 4, (2 * count, 4))
        far = rng.uniform(0, 60, (3, 2))
        more = np.vstack([near, np.hstack([far, far + 30])])
        classes = np.concatenate([np.repeat(labels, 2), rng.integers(0, num_classes, 3)])
        found.append(Detections(more, rng.random(len(more)).round(1), classes))  # with equal scores
    return found, there


def coco_ap(found, there, num_classes=3):
    images = [{'id': index + 1, 'width': 200, 'height': 200} for index in range(len(there))]
    annotations, results = [], []
    for image, (one, other) in enumerate(zip(found, there, strict=True), start=1):
        for box, label, crowd in zip(*other, strict=True):
            x, y, right, bottom = map(float, box)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image,
                    'category_id': int(label) + 1,
                    'bbox': [x, y, right - x, bottom - y],
                    'area': (right - x) * (bottom - y),
                    'iscrowd': int(crowd),
                }
            )
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True):
            x, y, right, bottom = map(float, box)
            results.append(
                {
                    'image_id': image,
                    'category_id': int(label) + 1,
                    'bbox': [x, y, right - x, bottom - y],
                    'score': float(score),
                }
            )
    categories = [{'id': index + 1, 'name': str(index)} for index in range(num_classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO({'images': images, 'annotations': annotations, 'categories': categories})
        evaluation = COCOeval_faster(truth, truth.loadRes(results), 'bbox', print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * evaluation.stats[0]


def test_box_ap_is_cocos():
    found, there = random_scenes()
    own = BoxAP.of(found, there, 3).score(np.ones((1, len(there)), int))
    assert 5 < own[0] < 95
    assert own[0] == pytest.approx(coco_ap(found, there), abs=1e-6)


def test_an_image_of_weight_two_is_there_twice():
    found, there = random_scenes()
    evidence = BoxAP.of(found, there, 3)
    weights = np.array([[2, 0, 1] + [1] * 9, [1] * 12])
    doubled = evidence.score(weights)
    chosen = [0, 0, *range(2, 12)]
    expected = BoxAP.of([found[i] for i in chosen], [there[i] for i in chosen], 3).score(np.ones((1, 12), int))
    assert doubled[0] == pytest.approx(expected[0])
    assert doubled[1] == pytest.approx(evidence.score(np.ones((1, 12), int))[0])


def test_matching_by_hand():
    objects = np.array([[0, 0, 10, 10], [100, 100, 200, 200]], float)
    boxes = np.array([[0, 0, 10, 8], [0, 0, 10, 10], [110, 110, 120, 120], [110, 110, 130, 130]], float)
    is_crowd = np.array([False, True])
    outcome = match(overlaps(boxes, objects, is_crowd), is_crowd)
    assert outcome[0].tolist() == [HIT, MISS, IGNORED, IGNORED]  # the stronger takes the object at an IoU of 0.5
    assert outcome[9].tolist() == [MISS, HIT, IGNORED, IGNORED]  # its IoU of 0.8 is too little at 0.95


def test_average_precision_by_hand():
    """Two objects, the stronger detection hits, the weaker misses: precision 1 up to a recall of a half, 0 beyond."""
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], float)
    found = Detections(boxes, np.array([0.9, 0.8]), np.zeros(2, int))
    there = Objects(np.array([[0, 0, 10, 10], [90, 90, 99, 99]], float), np.zeros(2, int), np.zeros(2, bool))
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
    empty = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    evidence = BoxAP.of([found, empty], [there, nothing], 1)
    assert evidence.score(ONCE)[0] == pytest.approx(100 * 51 / 101)
    assert np.isnan(evidence.score(np.array([[0, 2]]))[0])  # a draw without objects has no AP


def test_pixels_by_hand():
    given = [np.array([[0, 1], [1, 255]]), np.array([[0, 0], [0, 0]])]
    said = [np.array([[0, 1], [0, 0]]), np.array([[0, 0], [1, 1]])]
    assert EqualPixels.of(said, given).score(ONCE)[0] == pytest.approx(100 * 4 / 7)
    assert EqualPixels.of(said, given).score(np.array([[1, 0]]))[0] == pytest.approx(100 * 2 / 3)
    # class 0: 3 of 6; class 1: 1 of 4; class 2 does not occur
    assert MeanIoU.of(said, given, 3).score(ONCE)[0] == pytest.approx(100 * (3 / 6 + 1 / 4) / 2)


def test_resamplings_draw_as_many_images_and_the_same_each_time():
    weights = resamplings(7, 50)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    assert (weights == resamplings(7, 50)).all()
    assert len(np.unique(weights, axis=0)) > 40
