"""Annotation files that are missing, malformed or partly wrong."""

import copy
import json

import pytest

from projects.training.annotations import IndexedAnnotations, category_ids, read_annotations

GOOD = {
    'images': [{'id': 7, 'file_name': 'a.jpg', 'width': 100, 'height': 50}],
    'categories': [{'id': 3, 'name': 'kite'}, {'id': 1, 'name': 'person'}],
    'annotations': [
        {
            'id': 1,
            'image_id': 7,
            'category_id': 3,
            'bbox': [10, 10, 20, 20],
            'area': 400,
            'iscrowd': 0,
            'segmentation': [[10, 10, 30, 10, 30, 30, 10, 30]],
        }
    ],
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_annotation(**changes):
    content = copy.deepcopy(GOOD)
    content['annotations'].append({**content['annotations'][0], 'id': 2, **changes})
    return content


def test_a_good_file_is_returned_unchanged(tmp_path):
    assert read_annotations(write(tmp_path / 'a.json', GOOD)) == GOOD


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read_annotations(tmp_path / 'none.json', source='https://cocodataset.org')
    for hint in (str(tmp_path / 'none.json'), 'https://cocodataset.org', 'data/README.md', '--sample', 'data_root'):
        assert hint in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'empty'),
        ('{"images": [', 'not JSON'),
        ('[]', 'not a COCO instance file'),
        ({'images': []}, "lacks \\['annotations', 'categories'\\]"),
        ({'images': [], 'annotations': [], 'categories': []}, 'lists no images'),
    ],
)
def test_malformed_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_annotations(write(tmp_path / 'a.json', content))


@pytest.mark.parametrize(('kind', 'key'), [('images', 'width'), ('annotations', 'bbox'), ('categories', 'name')])
def test_an_entry_without_what_coco_requires_is_named(tmp_path, kind, key):
    content = copy.deepcopy(GOOD)
    del content[kind][0][key]
    with pytest.raises(ValueError, match=rf'an entry of "{kind}" lacks one of .*{key}'):
        read_annotations(write(tmp_path / 'a.json', content))


def test_a_missing_area_becomes_that_of_the_box(tmp_path):
    content = copy.deepcopy(GOOD)
    del content['annotations'][0]['area']
    assert read_annotations(write(tmp_path / 'a.json', content))['annotations'][0]['area'] == 400


def test_a_category_that_the_file_does_not_list_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'1 annotations have category ids .* \[99\]'):
        read_annotations(write(tmp_path / 'a.json', with_annotation(category_id=99)))


@pytest.mark.parametrize(
    'changes',
    [
        {'bbox': [float('nan'), 0, 5, 5]},
        {'bbox': [1, 2, 3]},
        {'bbox': [10, 10, 0, 5]},
        {'area': 0},
        {'bbox': [100, 10, 20, 20]},
        {'bbox': [-30, 10, 20, 20]},
        {'bbox': [10, 50, 20, 20]},
        {'segmentation': [[10, 10, float('nan'), 10, 30, 30]]},
        {'segmentation': [[10, 10, 20, 20]]},
        {'segmentation': [[5, 5, 5, 5, 5, 5]]},
        {'segmentation': [[5, 5, 9, 9, 13, 13, 7, 7]]},
        {'segmentation': [5, 5, 9, 5, 9, 9]},
        {'bbox': [None, 0, 5, 5]},
        {'area': float('nan')},
        {'image_id': 8},
    ],
    ids=lambda changes: str(changes),
)
def test_an_unusable_annotation_is_left_out_and_the_others_stay(tmp_path, changes):
    kept = read_annotations(write(tmp_path / 'a.json', with_annotation(**changes)))
    assert [annotation['id'] for annotation in kept['annotations']] == [1]


@pytest.mark.parametrize('changes', [{'bbox': [90, 40, 20, 20]}, {'bbox': [-10, -10, 20, 20]}])
def test_a_box_partly_inside_the_image_stays(tmp_path, changes):
    kept = read_annotations(write(tmp_path / 'a.json', with_annotation(**changes)))
    assert len(kept['annotations']) == 2


def test_only_the_unusable_ring_of_a_polygon_is_dropped(tmp_path):
    rings = [[10, 10, 30, 10, 30, 30], [1, 2, 3]]
    kept = read_annotations(write(tmp_path / 'a.json', with_annotation(segmentation=rings)))
    assert kept['annotations'][1]['segmentation'] == rings[:1]


def test_category_ids_follow_the_order_of_the_names():
    assert category_ids(GOOD, ['person', 'kite']) == [1, 3]
    assert IndexedAnnotations(GOOD).get_cat_ids(cat_names=('person', 'kite')) == [1, 3]
    assert IndexedAnnotations(GOOD).get_cat_ids(cat_names=('kite', 'person')) == [3, 1]
