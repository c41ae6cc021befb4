"""The metric as mmengine runs it: samples in all forms, names of scores, tables, files, refusals."""

import json
import math

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import METRICS
from mmengine.structures import InstanceData

from projects.building_extraction.evaluation import RoofOffsetMetric
from projects.building_extraction.evaluation.roof_offset_metric import describe_roofs
from projects.building_extraction.evaluation.roof_samples import read_found, read_labeled

SIZE = (60, 100)
LABELS = [((10, 10, 30, 30), (0.0, -6.0), 8.0), ((50, 10, 80, 40), (0.0, -12.0), 40.0)]


def mask(box):
    left, top, right, bottom = box
    pixels = np.zeros(SIZE, bool)
    pixels[top:bottom, left:right] = True
    return pixels


def polygons(boxes):
    rings = [
        [np.array([left, top, right, top, right, bottom, left, bottom], float)] for left, top, right, bottom in boxes
    ]
    return PolygonMasks(rings, *SIZE)


def bitmaps(boxes):
    return BitmapMasks(np.array([mask(box) for box in boxes], np.uint8).reshape(-1, *SIZE), *SIZE)


def sample(found, labels=LABELS, masks=polygons, kind=torch.tensor, **metainfo):
    """A sample as the evaluator passes it on: a dict."""
    data_sample = DetDataSample(metainfo={'img_path': 'a.png', 'gsd_m': 0.5, **metainfo})
    boxes, offsets, heights_m = zip(*labels, strict=True) if labels else ((), (), ())
    data_sample.gt_instances = InstanceData(
        masks=masks(boxes), offsets=np.reshape(offsets, (-1, 2)), heights_m=np.array(heights_m)
    )
    boxes, offsets, heights_m, scores = zip(*found, strict=True) if found else ((), (), (), ())
    data_sample.pred_instances = InstanceData(
        masks=kind(np.array([mask(box) for box in boxes]).reshape(-1, *SIZE)),
        offsets=kind(np.reshape(offsets, (-1, 2))),
        heights_m=kind(np.array(heights_m)),
        scores=kind(np.array(scores)),
    )
    return data_sample.to_dict()


def evaluate(*samples, **options):
    metric = METRICS.build({'type': 'RoofOffsetMetric', **options})
    for each in samples:
        metric.process(None, [each])
    return metric.evaluate(len(samples))


PERFECT = [(*label, 0.9) for label in LABELS]
GOOD = [((10, 10, 30, 30), (0.0, -4.0), 9.0, 0.9), ((50, 10, 80, 40), (3.0, -8.0), 30.0, 0.8)]


@pytest.mark.parametrize('masks', [polygons, bitmaps])
@pytest.mark.parametrize('kind', [torch.tensor, np.array])
def test_all_forms_of_masks_give_the_same(masks, kind):
    scores = evaluate(sample(GOOD, masks=masks, kind=kind))
    assert scores['roofs/roof_f1'] == 100
    assert scores['roofs/epe_px'] == pytest.approx((2 + 5) / 2)
    assert scores['roofs/epe_m'] == pytest.approx(1.75)
    assert scores['roofs/located_recall'] == 50
    assert scores['roofs/zero/epe_px'] == pytest.approx(9)
    assert scores['roofs/median/epe_px'] == pytest.approx(3)
    assert scores['roofs/low-rise/epe_px'] == pytest.approx(2)
    assert scores['roofs/high-rise/zero/epe_px'] == pytest.approx(12)
    assert scores['roofs/height_mae_m'] == pytest.approx(5.5)
    assert scores['roofs/published/roof_f1'] == pytest.approx(200 / 3)  # the smaller one is too small for it
    assert all(isinstance(value, float) for value in scores.values())


def test_perfect_predictions_are_perfect():
    scores = evaluate(sample(PERFECT), sample([], labels=[]))
    for name in ('roof_f1', 'roof_ap50', 'footprint_f1', 'footprint_ap50', 'located_recall'):
        assert scores[f'roofs/{name}'] == 100
    for name in ('epe_px', 'epe_p90_m', 'length_error_m', 'angle_error_deg', 'height_rmse_m'):
        assert scores[f'roofs/{name}'] == pytest.approx(0, abs=1e-5)
    assert 'roofs/mid-rise/roof_f1' not in scores


def test_a_detector_without_offsets_is_the_baseline_of_zero():
    plain = sample(PERFECT)
    for name in ('offsets', 'heights_m'):
        del plain['pred_instances'][name]
    scores = evaluate(plain)
    for name in ('epe_px', 'located_recall', 'footprint_f1'):
        assert scores[f'roofs/{name}'] == scores[f'roofs/zero/{name}']
    assert math.isnan(scores['roofs/height_mae_m'])
    assert scores['roofs/height_not_predicted'] == 2


def test_the_size_of_a_pixel_is_that_of_the_config_else_of_the_sample():
    assert evaluate(sample(GOOD), gsd_m=2)['roofs/epe_m'] == pytest.approx(7)
    unknown = sample(GOOD)
    del unknown['gsd_m']
    assert math.isnan(evaluate(unknown)['roofs/epe_m'])
    with pytest.raises(ValueError, match='gsd_m = 0: expected metres per pixel'):
        RoofOffsetMetric(gsd_m=0)


def test_no_image_with_labels_gives_scores_that_are_undefined():
    scores = evaluate(sample([], labels=[]))
    assert math.isnan(scores['roofs/roof_f1'])
    assert scores['roofs/published/skipped_images'] == 1
    assert describe_roofs(scores) == 'footprint F1 – (AP50 –)'


def test_an_unreadable_image_has_nothing_found():
    scores = evaluate(sample(PERFECT, unreadable=True))
    assert (scores['roofs/roof_recall'], scores['roofs/unmatched']) == (0, 2)


def test_the_log_names_baselines_and_the_published_evaluation(logged):
    scores = evaluate(sample(GOOD))
    text = ' '.join('\n'.join(logged).split())
    for part in ('no offset', "tile's median", 'true direction', "BONAI's published", 'Height classes of', '3.50'):
        assert part in text
    assert describe_roofs(scores) == (
        'footprint F1 100.0 (AP50 100.0, located 50.0), offsets 3.50 px off (zero 9.00), heights 5.5 m off'
    )


def test_the_file_holds_everything(tmp_path):
    out = RoofOffsetMetric.output_options(str(tmp_path / 'new' / 'scores'))
    evaluate(sample(GOOD), **out)
    content = json.loads((tmp_path / 'new' / 'scores.roofs.json').read_text())
    assert content['scores']['overall']['predicted']['epe_px'] == pytest.approx(3.5)
    assert content['scores']['low-rise']['zero']['epe_px'] == pytest.approx(6)
    assert content['height_classes']['confusion'] == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert content['published']['footprint_recall'] == 50


def test_rings_of_a_label_are_one_roof_and_a_broken_one_is_mended():
    cross = np.array([0, 0, 10, 10, 10, 0, 0, 10], float)  # a bow tie: two triangles of 25 px each
    parts = [np.array([20, 0, 30, 0, 30, 10, 20, 10], float), np.array([25, 0, 35, 0, 35, 10, 25, 10], float)]
    line = np.array([0, 0, 5, 5, 9, 9], float)
    labeled, ignored, shape = read_labeled({'gt_instances': {'masks': PolygonMasks([[cross], parts, [line]], *SIZE)}})
    assert [polygon.area for polygon in labeled.polygons] == [50, 150, 0]
    assert np.isnan(labeled.offsets_px).all()
    assert np.isnan(labeled.heights_m).all()
    assert (ignored.is_empty, shape) == (True, SIZE)


def test_ignored_instances_are_areas():
    given = {'gt_instances': {'masks': bitmaps([])}, 'ignored_instances': {'masks': bitmaps([(0, 0, 10, 10)])}}
    labeled, ignored, shape = read_labeled(given)
    assert (len(labeled), ignored.area, shape) == (0, 100, None)


def test_bad_samples_are_refused():
    with pytest.raises(ValueError, match=r'a.png has no labels: expected masks of roofs in gt_instances'):
        read_labeled({'img_path': 'a.png'})
    with pytest.raises(ValueError, match=r'a.png has no predicted roofs'):
        read_found({'img_path': 'a.png', 'pred_instances': {'scores': np.ones(1)}}, None)
    bad = sample(GOOD)
    with pytest.raises(ValueError, match=r'a.png: predictions are of \(60, 100\), labels of \(30, 50\)'):
        read_found(bad, (30, 50))
    bad['pred_instances']['offsets'] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r'offsets of pred_instances are of \(3, 2\), expected one row of 2'):
        evaluate(bad)
