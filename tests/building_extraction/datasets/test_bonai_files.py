"""BONAI's per-image files become a file of its COCO layer that says the same."""

import json
import math

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from projects.building_extraction.datasets import loading  # noqa: F401 (registers)
from projects.building_extraction.datasets.bonai import BonaiInstanceDataset
from projects.building_extraction.datasets.bonai_files import coco_annotation, convert_bonai

ROOF = [10, 10, 18, 10, 18, 20, 10, 20]
FOOTPRINT = [6, 16, 14, 16, 14, 26, 6, 26]
ENTRY = {'roof': ROOF, 'footprint': FOOTPRINT, 'offset': [4, -6], 'building_height': 21.5, 'ignore': 0}


@pytest.fixture
def folder(tmp_path):
    files = {
        'shanghai_1': [ENTRY, ENTRY | {'building_height': math.nan, 'ignore': 1}],
        'shanghai_2': [],
        'shanghai_3': [ENTRY | {'offset': [4, 6]}, ENTRY | {'roof': [], 'offset': None}, ENTRY | {'roof': None}],
        'shanghai_4': [{'roof': [1, 2, 3], 'footprint': None}],
    }
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / '.coco.7.partial.json').write_text('{')  # of a conversion that was killed
    (tmp_path / 'images').mkdir()
    for name, entries in files.items():
        (tmp_path / 'labels' / f'{name}.json').write_text(json.dumps({'annotations': entries}))
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / 'images' / f'{name}.png')
    return tmp_path


def test_a_folder_becomes_the_coco_layer(folder):
    out = folder / 'coco/bonai_shanghai_trainval.json'
    counts = convert_bonai(folder / 'labels', out, folder / 'images')
    assert counts == {
        'images': 4,
        'annotations': 5,
        'ignored': 1,
        'unknown_height': 1,
        'only_footprint': 2,
        'left_out': 1,
        'contradicting': 1,
    }
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    content = json.loads(out.read_text(), parse_constant=pytest.fail)  # no NaN
    assert [image['file_name'] for image in content['images']] == [f'shanghai_{n}.png' for n in (1, 2, 3, 4)]
    assert content['images'][0] | {'id': 0, 'file_name': ''} == {'id': 0, 'file_name': '', 'width': 64, 'height': 48}
    assert [(one['id'], one['image_id']) for one in content['annotations']] == [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3)]
    assert content['annotations'][0] == {
        'id': 1,
        'image_id': 1,
        'category_id': 1,
        'area': 80,
        'iscrowd': 0,
        'ignore_flag': 0,
        'only_footprint': 0,
        'bbox': [10, 10, 8, 10],
        'roof_bbox': [10, 10, 8, 10],
        'footprint_bbox': [6, 16, 8, 10],
        'building_bbox': [6, 10, 12, 16],
        'segmentation': [ROOF],
        'roof_mask': ROOF,
        'footprint_mask': FOOTPRINT,
        'offset': [4, -6],
        'building_height': 21.5,
    }


@pytest.mark.parametrize(('label', 'boxes'), [('roof', [[10, 10, 18, 20]]), ('footprint', [[6, 16, 14, 26]])])
def test_the_converted_file_is_read_as_the_original_layer(folder, label, boxes):
    init_default_scope('mmdet')
    convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    pipeline = [
        {'type': 'LoadAerialImage'},
        {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        {'type': 'DrawBuildings'},
        {'type': 'PackDetInputs', 'meta_keys': ('img_id', 'building_heights_m')},
    ]
    one = BonaiInstanceDataset(
        data_root=str(folder),
        ann_file='coco.json',
        data_prefix={'img': 'images'},
        label=label,
        pipeline=pipeline,
        test_mode=True,
    )
    sample = one[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_instances.bboxes.numpy(), boxes)
    assert len(sample.ignored_instances) == 1
    np.testing.assert_array_equal(sample.building_heights_m, [np.nan, 21.5])


def test_missing_parts_follow_from_the_others():
    moved = coco_annotation({'roof': ROOF, 'offset': [4, -6]})
    assert moved['footprint_mask'] == FOOTPRINT
    assert moved['building_height'] is None
    assert coco_annotation({'roof': ROOF, 'footprint': FOOTPRINT})['offset'] == [4, -6]
    alone = coco_annotation({'footprint': FOOTPRINT, 'offset': [4, -6]})
    assert (alone['only_footprint'], alone['roof_mask'], alone['offset']) == (1, FOOTPRINT, [0, 0])
    assert coco_annotation({'roof': [0, 0, 5, 5, 10, 10]}) is None  # no area
    assert coco_annotation({'roof': ROOF, 'building_height': -1})['building_height'] is None


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('{"annotations": [', r'shanghai_2\.json is not JSON'),
        ('[]', r'shanghai_2\.json: expected an object with a list "annotations"'),
        ('{"annotations": [3]}', 'expected an object with a list'),
        ('{"annotations": [{"roof": [0, 0, 9, 0, 9, 9], "offset": [1]}]}', r'shanghai_2\.json: "offset" must be two'),
        ('{"annotations": [{"roof": [0, 0, 9, 0, 9, 9], "building_height": "x"}]}', r"2\.json: height 'x'"),
    ],
)
def test_files_of_another_structure_are_named_and_nothing_is_written(folder, content, reason):
    (folder / 'labels/shanghai_2.json').write_text(content)
    with pytest.raises(ValueError, match=reason):
        convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    assert not list(folder.glob('*coco.json*'))


def test_absent_images_and_files_are_named(folder):
    (folder / 'images/shanghai_3.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'shanghai_3\.json has no image of its name below .*images'):
        convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    with pytest.raises(FileNotFoundError, match=r'No \*\.json below .*images'):
        convert_bonai(folder / 'images', folder / 'coco.json')
