"""Building instances with heights in COCO's format."""

import json
import math

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from projects.building_extraction import roof_offsets  # noqa: F401 (registers)
from projects.building_extraction.datasets import loading  # noqa: F401 (registers)
from projects.building_extraction.datasets.building_instances import BuildingInstanceDataset
from projects.training import annotations as annotations_module
from projects.training.coco_scores import CocoScores

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'building_ids', 'building_heights_m')
PIPELINE = [
    {'type': 'LoadAerialImage'},
    {'type': 'Resize', 'scale': (96, 96), 'keep_ratio': True},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'DrawBuildings'},
    {'type': 'PackDetInputs', 'meta_keys': META_KEYS},
]


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')  # as in the configs


def annotation(number, left, top, right, bottom, **fields):
    ring = [left, top, right, top, right, bottom, left, bottom]
    box = [left, top, right - left, bottom - top]
    area = box[2] * box[3]
    common = {'id': number, 'image_id': 1, 'category_id': 1, 'bbox': box, 'area': area, 'segmentation': [ring]}
    return common | {'iscrowd': 0, **fields}


ANNOTATIONS = [
    annotation(1, 2, 2, 10, 10, building_height=12.0),
    annotation(2, 8, 8, 16, 16, building_height=None),
    annotation(3, 20, 2, 30, 10, building_height=50, iscrowd=1),
    annotation(4, 20, 20, 30, 30, building_height=math.nan, ignore=1),
    annotation(5, 34, 20, 40, 30),
    annotation(6, 34, 2, 40, 8, building_height=120.5),
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'val/images').mkdir(parents=True)
    Image.fromarray(np.full((32, 48, 3), 99, np.uint8)).save(tmp_path / 'val/images/a.png')
    write(tmp_path, ANNOTATIONS)
    return tmp_path


def write(root, annotations):
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 48, 'height': 32}],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'building'}],
    }
    (root / 'val/instances.json').write_text(json.dumps(content))


def dataset(root, **options):
    settings = {'pipeline': PIPELINE, 'test_mode': True, **options}
    return BuildingInstanceDataset(
        data_root=str(root), ann_file='val/instances.json', data_prefix={'img': 'val/images/'}, **settings
    )


def test_evaluation_samples_carry_their_buildings_at_the_size_of_the_file(root):
    sample = dataset(root)[0]
    assert sample['inputs'].shape == (3, 64, 96)
    sample = sample['data_samples']
    ids = sample.building_ids
    assert (ids.dtype, ids.shape) == (np.int32, (32, 48))
    assert [ids[4, 4], ids[9, 9], ids[14, 14], ids[25, 36], ids[4, 36]] == [1, 2, 2, 3, 4]
    assert not ids[2:10, 20:30].any()
    assert not ids[20:30, 20:30].any()
    np.testing.assert_array_equal(sample.building_heights_m, np.float32([np.nan, 12, np.nan, np.nan, 120.5]))


def test_what_is_ignored_is_a_crowd(root):
    sample = dataset(root)[0]['data_samples']
    assert len(sample.gt_instances) == 4
    assert len(sample.ignored_instances) == 2


def test_instances_are_found_as_mmdet_draws_them(root):
    sample = dataset(root, pipeline=[step for step in PIPELINE if step['type'] != 'Resize'])[0]['data_samples']
    union = sample.gt_instances.masks.masks.any(0)
    np.testing.assert_array_equal(union, sample.building_ids > 0)


def test_training_samples_do_not_carry_buildings(root):
    one = dataset(root, test_mode=False)
    assert 'buildings' not in one.get_data_info(0)
    assert 'building_ids' not in one[0]['data_samples']


def test_an_unreadable_image_keeps_its_buildings(root):
    (root / 'val/images/a.png').write_bytes(b'')
    sample = dataset(root, max_unreadable_share=1.0)[0]['data_samples']
    assert sample.unreadable
    assert sample.building_ids.max() == 4


def test_heights_that_are_no_numbers_are_refused(root):
    write(root, [annotation(1, 2, 2, 10, 10, building_height='tall')])
    with pytest.raises(ValueError, match=r"instances\.json: \"building_height\" of an annotation: height 'tall'"):
        dataset(root)


@pytest.mark.parametrize('test_mode', [True, False])
def test_the_metric_takes_the_records_of_the_data_set_as_the_file_has_them(root, monkeypatch, test_mode):
    path = root / 'val/instances.json'
    alone = CocoScores(str(path), metric=['bbox', 'segm']).ground_truth.dataset
    files, parse = [], annotations_module._parse
    monkeypatch.setattr(annotations_module, '_parse', lambda path: files.append(path) or parse(path))
    assert len(dataset(root, test_mode=test_mode)) == 1
    shared = CocoScores(str(path), metric=['bbox', 'segm']).ground_truth.dataset
    assert len(files) == (1 if test_mode else 2)
    for key in ('annotations', 'categories'):
        np.testing.assert_equal(shared[key], alone[key])


def test_the_height_classes_that_a_set_was_made_with_go_with_it_to_the_scores(root):
    assert 'height_classes' not in dataset(root).metainfo
    (root / 'parameters.json').write_text('{"height_classes": {"limits_m": [20.0], "names": ["small", "large"]}}')
    assert dataset(root).metainfo['height_classes']['names'] == ('small', 'large')


def with_offsets(root, annotations, **options):
    write(root, annotations)
    pipeline = [{'type': 'LoadAerialImage'}, {'type': 'LoadRoofs', 'with_bbox': True, 'with_mask': True}]
    return dataset(root, with_offsets=True, pipeline=pipeline, **options)


def test_with_offsets_boxes_are_those_of_whole_buildings(root):
    found = with_offsets(
        root,
        [
            annotation(1, 2, 2, 10, 10, building_height=12.0, offset=[4, -3.5], building_bbox=[-2, 2, 12, 11.5]),
            annotation(2, 8, 8, 8, 16, building_height=20.0, offset=[9, 9]),  # without width: left out by mmdet
            annotation(3, 20, 2, 30, 10, building_height=None, offset=None, building_bbox=[]),
            annotation(4, 20, 20, 30, 30, building_height=0, offset=[math.nan, 1], ignore=1),
            annotation(5, 34, 20, 40, 30),
            annotation(6, 34, 2, 40, 8, building_height=120.5, offset=[0, 0]),
        ],
    )[0]
    boxes = [[-2, 2, 10, 13.5], [20, 2, 30, 10], [20, 20, 30, 30], [34, 20, 40, 30], [34, 2, 40, 8]]
    np.testing.assert_array_equal(found['gt_bboxes'].tensor.numpy(), boxes)
    np.testing.assert_array_equal(found['gt_offsets'], [[4, -3.5], *[[np.nan] * 2] * 3, [0, 0]])
    np.testing.assert_array_equal(found['gt_heights_m'], np.float32([12, np.nan, np.nan, np.nan, 120.5]))
    np.testing.assert_array_equal(found['gt_ignore_flags'], [False, False, True, False, False])
    assert found['gt_masks'].masks.sum((1, 2)).tolist() == [64, 80, 100, 60, 36]  # the roofs alone
    assert len(found['buildings']) == 5


def test_a_height_that_is_none_is_named(root):
    with pytest.raises(ValueError, match=r'"building_height" of an annotation: height \'tall\''):
        with_offsets(root, [annotation(1, 2, 2, 10, 10, building_height='tall')], test_mode=False)
