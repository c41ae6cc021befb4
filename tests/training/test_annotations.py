"""Annotation files that are missing, malformed or partly wrong."""

import copy
import json
import os
import re

import numpy as np
import pytest
from pycocotools import mask as mask_api

from projects.training.annotation_findings import COPY
from projects.training.annotation_masks import read_run_lengths
from projects.training.annotations import IndexedAnnotations, category_ids, forget_annotations, read_annotations

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
SQUARE = np.zeros((50, 100), np.uint8)
SQUARE[10:30, 10:30] = 1


def compress(mask):
    return mask_api.encode(np.asfortranarray(mask, np.uint8))['counts'].decode()


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(tmp_path, content, **options):
    return read_annotations(write(tmp_path / 'a.json', content), **options)[0]


def with_annotation(**changes):
    content = copy.deepcopy(GOOD)
    content['annotations'].append({**content['annotations'][0], 'id': 2, **changes})
    return content


def test_a_good_file_is_returned_unchanged(tmp_path):
    assert read(tmp_path, GOOD) == GOOD


def test_what_is_handed_on_is_not_read_again_unless_the_file_or_the_need_of_masks_has_changed(tmp_path):
    path = write(tmp_path / 'a.json', GOOD)
    first, _ = read_annotations(path, hand_on=True)
    assert read_annotations(path)[0] is first
    assert read_annotations(path)[0] is not first  # given away
    first, _ = read_annotations(path, hand_on=True)
    assert read_annotations(path, masks=False)[0] is not first
    first, _ = read_annotations(path, hand_on=True)
    write(path, with_annotation(bbox=[40, 10, 20, 20]))
    assert len(read_annotations(path)[0]['annotations']) == 2
    first, _ = read_annotations(path, hand_on=True)
    write(path, path.read_text().replace('400', '401'))
    os.utime(path, ns=(0, 0))
    assert read_annotations(path)[0]['annotations'][0]['area'] == 401
    first, _ = read_annotations(path, hand_on=True)
    forget_annotations()
    assert read_annotations(path)[0] is not first


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


@pytest.mark.parametrize(('kind', 'key'), [('images', 'width'), ('annotations', 'image_id'), ('categories', 'name')])
def test_an_entry_without_what_coco_requires_is_named(tmp_path, kind, key):
    content = copy.deepcopy(GOOD)
    del content[kind][0][key]
    with pytest.raises(ValueError, match=rf'an entry of "{kind}" lacks one of .*{key}'):
        read_annotations(write(tmp_path / 'a.json', content))


def test_a_missing_area_is_computed(tmp_path):
    content = copy.deepcopy(GOOD)
    del content['annotations'][0]['area']
    assert read(tmp_path, content)['annotations'][0]['area'] == 400


def test_a_category_that_the_file_does_not_list_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'1 annotations have category ids .* \[99\]'):
        read_annotations(write(tmp_path / 'a.json', with_annotation(category_id=99)))


UNUSABLE_BOXES = [
    [float('nan'), 0, 5, 5],
    [1, 2, 3],
    [10, 10, 0, 5],
    [0, 0, 0, 0],
    [30, 30, -20, -20],
    [None, 0, 5, 5],
    [True, 0, 5, 5],
    {'x': 10, 'y': 10, 'w': 5, 'h': 5},
    ['10', '10', '20', 'wide'],
    '10, 10, 20, 20',
    [0, 0, 10**400, 5],
]


@pytest.mark.parametrize(
    'changes',
    [
        *({'bbox': box, 'segmentation': []} for box in UNUSABLE_BOXES),
        {'bbox': [100, 10, 20, 20]},
        {'bbox': [-30, 10, 20, 20]},
        {'bbox': [10, 50, 20, 20]},
        {'image_id': 8},
        {'image_id': None},
        {'image_id': [7]},
        {'iscrowd': 'maybe'},
    ],
    ids=lambda changes: str(changes),
)
def test_an_unusable_annotation_is_left_out_and_the_others_stay(tmp_path, changes):
    kept = read(tmp_path, with_annotation(**changes))
    assert [annotation['id'] for annotation in kept['annotations']] == [1]


@pytest.mark.parametrize('changes', [{'bbox': [90, 40, 20, 20]}, {'bbox': [-10, -10, 20, 20]}])
def test_a_box_partly_inside_the_image_stays(tmp_path, changes):
    kept = read(tmp_path, with_annotation(**changes))
    assert len(kept['annotations']) == 2


def test_only_the_unusable_ring_of_a_polygon_is_dropped(tmp_path):
    rings = [[10, 10, 30, 10, 30, 30], [1, 2, 3]]
    kept = read(tmp_path, with_annotation(segmentation=rings))
    assert kept['annotations'][1]['segmentation'] == rings[:1]


UNUSABLE_MASKS = {
    'none': None,
    'empty': [],
    'empty ring': [[]],
    'empty text': '',
    'text': '[[10, 10, 30, 10, 30, 30]]',
    'two points': [[10, 10, 20, 20]],
    'not finite': [[10, 10, float('nan'), 10, 30, 30]],
    'one point': [[5, 5, 5, 5, 5, 5]],
    'one line': [[5, 5, 9, 9, 13, 13, 7, 7]],
    'pairs': [[[10, 10], [30, 10], [30, 30]]],
    'run lengths of a swapped size': {'size': [100, 50], 'counts': [0, 5000]},
    'run lengths that are too short': {'size': [50, 100], 'counts': [4000, 999]},
    'run lengths that are too long': {'size': [50, 100], 'counts': [4000, 1001]},
    'negative run lengths': {'size': [50, 100], 'counts': [-1, 5001]},
    'fractions': {'size': [50, 100], 'counts': [0.5, 4999.5]},
    'no pixel': {'size': [50, 100], 'counts': [5000]},
    'no size': {'counts': [0, 5000]},
    'no counts': {'size': [50, 100]},
    'number for counts': {'size': [50, 100], 'counts': 5000},
    'compressed, swapped': {'size': [100, 50], 'counts': compress(np.ones((100, 50)))},
    'compressed, too short': {'size': [50, 100], 'counts': compress(SQUARE)[:-2]},
    'compressed, empty': {'size': [50, 100], 'counts': ''},
    'compressed, goes on': {'size': [50, 100], 'counts': compress(SQUARE) + 'o'},
    'compressed, foreign letters': {'size': [50, 100], 'counts': 'ä' + compress(SQUARE)},
    'compressed, foreign characters': {'size': [50, 100], 'counts': compress(SQUARE)[:-1] + ' '},
    'compressed, endless': {'size': [50, 100], 'counts': 'o' * 5000},
}


@pytest.mark.parametrize('mask', UNUSABLE_MASKS.values(), ids=UNUSABLE_MASKS)
def test_an_object_whose_mask_cannot_be_used_is_a_crowd_where_masks_are_needed(tmp_path, mask):
    content = with_annotation(segmentation=mask)
    kept = read(tmp_path, content)['annotations']
    assert kept[0] == GOOD['annotations'][0]
    assert (kept[1]['iscrowd'], kept[1]['segmentation']) == (1, [[10, 10, 30, 10, 30, 30, 10, 30]])
    kept = read(tmp_path, content, masks=False)['annotations']
    assert (kept[1]['iscrowd'], kept[1]['bbox'], kept[1]['area']) == (0, [10, 10, 20, 20], 400)
    assert 'segmentation' not in kept[1]


USABLE_MASKS = {
    'run lengths': {'size': [50, 100], 'counts': [4000, 1000]},
    'run lengths in text': {'size': ['50', '100'], 'counts': ['4000', '1000']},
    'compressed': {'size': [50, 100], 'counts': compress(SQUARE)},
    'one ring, not in a list': [10, 10, 30, 10, 30, 30],
    'text': [['10', '10', '30', '10', '30', '30.5']],
    'run lengths in a list': [{'size': [50, 100], 'counts': compress(SQUARE)}],
    'rings': [[10, 10, 30, 10, 30, 30], [10, 10, 10, 30, 30, 30]],
}


@pytest.mark.parametrize('mask', USABLE_MASKS.values(), ids=USABLE_MASKS)
def test_masks_that_pycocotools_can_read_stay(tmp_path, mask):
    kept = read(tmp_path, with_annotation(segmentation=mask))
    assert kept['annotations'][1]['iscrowd'] == 0
    assert IndexedAnnotations(kept).annToMask(kept['annotations'][1]).any()


def test_compressed_run_lengths_are_read_as_pycocotools_writes_them():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 200, 2)
        mask = rng.random((height, width)) < rng.choice([0.001, 0.1, 0.5, 0.99])
        columns = mask.ravel(order='F')
        edges = np.flatnonzero(np.diff(columns, prepend=False, append=not columns[-1]))
        assert read_run_lengths(compress(mask)).tolist() == np.diff(edges, prepend=0).tolist()


@pytest.mark.parametrize('area', [0, -3, None, float('nan'), 'large', [400]])
def test_an_area_that_cannot_be_one_is_that_of_the_mask(tmp_path, area):
    triangle = [[10, 10, 30, 10, 10, 30]]
    kept = read(tmp_path, with_annotation(area=area, segmentation=triangle))['annotations'][1]
    assert kept['area'] == pytest.approx(200, abs=20)  # pixels of half a square of 20x20
    without = read(tmp_path, with_annotation(area=area, segmentation=[]), masks=False)['annotations'][1]
    assert without['area'] == 400


@pytest.mark.parametrize(
    ('value', 'crowd'), [(True, 1), (False, 0), ('0', 0), ('false', 0), ('True', 1), ('1', 1), (None, 0), (1.0, 1)]
)
def test_crowds_are_told_however_they_are_written(tmp_path, value, crowd):
    kept = read(tmp_path, with_annotation(iscrowd=value, ignore=value, bbox=[10, 10, 20, 19]))['annotations'][1]
    assert (kept['iscrowd'], kept['ignore']) == (crowd, crowd)


def test_numbers_in_text_are_numbers(tmp_path):
    content = with_annotation(bbox=['10', '10.5', '20', '20'], area='400', category_id='3', image_id='7')
    content['images'][0] |= {'width': '100', 'height': '50.0'}
    kept = read(tmp_path, content)
    assert (kept['images'][0]['width'], kept['images'][0]['height']) == (100, 50)
    assert kept['annotations'][1] == {
        **GOOD['annotations'][0],
        'id': 2,
        'bbox': [10, 10.5, 20, 20],
        'area': 400,
    }


@pytest.mark.parametrize('width', ['wide', None, 0, -5, 10.5, float('nan'), [100], True])
def test_sizes_that_are_none_are_refused_by_name(tmp_path, width):
    content = copy.deepcopy(GOOD)
    content['images'][0]['width'] = width
    with pytest.raises(ValueError, match=r"width .* of 'a\.jpg' is no number of pixels"):
        read(tmp_path, content)


@pytest.mark.parametrize('ids', [(0, 1), (1, 1), ('a', 'b'), (None, 5), (-1, -2), (1.5, 2), (2**70, 1), (True, 1)])
def test_annotation_ids_become_positive_integers_that_differ(tmp_path, ids):
    content = with_annotation(bbox=[11, 10, 20, 20])
    for annotation, identifier in zip(content['annotations'], ids, strict=True):
        annotation['id'] = identifier
    assert [annotation['id'] for annotation in read(tmp_path, content)['annotations']] == [1, 2]


def test_annotations_need_no_ids_and_ids_that_will_do_stay(tmp_path):
    content = with_annotation(id=99, bbox=[10, 10, 20, 19])
    assert [annotation['id'] for annotation in read(tmp_path, content)['annotations']] == [1, 99]
    del content['annotations'][0]['id']
    assert [annotation['id'] for annotation in read(tmp_path, content)['annotations']] == [1, 2]


@pytest.mark.parametrize('box', [None, [], 'absent', *UNUSABLE_BOXES], ids=str)
def test_a_box_that_is_missing_or_none_is_that_of_the_mask(tmp_path, box):
    masks = [[[10, 10, 30, 15, 20, 40.5]], {'size': [50, 100], 'counts': compress(SQUARE)}, None]
    content = copy.deepcopy(GOOD)
    content['annotations'] = [{**GOOD['annotations'][0], 'bbox': box, 'segmentation': mask} for mask in masks]
    if box == 'absent':
        for one in content['annotations']:
            del one['bbox']
    assert [one['bbox'] for one in read(tmp_path, content)['annotations']] == [[10, 10, 20, 30.5], [10, 10, 20, 20]]


def test_a_file_joined_with_itself_is_the_file(tmp_path):
    content = two_images(1, 2)
    content['annotations'].append({**content['annotations'][0], 'id': 3, 'iscrowd': 1})  # two that look alike
    doubled = {key: copy.deepcopy(entries * 2) for key, entries in content.items()}
    assert read(tmp_path, doubled) == content


def two_images(one, other, **changes):
    """An object in each of two images with these ids."""
    content = with_annotation(image_id=other)
    content['annotations'][0]['image_id'] = content['images'][0]['id'] = one
    content['images'].append({**content['images'][0], 'file_name': 'b.jpg', 'id': other, **changes})
    return content


@pytest.mark.parametrize(
    ('one', 'other'), [('a', 'b'), ('1', '2'), ('a', 1), (0, -1), ('000000187286', 187287), (1.0, 2.0), (2**80, 'x')]
)
def test_image_ids_may_be_text_or_numbers(tmp_path, logged, one, other):
    kept = read(tmp_path, two_images(one, other))
    ids = [image['id'] for image in kept['images']]
    assert [annotation['image_id'] for annotation in kept['annotations']] == ids
    assert all(type(identifier) is int for identifier in ids)
    assert [image.get('id_in_file', image['id']) for image in kept['images']] == [one, other]
    assert bool(logged) == any(isinstance(identifier, str) for identifier in (one, other))


def test_an_image_id_of_two_pictures_is_refused_and_both_are_named(tmp_path):
    for other in (7, '7', 7.0):
        with pytest.raises(ValueError, match=r"image id 7 .*'a\.jpg'.*'b\.jpg'"):
            read(tmp_path, two_images(7, other))
    with pytest.raises(ValueError, match=r'100x50.*100x60'):
        read(tmp_path, two_images(7, 7, file_name='a.jpg', height=60))


def test_an_image_that_is_merely_listed_twice_is_one(tmp_path):
    content = two_images(7, 7, file_name='a.jpg')
    content['annotations'][1]['bbox'] = [10, 10, 20, 19]
    kept = read(tmp_path, content)
    assert len(kept['images']) == 1
    assert [annotation['image_id'] for annotation in kept['annotations']] == [7, 7]


@pytest.mark.parametrize('identifier', [None, True, [1], {}, '', 1.5])
def test_ids_that_name_nothing_are_refused(tmp_path, identifier):
    content = copy.deepcopy(GOOD)
    content['images'][0]['id'] = identifier
    with pytest.raises(ValueError, match='an image needs a number or text as "id"'):
        read(tmp_path, content)
    content = copy.deepcopy(GOOD)
    content['categories'][0]['id'] = identifier
    with pytest.raises(ValueError, match='a category needs a number or text as "id"'):
        read(tmp_path, content)


def test_categories_of_one_name_are_one_and_it_is_said(tmp_path, logged):
    content = with_annotation(category_id='k', bbox=[10, 10, 20, 19])
    content['categories'].append({'id': 'k', 'name': 'kite', 'supercategory': 'none'})
    kept = read(tmp_path, content)
    assert [(category['id'], category['name']) for category in kept['categories']] == [(3, 'kite'), (1, 'person')]
    assert [annotation['category_id'] for annotation in kept['annotations']] == [3, 3]
    assert any("'kite' (ids 3 and 'k')" in message for message in logged)


def test_a_category_id_of_two_names_is_refused(tmp_path):
    content = copy.deepcopy(GOOD)
    content['categories'].append({'id': '3', 'name': 'tree'})
    with pytest.raises(ValueError, match="category id 3 has two names, 'kite' and 'tree'"):
        read(tmp_path, content)


def test_categories_named_in_place_of_their_ids_are_refused_by_name(tmp_path):
    content = with_annotation(category_id='kite')
    content['annotations'][0]['category_id'] = 5
    with pytest.raises(ValueError, match=r"2 annotations .* \['kite', 5\].*'kite' is the name of a category"):
        read(tmp_path, content)


def test_what_was_found_is_one_table_that_is_printed_once(tmp_path, logged):
    content = with_annotation(segmentation=None)
    content['annotations'] += [{**content['annotations'][0], 'id': n, 'bbox': [200, 0, 5, 5]} for n in range(3, 8)]
    for _ in range(2):
        read(tmp_path, content)
    (table,) = logged
    assert '7 annotations of 1 images' in table
    assert re.search(r'1\s+objects without a mask\s+neither trained on nor scored\s+id 2 \(a\.jpg\)', table)
    assert re.search(r'5\s+boxes outside of their image\s+left out\s+id 3 \(a\.jpg\), id 4', table)


def test_a_good_file_is_not_talked_about(tmp_path, logged):
    content = two_images(1, 2)
    content['annotations'][1] |= {'iscrowd': 1, 'segmentation': {'size': [50, 100], 'counts': [4000, 1000]}}
    content['images'].append({**content['images'][0], 'id': 3, 'file_name': 'größe/空.jpg', 'coco_url': 'http://…'})
    content |= {'info': {}, 'licenses': []}
    content['categories'][0] |= {'frequency': 'r', 'synset': 'kite.n.01', 'supercategory': 'toy'}
    assert read(tmp_path, content) == content
    assert logged == []


def test_category_ids_follow_the_order_of_the_names():
    assert category_ids(GOOD, ['person', 'kite']) == [1, 3]
    assert IndexedAnnotations(GOOD).get_cat_ids(cat_names=('person', 'kite')) == [1, 3]
    assert IndexedAnnotations(GOOD).get_cat_ids(cat_names=('kite', 'person')) == [3, 1]


BOTH_KEPT = {
    'another box': {'bbox': [10, 10, 20, 19]},
    'another mask': {'segmentation': [[10, 10, 30, 10, 30, 30, 11, 30]]},
    'another category': {'category_id': 1},
    'a crowd': {'iscrowd': 1},
}


@pytest.mark.parametrize('masks', [True, False, None])
@pytest.mark.parametrize('changes', BOTH_KEPT.values(), ids=BOTH_KEPT)
def test_objects_that_differ_are_no_copies(tmp_path, changes, masks):
    assert len(read(tmp_path, with_annotation(**changes), masks=masks)['annotations']) == 2


@pytest.mark.parametrize('masks', [True, False, None])
def test_a_copy_under_another_id_is_left_out_and_told(tmp_path, masks):
    content = with_annotation(bbox=[10.0, 10, 20, 20], area=399)
    content['annotations'] += [
        {**GOOD['annotations'][0], 'id': 3, 'segmentation': [[9, 9, 30, 10, 30, 30]]},
        {**GOOD['annotations'][0], 'id': 4, 'segmentation': [[9, 9, 30, 10, 30, 30]]},
    ]
    read_content, findings = read_annotations(write(tmp_path / 'a.json', content), masks=masks)
    assert [one['id'] for one in read_content['annotations']] == [1, 3]
    assert findings.counts == {COPY: 2}
    assert findings.examples[COPY] == ['id 2 (as 1)', 'id 4 (as 3)']
    assert '2 objects listed again under another id' in findings.why_unused(read_content['annotations'])


def test_copies_without_boxes_or_without_masks_or_in_other_images(tmp_path):
    content = copy.deepcopy(GOOD)
    content['images'].append({'id': 8, 'file_name': 'b.jpg', 'width': 100, 'height': 50})
    (one,) = content['annotations']
    without_box = {key: value for key, value in one.items() if key != 'bbox'}
    without_mask = {key: value for key, value in one.items() if key != 'segmentation'} | {'bbox': [1, 1, 2, 2]}
    shifted = without_box | {'segmentation': [[11, 10, 30, 10, 30, 30, 10, 30]]}
    content['annotations'] = [without_box, without_box, shifted, without_mask, without_mask, one | {'image_id': 8}]
    content['annotations'] = [entry | {'id': number} for number, entry in enumerate(content['annotations'], 1)]
    assert [entry['id'] for entry in read(tmp_path, content, masks=False)['annotations']] == [1, 3, 4, 6]
