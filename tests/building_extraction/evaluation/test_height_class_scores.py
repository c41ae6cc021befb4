"""The metric as mmengine runs it: scores from counts, mmseg's mIoU, detectors, several processes."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import METRICS
from mmengine.structures import InstanceData, PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from projects.building_extraction.evaluation import HeightClassScores
from tests.processes import call_in_clean_processes


def sample(found, labels, ids=None, heights_m=None):
    """A sample as the evaluator passes it on: a dict."""
    data_sample = SegDataSample(
        pred_sem_seg=PixelData(data=torch.as_tensor(np.asarray(found))[None].long()),
        gt_sem_seg=PixelData(data=torch.as_tensor(np.asarray(labels))[None].long()),
    )
    if ids is not None:
        heights_m = np.array([np.nan, *heights_m], np.float32)
        data_sample.set_metainfo({'building_ids': np.asarray(ids, np.int32), 'building_heights_m': heights_m})
    return data_sample.to_dict()


def evaluate(samples, **options):
    metric = METRICS.build({'type': 'HeightClassScores', 'min_object_px': 0, **options})
    for batch in (samples[:1], samples[1:]):
        metric.process(None, batch)
    return metric.evaluate(len(samples))


IDS = [[1, 1, 0, 0, 0, 0, 2], [1, 1, 0, 0, 0, 0, 2]]
FOUND = [[1, 1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 0, 1, 0]]
HAND = (FOUND, np.array(IDS) > 0, IDS, [5.0, 150.0])  # low-rise: 3 right, 2 false, 1 missed; skyscraper: 1, 2, 1


def test_scores_by_hand():
    scores = evaluate([sample(*HAND)])
    assert scores['building/precision'] == pytest.approx(50)
    assert scores['building/recall'] == pytest.approx(100 * 4 / 6)
    assert scores['building/iou'] == pytest.approx(40)
    assert scores['building/f1'] == pytest.approx(100 * 8 / 14)
    assert scores['building/low-rise/f1'] == pytest.approx(100 * 6 / 9)
    assert scores['building/skyscraper/f1'] == pytest.approx(40)
    assert scores['building/object_f1'] == pytest.approx(50)
    assert scores['building/low-rise/object_recall'] == 100
    assert scores['building/skyscraper/object_precision'] == 0
    assert scores['mIoU'] == pytest.approx((40 + 40) / 2)
    assert not any('mid-rise' in name or 'unknown' in name for name in scores)


def test_pixels_are_added_up_over_images_not_scores_averaged():
    perfect = sample([[1] * 8], [[1] * 8], [[1] * 8], [5.0])
    missed = sample([[0, 0]], [[1, 1]], [[1, 1]], [5.0])
    assert evaluate([perfect, missed])['building/recall'] == pytest.approx(80)


def test_means_over_building_and_background_are_those_of_mmseg():
    random = np.random.default_rng(0)
    samples = []
    for _ in range(4):
        labels = random.choice([0, 1, 255], (9, 14), p=[0.5, 0.4, 0.1])
        samples.append(sample(random.integers(0, 2, (9, 14)), labels))
    reference = IoUMetric(iou_metrics=['mIoU', 'mFscore'])
    reference.dataset_meta = {'classes': ('background', 'building')}
    for one in samples:
        reference.process(None, [one])
    expected = reference.evaluate(4)
    scores = evaluate(samples)
    for name in ('mIoU', 'mAcc', 'aAcc'):
        assert scores[name] == pytest.approx(expected[name], abs=0.005)  # mmseg rounds to two digits


def test_without_instances_connected_parts_of_the_label_are_buildings_of_unknown_height():
    scores = evaluate([sample([[1, 0, 1, 1]], [[1, 0, 1, 1]])])
    assert scores['building/unknown height/object_f1'] == 100
    assert evaluate([sample([[1, 0, 0, 0]], [[1, 0, 1, 1]])])['building/unknown height/object_recall'] == 50


def detection(masks, scores, **labels):
    instances = InstanceData(masks=torch.as_tensor(np.asarray(masks, bool)), scores=torch.tensor(scores))
    return {'pred_instances': instances.to_dict(), 'ori_shape': (1, 6), **labels}


def test_a_detector_is_scored_by_its_confident_instances():
    ids = np.array([[1, 1, 1, 2, 2, 2]], np.int32)  # they touch: as one part of a mask neither would be found
    heights_m = np.array([np.nan, 5, 50], np.float32)
    labels = {'building_ids': ids, 'building_heights_m': heights_m}
    masks = [[[1, 1, 1, 0, 0, 0]], [[0, 0, 0, 1, 1, 1]], [[1, 1, 1, 1, 1, 1]]]
    scores = evaluate([detection(masks, [0.9, 0.5, 0.4], **labels)])
    assert scores['building/object_f1'] == 100
    assert scores['building/f1'] == 100
    assert evaluate([detection(masks, [0.9, 0.49, 0.4], **labels)])['building/high-rise/object_recall'] == 0
    assert evaluate([detection(masks, [0.1, 0.1, 0.1], **labels)])['building/recall'] == 0
    assert evaluate([detection(masks, [0.9, 0.5, 0.4], **labels)], score_threshold=0.95)['building/recall'] == 0


def test_ignored_instances_of_a_detector_s_labels_are_left_out():
    ids = np.array([[1, 1, 1, 0, 0, 0]], np.int32)
    labels = {'building_ids': ids, 'building_heights_m': np.array([np.nan, 5], np.float32)}
    ignored = InstanceData(masks=torch.tensor([[[0, 0, 0, 0, 1, 1]]], dtype=torch.bool))
    masks = [[[1, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 1, 1]]]
    scores = evaluate([detection(masks, [0.9, 0.9], ignored_instances=ignored.to_dict(), **labels)])
    assert scores['building/f1'] == scores['building/object_f1'] == 100


def test_nothing_is_found_in_an_image_that_could_not_be_read():
    one = sample(*HAND) | {'unreadable': True}
    scores = evaluate([one])
    assert scores['building/recall'] == 0
    assert math.isnan(scores['building/precision'])


def test_nothing_labeled_and_nothing_found_has_no_score():
    scores = evaluate([sample([[0, 0]], [[0, 0]])])
    assert math.isnan(scores['building/f1'])
    assert scores['mIoU'] == scores['mAcc'] == scores['aAcc'] == 100  # of the background
    nowhere = evaluate([sample([[1, 0]], [[255, 255]])])
    assert all(math.isnan(nowhere[name]) for name in ('mIoU', 'mAcc', 'aAcc', 'building/f1'))


def test_scores_of_a_class_are_left_out_where_they_are_undefined():
    """A false alarm in an image without buildings: nothing of unknown height could be recalled."""
    scores = evaluate([sample(*HAND), sample([[1]], [[0]])])
    assert scores['building/unknown height/precision'] == scores['building/unknown height/f1'] == 0
    assert 'building/unknown height/recall' not in scores


def test_the_log_shows_the_classes_and_how_many_buildings_they_have(capsys):
    MMLogger.get_instance('height_class_scores')
    evaluate([sample(*HAND)], min_object_px=2)
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ['overall', '2', '40.0', '50.0', '66.7', '57.1', '50.0', '50.0', '50.0'] in rows
    assert ['skyscraper', '1', '25.0', '33.3', '50.0', '40.0', '0.0', '0.0', '0.0'] in rows


def test_limits_are_those_of_the_config():
    scores = evaluate([sample(*HAND)], limits_m=(200.0,), names=('small', 'large'))
    assert scores['building/small/f1'] == scores['building/f1']


def test_without_limits_in_the_config_they_are_those_of_the_data_set():
    metric = HeightClassScores(min_object_px=0)
    metric.dataset_meta = {'classes': ('background', 'building')}
    assert metric.classes.limits_m == (12.0, 35.0, 100.0)
    metric.dataset_meta = {'height_classes': {'limits_m': [200.0], 'names': ['small', 'large']}}
    metric.process(None, [sample(*HAND)])
    scores = metric.evaluate(1)
    assert scores['building/small/f1'] == scores['building/f1']
    given = HeightClassScores(limits_m=[7.0], names=['a', 'b'])
    given.dataset_meta = metric.dataset_meta
    assert given.classes.names == ('a', 'b')


def test_the_file_holds_scores_and_counts_that_sum(tmp_path):
    file = tmp_path / 'scores.json'
    samples = [sample(*HAND), sample([[0]], [[0]])]
    for each, name in zip(samples, ('a.png', 'b.png'), strict=True):
        each['img_path'] = name
    scores = evaluate(samples, out_file=str(file))
    content = json.loads(file.read_text())
    assert content['scores']['overall']['f1'] == scores['building/f1']
    assert content['miou'] == scores['mIoU']
    assert content['limits_m'] == [12.0, 35.0, 100.0]
    assert content['counts']['pixels']['low-rise'] == {'tp': 3, 'fp': 2, 'fn': 1}
    assert content['counts']['objects']['skyscraper'] == {'tp': 0, 'fp': 1, 'fn': 1}
    assert content['background_pixels'] == 5
    assert content['images'] == {'a.png': {'low-rise': [3, 2, 1], 'skyscraper': [1, 2, 1]}, 'b.png': {}}
    assert [path.name for path in tmp_path.iterdir()] == ['scores.json']
    evaluate([sample([[0]], [[0]])], out_file=str(file))
    assert json.loads(file.read_text())['scores']['overall']['f1'] is None


def test_no_image_gives_no_scores():
    metric = HeightClassScores()
    assert math.isnan(metric.evaluate(0)['building/f1'])


def test_names_that_do_not_fit_the_limits_are_refused():
    with pytest.raises(ValueError, match='expected 2 different ones'):
        HeightClassScores(limits_m=[20])


def work(rank, address, folder):
    """Score every second of three images; the shorter share is padded by repeating, as mmengine's sampler does."""
    torch.distributed.init_process_group('gloo', init_method=address, rank=rank, world_size=2)
    samples = [sample(*HAND), sample([[0, 0]], [[1, 1]], [[1, 1]], [5.0]), sample([[1]], [[0]])]
    metric = HeightClassScores(min_object_px=0, out_file=str(folder / 'scores.json'))
    for index in ((0, 2), (1, 0))[rank]:
        metric.process(None, [samples[index]])
    scores = metric.evaluate(3)
    (folder / f'{rank}.json').write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


def test_several_processes_score_what_one_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = f'file://{tmp_path}/meeting'
    call_in_clean_processes(work, *((rank, address, tmp_path) for rank in range(2)))
    alone = evaluate([sample(*HAND), sample([[0, 0]], [[1, 1]], [[1, 1]], [5.0]), sample([[1]], [[0]])])
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == pytest.approx(alone, nan_ok=True)
    assert json.loads((tmp_path / 'scores.json').read_text())['counts']['pixels']['low-rise']['fn'] == 3
    assert not (tmp_path / '.dist_test').exists()  # what mmengine exchanges results by unless told otherwise
