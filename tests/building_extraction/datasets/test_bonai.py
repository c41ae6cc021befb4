"""BONAI's COCO layer: roofs, footprints and buildings at the right pixels, heights and flags; masks equal instances."""

import json
import math

import numpy as np
import pytest
import shapely
from mmengine.registry import init_default_scope
from PIL import Image
from shapely.affinity import translate

from projects.building_extraction import roof_offsets  # noqa: F401 (registers)
from projects.building_extraction.bonai_annotations import contradiction_px, labeled
from projects.building_extraction.datasets import loading
from projects.building_extraction.datasets.bonai import (
    BonaiDataset,
    BonaiInstanceDataset,
    BonaiScores,
)

SIDE = 64
META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'building_ids', 'building_heights_m')
SEMANTIC = [
    {'type': 'LoadAerialImage'},
    {'type': 'DrawBuildingMask'},
    {'type': 'DrawBuildings'},
    {'type': 'PackSegInputs', 'meta_keys': META_KEYS},
]
INSTANCES = [
    {'type': 'LoadAerialImage'},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'DrawBuildings'},
    {'type': 'PackDetInputs', 'meta_keys': META_KEYS},
]


def square(left, top, side):
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def box(ring):
    points = np.reshape(ring, (-1, 2))
    return [*points.min(0).tolist(), *np.ptp(points, 0).tolist()]


def annotation(number, roof, offset=(4, -6), height=20.0, **fields):
    """With all fields that the files have."""
    footprint = (np.reshape(roof, (-1, 2)) - offset).ravel().tolist()
    return {
        'id': number,
        'image_id': 1,
        'category_id': 1,
        'iscrowd': 0,
        'ignore_flag': 0,
        'area': float(box(roof)[2] * box(roof)[3]),
        'bbox': box(roof),
        'roof_bbox': box(roof),
        'footprint_bbox': box(footprint),
        'building_bbox': box(roof + footprint),
        'segmentation': [roof],
        'roof_mask': roof,
        'footprint_mask': footprint,
        'offset': list(offset),
        'building_height': height,
        **fields,
    }


ANNOTATIONS = [
    annotation(1, square(10, 10, 8), height=40.5),
    annotation(2, square(40, 10, 10), height=math.nan),
    annotation(3, square(10, 36, 8), height=0),
    annotation(4, square(40, 36, 8), height=15.0, ignore_flag=1, iscrowd=1),
]


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')


def write(root, annotations):
    (root / 'coco').mkdir(exist_ok=True)
    content = {
        'images': [{'id': 1, 'file_name': 'L18_1.png', 'width': SIDE, 'height': SIDE}],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'building', 'supercategory': 'none'}],
    }
    (root / 'coco/bonai_jinan_trainval.json').write_text(json.dumps(content))  # NaN as Python writes it


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'trainval/images').mkdir(parents=True)
    Image.fromarray(np.full((SIDE, SIDE, 3), 99, np.uint8)).save(tmp_path / 'trainval/images/L18_1.png')
    write(tmp_path, ANNOTATIONS)
    return tmp_path


WITH_OFFSETS = [
    {'type': 'LoadAerialImage'},
    {'type': 'LoadRoofs', 'with_bbox': True, 'with_mask': True},
    {'type': 'PackRoofs', 'meta_keys': META_KEYS},
]


def instances(root, **options):
    settings = {'pipeline': INSTANCES, 'test_mode': True, **options}
    prefix = {'img': 'trainval/images'}
    return BonaiInstanceDataset(
        data_root=str(root), ann_file='coco/bonai_jinan_trainval.json', data_prefix=prefix, **settings
    )


def masks(root, **options):
    init_default_scope('mmseg')
    settings = {'pipeline': SEMANTIC, 'test_mode': True, **options}
    prefix = {'img_path': 'trainval/images'}
    return BonaiDataset(data_root=str(root), ann_file='coco/bonai_jinan_trainval.json', data_prefix=prefix, **settings)


@pytest.mark.parametrize('build', [instances, masks])
def test_a_set_of_which_all_is_ignored_trains_nothing(root, build):
    write(root, [annotation(1, square(10, 10, 8), iscrowd=1)])
    assert len(build(root)) == 1
    with pytest.raises(ValueError, match=r'leaves nothing to train on.*1 annotations: 1 crowds'):
        build(root, test_mode=False)


@pytest.mark.parametrize('mask', [None, [], {'size': [1, 1], 'counts': 'x'}])
def test_the_segmentation_of_the_file_is_not_needed(root, mask):
    write(root, [one | {'segmentation': mask} for one in ANNOTATIONS])
    assert len(instances(root)[0]['data_samples'].gt_instances) == 3
    scores = BonaiScores(str(root / 'coco/bonai_jinan_trainval.json'), metric=['bbox', 'segm'])
    assert [one['iscrowd'] for one in scores.ground_truth.dataset['annotations']] == [0, 0, 0, 1]


# ------------------------------------------------------------------------------------------------------ instance level


def test_roofs_come_with_offsets_and_boxes_of_whole_buildings(root):
    lean = annotation(5, square(20, 20, 10), offset=(4, -6), building_bbox=[0, 0, 1, 1], footprint_mask=None)
    write(root, [*ANNOTATIONS, lean, annotation(6, square(50, 50, 8)) | {'offset': None}])
    sample = instances(root, with_offsets=True, pipeline=WITH_OFFSETS)[0]['data_samples'].gt_instances
    boxes = [[6, 10, 18, 24], [36, 10, 50, 26], [6, 36, 18, 50], [16, 20, 30, 36], [46, 50, 58, 64]]
    np.testing.assert_array_equal(sample.bboxes.numpy(), boxes)
    np.testing.assert_array_equal(sample.offsets.numpy(), [[4, -6]] * 4 + [[np.nan] * 2])
    np.testing.assert_array_equal(sample.heights_m.numpy(), np.float32([40.5, np.nan, np.nan, 20, 20]))
    assert sample.masks.masks.sum((1, 2)).tolist() == [64, 100, 64, 100, 64]


@pytest.mark.parametrize(
    ('label', 'boxes'),
    [
        ('roof', [[10, 10, 18, 18], [40, 10, 50, 20], [10, 36, 18, 44]]),
        ('footprint', [[6, 16, 14, 24], [36, 16, 46, 26], [6, 42, 14, 50]]),
        ('building', [[6, 10, 18, 24], [36, 10, 50, 26], [6, 36, 18, 50]]),
    ],
)
def test_instances_are_those_of_the_label(root, label, boxes):
    sample = instances(root, label=label)[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_instances.bboxes.numpy(), boxes)
    assert len(sample.ignored_instances) == 1
    for mask, (left, top, right, bottom) in zip(sample.gt_instances.masks.masks, boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)
    np.testing.assert_array_equal(sample.building_heights_m, np.float32([np.nan, 40.5, np.nan, np.nan]))
    np.testing.assert_array_equal(sample.building_ids > 0, sample.gt_instances.masks.masks.any(0))


def test_a_building_is_what_its_roof_sweeps():
    roof = [20, 5, 30, 5, 30, 20, 25, 20, 25, 12, 20, 12]  # an L
    shape = shapely.Polygon(np.reshape(roof, (-1, 2)))
    rings = labeled(annotation(1, roof, offset=(7, -9)), 'building')['segmentation']
    swept = shapely.union_all([shapely.make_valid(shapely.Polygon(np.reshape(ring, (-1, 2)))) for ring in rings])
    steps = shapely.union_all([translate(shape, -7 * t, 9 * t) for t in np.linspace(0, 1, 2001)])
    assert swept.symmetric_difference(steps).area < 0.02 * shape.area
    assert swept.buffer(1e-6).contains(steps)


def test_at_nadir_the_building_is_its_roof():
    one = annotation(1, square(3, 3, 5), offset=(0, 0))
    canvas = np.zeros((12, 12), np.uint8)
    loading.paint(canvas, labeled(one, 'building')['segmentation'], 1)
    assert canvas.sum() == 25


@pytest.mark.parametrize('flag', ['iscrowd', 'ignore_flag', 'ignore'])
def test_each_flag_makes_a_crowd(flag):
    one = annotation(1, square(3, 3, 5)) | {flag: 1}
    assert labeled(one, 'roof')['iscrowd'] == 1
    assert 'ignore' not in labeled(one, 'roof')
    assert labeled(annotation(1, square(3, 3, 5), ignore=0), 'roof')['iscrowd'] == 0


def test_a_building_without_known_roof_counts_as_footprint_only():
    one = annotation(1, square(3, 3, 5), only_footprint=1)
    assert [labeled(one, label)['iscrowd'] for label in ('roof', 'footprint', 'building')] == [1, 0, 1]


def test_a_missing_footprint_is_the_roof_moved_back():
    one = annotation(1, square(10, 10, 8))
    expected = one.pop('footprint_mask')
    assert labeled(one, 'footprint')['segmentation'] == [expected]


@pytest.mark.parametrize('offset', [[math.nan, math.nan], [None, 1], [1, 2, 3], None])
def test_an_offset_that_is_no_pair_of_numbers_is_unknown(offset):
    roof = square(20, 20, 10)
    unknown = annotation(1, roof) | {'offset': offset}
    assert labeled(unknown, 'building')['bbox'] == [16, 20, 14, 16]
    assert labeled(unknown, 'building')['segmentation'] == [roof, unknown['footprint_mask']]
    assert labeled(unknown | {'footprint_mask': None}, 'footprint') is None
    assert math.isnan(contradiction_px(unknown))


def test_a_ring_with_null_is_no_polygon():
    broken = annotation(1, square(20, 20, 10)) | {'roof_mask': [None, 1, 2, 3, 4, 5]}
    assert labeled(broken, 'roof') is None


def test_the_annotation_itself_stays_as_it_is():
    one = annotation(1, square(10, 10, 8), ignore=1)
    before = json.dumps(one)
    labeled(one, 'building')
    assert json.dumps(one) == before


def test_annotations_without_polygon_are_left_out_and_named(root, logged):
    broken = [annotation(number, square(10, number, 6)) for number in (7, 8)]
    broken[0]['roof_mask'] = [1, 2, math.nan, 4, 5, 6]
    del broken[1]['footprint_mask'], broken[1]['offset']
    write(root, ANNOTATIONS + broken)
    assert len(instances(root)[0]['data_samples'].gt_instances) == 3
    assert any('2 of 6 annotations lack "roof_mask"' in text and '(ids [7, 8])' in text for text in logged)


def test_a_plain_coco_file_is_refused(root):
    keys = ('id', 'image_id', 'category_id', 'iscrowd', 'area', 'bbox', 'segmentation')
    write(root, [{key: one[key] for key in keys} for one in ANNOTATIONS])
    with pytest.raises(ValueError, match=r"4 of 4 annotations lack .*not BONAI's COCO layer.*prepare_data"):
        instances(root)


@pytest.mark.parametrize('build', [instances, masks])
def test_an_unknown_label_is_refused(root, build):
    with pytest.raises(ValueError, match=r"label='facade' of BONAI: expected one of \('roof'"):
        build(root, label='facade')


# --------------------------------------------------------------------------------------------------------- consistency


def test_contradictions_are_measured_in_pixels():
    one = annotation(1, square(10, 10, 8), offset=(4, -6))
    assert contradiction_px(one) == 0
    assert contradiction_px(one | {'offset': [4, -3.5]}) == 2.5
    assert contradiction_px(one | {'offset': [-4, 6]}) == 12  # footprint - offset, the other way round
    assert contradiction_px(one | {'roof_mask': [10, 10, 18, 10, 18, 18, 14, 18, 10, 18]}) == 0  # one point more
    assert math.isnan(contradiction_px({key: value for key, value in one.items() if key != 'offset'}))


def test_the_share_of_contradictions_is_logged(root, logged):
    instances(root)
    assert any('in 0 of 4 annotations (0.0%); the largest difference is 0.0 px' in text for text in logged)
    write(root, [*ANNOTATIONS[:3], ANNOTATIONS[3] | {'offset': [4, 14]}])
    instances(root)
    assert any('in 1 of 4 annotations (25.0%); the largest difference is 20.0 px' in text for text in logged)


# ------------------------------------------------------------------------------------------------------ semantic level


@pytest.mark.parametrize('label', ['roof', 'footprint', 'building'])
def test_masks_are_the_union_of_the_instances(root, label):
    one = masks(root, label=label)
    sample = one[0]['data_samples']
    labels = sample.gt_sem_seg.data[0].numpy()
    init_default_scope('mmdet')
    expected = instances(root, label=label)[0]['data_samples']
    np.testing.assert_array_equal(labels == 1, expected.gt_instances.masks.masks.any(0))
    np.testing.assert_array_equal(labels == 255, expected.ignored_instances.masks.masks.any(0))
    np.testing.assert_array_equal(sample.building_ids, expected.building_ids)
    np.testing.assert_array_equal(sample.building_heights_m, expected.building_heights_m)


def test_an_unreadable_image_is_black_and_scored(root):
    (root / 'trainval/images/L18_1.png').write_bytes(b'')
    sample = masks(root, max_unreadable_share=1.0)[0]
    assert sample['inputs'].sum() == 0
    assert sample['data_samples'].unreadable
    assert sample['data_samples'].building_ids.max() == 3


def test_an_absent_file_says_where_it_can_be_had(root):
    (root / 'coco/bonai_jinan_trainval.json').unlink()
    for build in (instances, masks):
        with pytest.raises(FileNotFoundError, match=r'bonai_jinan_trainval\.json\. The data .* from example\.org'):
            build(root, source='example.org')


# ------------------------------------------------------------------------------------------------------------- scoring


@pytest.mark.parametrize('label', ['roof', 'footprint'])
def test_perfect_boxes_of_a_label_score_1_against_it_alone(root, label):
    sample = instances(root, label=label)[0]['data_samples']
    boxes = sample.gt_instances.bboxes.tensor
    predicted = {'bboxes': boxes, 'scores': np.ones(len(boxes)), 'labels': np.zeros(len(boxes), int)}
    for against in ('roof', 'footprint'):
        metric = BonaiScores(str(root / 'coco/bonai_jinan_trainval.json'), label=against)
        metric.dataset_meta = {'classes': ('building',)}
        metric.process({}, [{'img_id': 1, 'pred_instances': predicted}])
        assert metric.evaluate(1)['coco/bbox_mAP'] == (1 if against == label else 0)
