import itertools
import json

import numpy as np
import pytest

from projects.command_line import EXPORTED_PRECISIONS
from projects.deployment.export.comparison import verify
from projects.deployment.export.detection_matching import Cutoffs, match_detections, pairwise_iou
from projects.deployment.export.verification import BOUNDS, DeviationError
from projects.deployment.model_info import DETECTION, INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.predictions import Detections, Segmentation

IMAGES = np.zeros((1, 100, 100, 3), dtype=np.uint8)


def info(task):
    return ModelInfo(task, ('cat', 'dog'), ((0, 0, 0), (9, 9, 9)), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def detections(count=20, seed=0, masks=False):
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.arange(5) * 20, np.arange(4) * 25), -1).reshape(-1, 2)[:count]
    boxes = np.concatenate([places, places + 15], axis=1).astype(np.float32)
    scores = np.linspace(0.9, 0.2, count).astype(np.float32)
    return Detections(
        boxes, scores, np.arange(count) % 2, rng.random((count, 28, 28)).astype(np.float32) if masks else None
    )


def changed(found, **arrays):
    fields = {name: getattr(found, name) for name in ('boxes', 'scores', 'labels', 'masks')}
    return Detections(**{**fields, **arrays})


def compare(first, second, precision='fp32', task=DETECTION, cutoffs=None):
    batches = [(['a.png'], IMAGES)]
    return verify(lambda _: [first], lambda _: [second], batches, info(task), BOUNDS[precision], cutoffs)


def segmentation(labels, sharpness=0.9):
    one = np.where(labels == 1, sharpness, 1 - sharpness).astype(np.float32)
    return Segmentation(labels.astype(np.uint8), np.stack([1 - one, one]))


def test_iou_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], dtype=np.float32)
    others = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], dtype=np.float32)
    np.testing.assert_allclose(pairwise_iou(boxes, others), [[1 / 3, 1, 0], [0, 0, 0]], rtol=1e-6)


def test_the_same_detections_in_another_order_pass():
    found = detections(masks=True)
    order = np.random.default_rng(1).permutation(20)
    result = compare(found, found.select(order), task=INSTANCES)
    assert result.passed
    assert (result.checked, result.equal, result.ties, result.edge) == (20, 20, 0, 0)
    assert result.mask_iou == 1


def test_each_detection_has_one_partner():
    found = detections(2)
    twice = changed(found, boxes=found.boxes[[0, 0]], labels=np.array([0, 0]), scores=np.float32([0.9, 0.8995]))
    once = twice.select(np.array([0]))
    matches = match_detections(twice, once, 0.99, 1e-3, Cutoffs())
    assert len(matches.pairs) == 1
    assert len(matches.lost) + matches.ties == 1


def test_as_many_as_possible_are_paired():
    """The first could take either partner; the greedy choice of the better one would leave the second alone."""
    boxes = np.float32([[0, 0, 100, 100], [0, 0, 100, 99.2]])
    others = np.float32([[0, 0, 100, 99.6], [0, 0, 100, 100.7]])
    scores = np.float32([0.9, 0.9])
    first = Detections(boxes, scores, np.zeros(2, dtype=int))
    second = Detections(others, scores, np.zeros(2, dtype=int))
    assert len(match_detections(first, second, 0.99, 1e-3, Cutoffs()).pairs) == 2


@pytest.mark.parametrize(
    'change',
    [
        lambda found: {'boxes': found.boxes + np.float32([1, 0, 1, 0])},
        lambda found: {'scores': found.scores + np.float32(0.002)},
        lambda found: {'labels': 1 - found.labels},
        lambda found: {'scores': np.full_like(found.scores, np.nan)},
        lambda found: {'boxes': np.full_like(found.boxes, np.nan)},
    ],
)
def test_a_deviation_is_refused(change):
    found = detections()
    result = compare(found, changed(found, **change(found)))
    assert not result.passed
    assert result.equal == 0


def test_one_lost_detection_is_refused_and_named():
    found = detections()
    result = compare(found, found.select(np.arange(20) != 3))
    assert result.equal == 19
    error = str(DeviationError(result))
    assert 'the network alone has dog 0.7895' in error
    assert 'a.png' in error


def test_one_added_detection_is_refused():
    found = detections()
    result = compare(found.select(np.arange(20) != 3), found)
    assert not result.passed
    assert 'the export alone has dog 0.7895' in str(DeviationError(result))


def test_a_detection_at_the_score_threshold_may_be_missing():
    found = detections()
    found.scores[-1] = 0.0503
    result = compare(found, found.select(np.arange(20) < 19))
    assert result.passed
    assert (result.checked, result.edge) == (19, 1)


def test_a_detection_at_the_limit_of_their_number_may_be_another():
    found = detections()
    found.scores[-2:] = 0.2, 0.1999
    first, second = found.select(np.arange(20) != 19), found.select(np.arange(20) != 18)
    assert compare(first, second, cutoffs=Cutoffs(max_per_image=19)).passed
    assert not compare(first, second, cutoffs=Cutoffs(max_per_image=100)).passed


def test_the_limits_excuse_nothing_among_equal_scores():
    """An untrained detector: all scores within 1e-4, the same number on both sides, and other boxes."""
    found = detections()
    found.scores[:] = np.linspace(0.0501, 0.05, 20)
    elsewhere = changed(found, boxes=found.boxes + np.float32([7, 7, 7, 7]))
    result = compare(found, elsewhere, cutoffs=Cutoffs(max_per_image=20))
    assert result.checked >= 30
    assert not result.passed


def test_a_tie_in_nms_is_reported_and_not_refused():
    found = detections()
    boxes = found.boxes.copy()
    boxes[4] += np.float32([2, 0, 2, 0])
    result = compare(found, changed(found, boxes=boxes))
    assert result.ties == 2
    assert result.passed


def test_weak_detections_need_no_partner_in_few_bits():
    found = detections()
    found.scores[-5:] = 0.2  # below 0.3 of 0.9
    result = compare(found, found.select(np.arange(20) < 15), 'bf16')
    assert result.passed
    assert (result.checked, result.equal, result.edge) == (15, 15, 5)
    assert not compare(found, found.select(np.arange(20) < 15), 'fp32').passed
    assert not compare(found, found.select(np.arange(20) >= 5), 'bf16').passed


def test_many_ties_are_inexact_boxes():
    found = detections()
    boxes = found.boxes.copy()
    boxes[:6] += np.float32([0.5, 0, 0.5, 0])
    result = compare(found, changed(found, boxes=boxes))
    assert (result.equal, result.ties) == (14, 12)
    assert not result.passed
    assert 'ties' in result.problems[0]


def test_other_masks_are_refused():
    found = detections(masks=True)
    inverted = changed(found, masks=1 - found.masks)
    result = compare(found, inverted, task=INSTANCES)
    assert result.equal == 20
    assert not result.passed
    assert 'masks' in result.problems[0]


def test_masks_of_the_image_and_of_the_roi_are_the_same():
    found = detections(masks=True)
    found.masks[:] = 1.0
    whole = np.zeros((20, 100, 100), dtype=bool)
    for mask, (left, top, right, bottom) in zip(whole, found.boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    assert compare(changed(found, masks=whole), found, task=INSTANCES).mask_iou == 1


def test_nothing_detected_proves_nothing():
    nothing = Detections(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=int))
    result = compare(nothing, nothing)
    assert not result.is_telling
    assert not result.passed
    assert 'nothing to compare' in str(DeviationError(result))


def test_a_thousandth_of_the_pixels_may_differ():
    labels = np.arange(10_000).reshape(100, 100) % 2
    almost = labels.copy()
    almost.ravel()[:10] ^= 1
    first, second = Segmentation(labels.astype(np.uint8)), Segmentation(almost.astype(np.uint8))
    result = compare(first, second, task=SEGMENTATION)
    assert result.passed
    assert result.share == pytest.approx(0.999)
    almost.ravel()[10] ^= 1
    assert not compare(first, Segmentation(almost.astype(np.uint8)), task=SEGMENTATION).passed


def test_other_probabilities_of_the_same_classes_are_refused():
    labels = np.arange(10_000).reshape(100, 100) % 2
    result = compare(segmentation(labels), segmentation(labels, 0.95), task=SEGMENTATION)
    assert result.share == 1
    assert result.probability == pytest.approx(0.05, rel=1e-4)
    assert not result.passed
    assert compare(segmentation(labels), segmentation(labels, 0.95), 'int8', SEGMENTATION).passed


def test_not_a_number_is_refused():
    labels = np.arange(10_000).reshape(100, 100) % 2
    broken = Segmentation(labels.astype(np.uint8), np.full((2, 100, 100), np.nan, dtype=np.float32))
    assert not compare(segmentation(labels), broken, 'int8', SEGMENTATION).passed


def test_labels_of_one_class_prove_nothing_but_their_probabilities_do():
    labels = np.zeros((100, 100), dtype=np.uint8)
    assert not compare(Segmentation(labels), Segmentation(labels), task=SEGMENTATION).is_telling
    assert compare(segmentation(labels), segmentation(labels), task=SEGMENTATION).passed


def test_an_export_of_another_size_is_named():
    with pytest.raises(ValueError, match=r'a\.png'):
        compare(Segmentation(np.zeros((4, 4))), Segmentation(np.zeros((4, 5))), task=SEGMENTATION)


def test_bounds_widen_with_fewer_bits():
    assert tuple(BOUNDS) == EXPORTED_PRECISIONS
    order = [BOUNDS[precision] for precision in EXPORTED_PRECISIONS]
    for tighter, wider in itertools.pairwise(order):
        assert tighter.equal_pixels > wider.equal_pixels
        assert tighter.iou >= wider.iou
        assert tighter.score <= wider.score
        assert tighter.mask_iou > wider.mask_iou
        assert tighter.unmatched < wider.unmatched


def test_a_verification_is_json():
    found = detections(masks=True)
    content = json.loads(json.dumps(compare(found, found.select(np.arange(20) > 0), task=INSTANCES).to_dict()))
    assert (content['checked'], content['equal'], content['passed']) == (20, 19, False)


@pytest.mark.parametrize('value', [0.9, np.nan])
def test_a_site_that_a_kernel_computes_wrongly_is_refused_and_named(value):
    found = compare(detections(), detections(), precision='int8')
    found.sites = {'head.conv#0': value, 'neck.conv#1': 1e-4}
    assert not found.passed
    assert '1 of 2 sites' in found.problems[0]
    assert 'head.conv#0' in str(DeviationError(found))
    assert 'neck.conv#1' not in str(DeviationError(found))
    found.sites['head.conv#0'] = 0.01
    assert found.passed
