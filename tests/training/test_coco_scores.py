"""COCO scores: equal to pycocotools, and right on cases worked out by hand."""

import json
import logging
import re

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from projects.training.coco_scores import SUMMARY, CocoScores, describe_scores

CLASSES = ('b', 'a')  # not the order of the ids below
IDS = {'a': 2, 'b': 7}
SIZE = 128


def boxes_and_masks(rng, number):
    """Random ellipses: boxes (N, 4) as x1, y1, x2, y2 and masks (N, SIZE, SIZE)."""
    center = rng.uniform(0, SIZE, (number, 2))
    radii = np.exp(rng.uniform(np.log(3), np.log(45), (number, 2)))
    y, x = np.mgrid[:SIZE, :SIZE]
    distance = ((x - center[:, 0, None, None]) / radii[:, 0, None, None]) ** 2
    distance = distance + ((y - center[:, 1, None, None]) / radii[:, 1, None, None]) ** 2
    masks = distance < 1
    masks[np.arange(number), center[:, 1].astype(int), center[:, 0].astype(int)] = True
    rles = [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    boxes = coco_mask.toBbox(rles)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, masks


@pytest.fixture(scope='module')
def random_case(tmp_path_factory):
    """40 images with 0 to 12 objects, some of them crowds, and detections that hit, miss, double and confuse."""
    rng = np.random.default_rng(0)
    content = {'images': [], 'annotations': [], 'categories': [{'id': IDS[name], 'name': name} for name in 'ab']}
    samples = []
    for image_id in range(1, 41):
        content['images'].append({'id': image_id, 'file_name': f'{image_id}.jpg', 'height': SIZE, 'width': SIZE})
        boxes, masks = boxes_and_masks(rng, int(rng.integers(0, 13)))
        labels = rng.integers(0, 2, len(boxes))
        for box, mask, label in zip(boxes, masks, labels, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            rle['counts'] = rle['counts'].decode()
            content['annotations'].append(
                {
                    'id': len(content['annotations']) + 1,
                    'image_id': image_id,
                    'category_id': IDS[CLASSES[label]],
                    'bbox': [*box[:2], *(box[2:] - box[:2])],
                    'area': float(mask.sum()),
                    'iscrowd': int(rng.random() < 0.1),
                    'segmentation': rle,
                }
            )
        extra_boxes, extra_masks = boxes_and_masks(rng, int(rng.integers(0, 6)))
        shift = rng.integers(-4, 5, (len(boxes), 2))
        found_masks = (
            np.stack([np.roll(m, s, (0, 1)) for m, s in zip(masks, shift, strict=True)] + [*extra_masks])
            if (len(boxes) + len(extra_boxes))
            else np.zeros((0, SIZE, SIZE), bool)
        )
        found_boxes = np.concatenate([boxes + np.tile(shift[:, ::-1], 2), extra_boxes])
        found_labels = np.concatenate(
            [np.where(rng.random(len(labels)) < 0.2, 1 - labels, labels), rng.integers(0, 2, len(extra_boxes))]
        )
        order = rng.permutation(len(found_boxes))
        samples.append(
            {
                'img_id': image_id,
                'pred_instances': {
                    'bboxes': torch.tensor(found_boxes[order], dtype=torch.float32),
                    'scores': torch.tensor(rng.uniform(0, 1, len(order)), dtype=torch.float32),
                    'labels': torch.tensor(found_labels[order].astype(int)),
                    'masks': torch.tensor(found_masks[order]),
                },
            }
        )
    path = tmp_path_factory.mktemp('scores') / 'gt.json'
    path.write_text(json.dumps(content))
    return path, samples


def evaluate(path, samples, **options):
    metric = CocoScores(str(path), **{'metric': ['bbox', 'segm'], **options})
    metric.dataset_meta = {'classes': CLASSES}
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_scores_equal_pycocotools(random_case, tmp_path, kind):
    path, samples = random_case
    scores = evaluate(path, samples, outfile_prefix=str(tmp_path / 'out'))
    truth = COCO(str(path))
    reference = COCOeval(truth, truth.loadRes(str(tmp_path / f'out.{kind}.json')), kind)
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    ours = [scores[f'coco/{kind}_{name}'] for name in SUMMARY]
    assert 0.05 < ours[0] < 0.9  # neither trivial case
    np.testing.assert_allclose(ours, reference.stats[: len(SUMMARY)], atol=1e-6)


def one_object(tmp_path, **changes):
    """An image with one 'a' of 40x40 pixels at (10, 10), and a second image with none."""
    path = tmp_path / 'gt.json'
    annotation = {'id': 1, 'image_id': 1, 'category_id': 2, 'bbox': [10, 10, 40, 40], 'area': 1600, 'iscrowd': 0}
    path.write_text(
        json.dumps(
            {
                'images': [{'id': i, 'file_name': f'{i}.jpg', 'height': SIZE, 'width': SIZE} for i in (1, 2)],
                'annotations': [annotation],
                'categories': [{'id': 2, 'name': 'a'}, {'id': 7, 'name': 'b'}],
            }
        )
    )
    return path


def detections(image_id, boxes, scores=None, **extra):
    scores = [0.9] * len(boxes) if scores is None else scores
    instances = {
        'bboxes': torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        'scores': torch.tensor(scores),
        'labels': torch.full((len(boxes),), CLASSES.index('a')),
    }
    return {'img_id': image_id, 'pred_instances': instances, **extra}


@pytest.mark.parametrize(
    ('samples', 'ap', 'ap50'),
    [
        ([detections(1, [[10, 10, 50, 50]]), detections(2, [])], 1.0, 1.0),
        # 40x30 of 40x40: IoU 0.75, met by the thresholds 0.50, 0.55, … 0.75: 6 of 10
        ([detections(1, [[10, 10, 50, 40]]), detections(2, [])], 0.6, 1.0),
        # a false positive with a higher score halves the precision at every recall
        ([detections(1, [[10, 10, 50, 50]]), detections(2, [[0, 0, 9, 9]], [0.95])], 0.5, 0.5),
        ([detections(1, []), detections(2, [])], 0.0, 0.0),
        # what an unreadable image makes the network say does not count
        ([detections(1, [[10, 10, 50, 50]], unreadable=True), detections(2, [])], 0.0, 0.0),
    ],
)
def test_cases_by_hand(tmp_path, samples, ap, ap50):
    scores = evaluate(one_object(tmp_path), samples, metric='bbox')
    assert scores['coco/bbox_mAP'] == pytest.approx(ap, abs=1e-6)
    assert scores['coco/bbox_mAP_50'] == pytest.approx(ap50, abs=1e-6)


@pytest.mark.parametrize('first', [0, 1, -1, 2**40, 'a', None])
def test_scores_do_not_follow_from_the_ids_of_annotations(tmp_path, first):
    path = one_object(tmp_path)
    content = json.loads(path.read_text())
    content['annotations'][0]['id'] = first
    path.write_text(json.dumps(content))
    scores = evaluate(path, [detections(1, [[10, 10, 50, 40]]), detections(2, [])], metric='bbox')
    assert scores['coco/bbox_mAP'] == pytest.approx(0.6, abs=1e-6)


def test_detections_are_written_with_the_ids_of_the_file(tmp_path):
    path = one_object(tmp_path)
    content = json.loads(path.read_text())
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = 'first'
    content['categories'][0]['id'] = content['annotations'][0]['category_id'] = 'kind'
    path.write_text(json.dumps(content))
    scores = evaluate(path, [detections(1, [[10, 10, 50, 50]])], metric='bbox', outfile_prefix=str(tmp_path / 'out'))
    assert scores['coco/bbox_mAP'] == 1
    (found,) = json.loads((tmp_path / 'out.bbox.json').read_text())
    assert (found['image_id'], found['category_id']) == ('first', 'kind')


def test_an_object_whose_mask_is_unknown_is_neither_found_nor_missed(tmp_path, random_case):
    path, samples = random_case
    content = json.loads(path.read_text())
    lost = next(one for one in content['annotations'] if not one['iscrowd'])
    for mask in (None, {'size': [SIZE, SIZE], 'counts': lost['segmentation']['counts'][:-1]}):
        lost['segmentation'] = mask
        (tmp_path / 'gt.json').write_text(json.dumps(content))
        scores = evaluate(tmp_path / 'gt.json', samples)  # comes to an end
        assert 0.05 < scores['coco/segm_mAP'] < 0.9


@pytest.mark.parametrize('changes', [{'iscrowd': 1}, {'bbox': [500, 10, 40, 40]}])
def test_a_file_of_which_nothing_can_be_scored_is_refused(tmp_path, changes):
    path = one_object(tmp_path)
    content = json.loads(path.read_text())
    content['annotations'][0] |= changes
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'holds nothing to score.*Of its 1 annotations: 1'):
        CocoScores(str(path))


def test_a_file_without_annotations_can_be_predicted(tmp_path):
    path = one_object(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), 'annotations': []}))
    scores = evaluate(path, [detections(1, [[10, 10, 50, 50]])], metric='bbox', outfile_prefix=str(tmp_path / 'out'))
    assert scores['coco/bbox_mAP'] == -1
    assert len(json.loads((tmp_path / 'out.bbox.json').read_text())) == 1


def test_a_size_without_objects_has_no_score(tmp_path):
    scores = evaluate(one_object(tmp_path), [detections(1, [[10, 10, 50, 50]]), detections(2, [])], metric='bbox')
    assert scores['coco/bbox_mAP_m'] == 1.0  # 32² <= 1600 < 96²
    assert scores['coco/bbox_mAP_s'] == scores['coco/bbox_mAP_l'] == -1


def test_scores_of_every_class_are_logged_on_request(tmp_path):
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    samples = [detections(1, [[10, 10, 50, 40]]), detections(2, [])]
    evaluate(one_object(tmp_path), samples, metric='bbox', classwise=True)
    MMLogger.get_current_instance().removeHandler(handler)
    table = next(message for message in messages if 'box AP' in message and '│' in message)
    assert re.search(r'│ b\s+│ –\s+│', table)
    assert re.search(r'│ a\s+│ 60\.0\s+│', table)


def test_images_that_the_file_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'gt\.json lacks images of the data set, such as id 3'):
        evaluate(one_object(tmp_path), [detections(1, [[10, 10, 50, 50]]), detections(3, [])], metric='bbox')


def test_description():
    scores = {
        f'coco/bbox_{name}': value for name, value in zip(SUMMARY, (0.39, 0.612, 0.419, 0.22, -1, 0.5), strict=True)
    }
    assert describe_scores(scores) == 'box AP 39.0 (AP50 61.2, AP75 41.9, APs 22.0, APm –, APl 50.0)'


def test_unknown_metrics_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"metric \['keypoints'\] is unknown"):
        CocoScores(str(one_object(tmp_path)), metric='keypoints')


def test_building_scores_are_described_with_their_classes():
    from projects.building_extraction.evaluation import height_class_scores  # noqa: F401 (registers its description)

    scores = {'mIoU': 70.0, 'mAcc': 80.0, 'aAcc': 90.0, 'building/f1': 82.34, 'building/iou': 70.0}
    scores |= {'building/object_f1': 12.0, 'building/low-rise/f1': 71.0, 'building/low-rise/iou': 60.0}
    described = describe_scores(scores)
    assert described.startswith('building F1 82.3 (IoU 70.0, objects 12.0; low-rise 71.0) · mIoU 70.0')
