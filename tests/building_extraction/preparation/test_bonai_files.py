"""BONAI's per-image files become a file of its COCO layer that says the same."""

import json
import math
import re

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from projects.building_extraction.datasets import loading  # noqa: F401 (registers)
from projects.building_extraction.datasets.bonai import BonaiInstanceDataset
from projects.building_extraction.preparation.bonai_files import coco_annotation, convert_bonai, pair_images

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
        'unusable_files': 0,
    }
    note = out.with_name('bonai_shanghai_trainval.LICENSE.md')
    assert {path.name for path in out.parent.iterdir()} == {out.name, note.name}
    assert f'- **labels**: BONAI, {folder / "labels"}. Licence: none is stated at github.com' in note.read_text()
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
    with pytest.raises(ValueError, match='neither "roof" nor "footprint" is a polygon'):
        coco_annotation({'roof': [0, 0, 5, 5, 10, 10]})  # no area


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('{"annotations": [', r'shanghai_2\.json is not JSON'),
        ('[]', r'shanghai_2\.json: expected an object with a list "annotations"'),
        ('{"annotations": [3]}', 'expected an object with a list'),
    ],
)
def test_a_file_of_another_structure_is_named_and_the_rest_goes_on(folder, content, reason, logged):
    (folder / 'labels/shanghai_2.json').write_text(content)
    counts = convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    assert (counts['images'], counts['annotations'], counts['unusable_files']) == (3, 5, 1)
    content = json.loads((folder / 'coco.json').read_text())
    assert [image['id'] for image in content['images']] == [1, 2, 3]
    assert [one['image_id'] for one in content['annotations']] == [1, 1, 2, 2, 2]
    assert any(re.search(f'1 of 4 files are left out: .*{reason}', text) for text in logged)


@pytest.mark.parametrize(
    ('entry', 'reason'),
    [
        ({'roof': [0, 0, 9, 0, 9, 9], 'offset': [1]}, '"offset" must be two'),
        ({'roof': 'x'}, 'could not convert'),
    ],
)
def test_a_building_of_another_structure_is_named_and_the_rest_of_its_file_stays(folder, entry, reason, logged):
    (folder / 'labels/shanghai_2.json').write_text(json.dumps({'annotations': [entry, ENTRY]}))
    counts = convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    assert (counts['images'], counts['annotations'], counts['left_out']) == (4, 6, 2)
    assert any(re.search(rf'2 of 8 buildings .*shanghai_2\.json: building 0: .*{reason}', text) for text in logged)


def test_heights_are_read_as_those_of_vector_files(folder):
    entries = [ENTRY | {'building_height': height} for height in (-1, '12,5 m', 'n/a', 9999, None, 'tall', 8)]
    (folder / 'labels/shanghai_1.json').write_text(json.dumps({'annotations': entries}))
    convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    annotations = json.loads((folder / 'coco.json').read_text())['annotations']
    assert [one['building_height'] for one in annotations[:7]] == [None, 12.5, None, None, None, None, 8]


def test_images_that_are_absent_or_broken_are_named_and_the_rest_goes_on(folder, logged):
    (folder / 'images/shanghai_3.png').unlink()
    (folder / 'images/shanghai_1.png').write_bytes(b'GIF')
    counts = convert_bonai(folder / 'labels', folder / 'coco.json', folder / 'images')
    assert (counts['images'], counts['annotations'], counts['unusable_files']) == (2, 0, 2)
    (warning,) = (text for text in logged if 'files are left out' in text)
    assert re.search(
        r'shanghai_3\.json has no image of its name below .*images; cannot identify .*shanghai_1\.png', warning
    )


def test_nothing_is_written_if_no_file_can_be_used(folder):
    with pytest.raises(ValueError, match=r'none of the 4 \*\.json .* can be used: .*shanghai_1\.json has no image'):
        convert_bonai(folder / 'labels', folder / 'coco.json')
    with pytest.raises(FileNotFoundError, match=r'No \*\.json below .*images'):
        convert_bonai(folder / 'images', folder / 'coco.json')
    assert not list(folder.glob('*coco.json*'))


def cities(root, labels, pictures):
    """Annotation files, and images each of a width of its own: 10, 11, ..."""
    for path in labels:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(json.dumps({'annotations': []}))
    for width, path in enumerate(pictures, start=10):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, width, 3), np.uint8)).save(root / path)


@pytest.mark.parametrize(
    ('labels', 'pictures'),
    [
        (['l/a/1.json', 'l/b/1.json'], ['i/a/1.png', 'i/b/1.png']),
        (['l/b/1.json', 'l/a/1.json'], ['i/train/b/1.png', 'i/train/a/1.png']),
        (['l/1.json', 'l/b/1.json'], ['i/1.png', 'i/b/1.png']),
        (['l/b/1.json', 'l/b/c/1.json'], ['i/b/1.png', 'i/b/c/1.jpg']),
        (['l/one/1.json', 'l/two/2.json'], ['i/1.png', 'i/2.png']),
    ],
)
def test_images_of_one_name_belong_to_the_folders_of_that_name(tmp_path, labels, pictures):
    cities(tmp_path, labels, pictures)
    paired, problems = pair_images([tmp_path / path for path in labels], tmp_path / 'l', tmp_path / 'i')
    assert problems == []
    assert paired == {tmp_path / a: tmp_path / b for a, b in zip(labels, pictures, strict=True)}


def test_images_beside_their_labels_in_one_folder_of_cities_keep_their_city(tmp_path, logged):
    names = ('beijing', 'shanghai')
    cities(tmp_path, [f'{n}/labels/1.json' for n in names], [f'{n}/images/1.png' for n in names])
    assert convert_bonai(tmp_path, tmp_path / 'coco.json')['images'] == 2
    content = json.loads((tmp_path / 'coco.json').read_text())
    widths = [(image['file_name'], image['width']) for image in content['images']]
    assert widths == [('beijing/images/1.png', 10), ('shanghai/images/1.png', 11)]
    assert not any('left out' in text for text in logged)


@pytest.mark.parametrize(
    ('labels', 'pictures', 'named'),
    [
        (['l/1.json'], ['i/a/1.png', 'i/b/1.png'], ['l/1.json', 'i/a/1.png', 'i/b/1.png']),
        (['l/1.json'], ['i/1.jpg', 'i/1.png'], ['l/1.json', 'i/1.jpg', 'i/1.png']),
        (['l/a/1.json', 'l/b/1.json'], ['i/1.png'], ['l/a/1.json', 'l/b/1.json', 'i/1.png']),
        (['l/a/1.json', 'l/b/1.json'], ['i/a/1.png'], ['l/b/1.json', 'i/a/1.png']),
    ],
)
def test_where_names_leave_a_choice_none_is_made_and_all_are_named(tmp_path, labels, pictures, named):
    cities(tmp_path, labels, pictures)
    paired, problems = pair_images([tmp_path / path for path in labels], tmp_path / 'l', tmp_path / 'i')
    assert len(paired) + len(problems) == len(labels)
    assert all(any(str(tmp_path / name) in text for text in problems) for name in named)
    assert paired == ({tmp_path / 'l/a/1.json': tmp_path / 'i/a/1.png'} if pictures == ['i/a/1.png'] else {})
