import json
from dataclasses import replace

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco_mask

from projects.deployment.prediction.coco_results import paste_masks, to_annotations, write_coco
from projects.deployment.predictions import Detections


def detections(masks=True):
    boxes = np.array([[2, 3, 10, 9], [0, 0, 4, 4]], dtype=np.float32)
    roi = np.ones((2, 28, 28), dtype=np.float32) if masks else None
    return Detections(boxes, np.array([0.75, 0.5], np.float32), np.array([1, 0]), roi)


def test_annotations_have_sizes_and_count_categories_from_one():
    found = detections()
    first, second = to_annotations(found, paste_masks(found, (20, 30), 0.5), (20, 30))
    assert first['bbox'] == [2, 3, 8, 6]
    assert (first['category_id'], second['category_id']) == (2, 1)
    assert first['score'] == 0.75
    assert first['area'] == 48
    mask = coco_mask.decode(first['segmentation'])
    assert mask[3:9, 2:10].all()
    assert mask.sum() == 48


def test_buildings_with_offsets_have_them_as_bonai_names_them():
    found = replace(detections(), offsets=np.array([[3.456, -2], [0, 1]], np.float32), heights_m=np.float32([12.5, 3]))
    first, second = to_annotations(found, paste_masks(found, (20, 30), 0.5), (20, 30))
    assert (first['offset'], first['building_height']) == ([3.46, -2], 12.5)
    assert (second['offset'], second['building_height']) == ([0, 1], 3)
    assert 'offset' not in to_annotations(detections(), None, (20, 30))[0]


def test_boxes_alone_have_their_own_area_and_no_mask():
    found = detections(masks=False)
    assert paste_masks(found, (20, 30), 0.5) is None
    first = to_annotations(found, None, (20, 30))[0]
    assert first['area'] == 48
    assert 'segmentation' not in first


def test_the_file_scores_perfectly_against_itself(tmp_path):
    found = detections()
    annotations = to_annotations(found, paste_masks(found, (20, 30), 0.5), (20, 30))
    images = [{'id': number, 'file_name': f'{number}.png', 'width': 30, 'height': 20} for number in (1, 2)]
    path = tmp_path / 'detections.json'
    write_coco(path, ('tree', 'house'), images, ({'image_id': 2, **one} for one in annotations))
    content = json.loads(path.read_text())
    assert [category['name'] for category in content['categories']] == ['tree', 'house']
    assert [annotation['id'] for annotation in content['annotations']] == [1, 2]
    truth = COCO(str(path))
    for kind in ('bbox', 'segm'):
        evaluation = COCOeval_faster(truth, truth.loadRes(content['annotations']), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)


def test_a_file_without_detections_is_complete(tmp_path):
    write_coco(tmp_path / 'none.json', ('tree',), [], [])
    assert json.loads((tmp_path / 'none.json').read_text())['annotations'] == []


def test_a_broken_run_leaves_the_old_file(tmp_path):
    path = tmp_path / 'detections.json'
    write_coco(path, ('tree',), [], [])
    before = path.read_text()
    with pytest.raises(ZeroDivisionError):
        write_coco(path, ('tree',), [], ({'score': 1 / 0} for _ in range(2)))
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]
