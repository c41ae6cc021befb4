import json
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from projects.sample_data import coco
from projects.sample_data.coco import (
    CocoSplit,
    annotate,
    coco_categories,
    drawn_kinds,
    run_lengths,
    write_coco_sample,
)
from projects.sample_data.objects import KINDS
from projects.sample_data.scenes import compose, paint
from tests.processes import call_in_clean_processes

COCO_CLASSES = [category['name'] for category in coco_categories(['person'])]
TRAIN = CocoSplit('annotations/instances_train2017.json', 'train2017', 20)
VAL = CocoSplit('annotations/instances_val2017.json', 'val2017', 8, num_empty=2)
TINY = [CocoSplit('train.json', 'images', 2)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_coco_sample(tmp_path_factory.mktemp('sample') / 'coco', [TRAIN, VAL], COCO_CLASSES)


@pytest.fixture(scope='module', params=[TRAIN, VAL], ids=['train', 'val'])
def split(request):
    return request.param


@pytest.fixture(scope='module')
def dataset(root, split):
    return json.loads((root / split.ann_file).read_text())


@pytest.fixture(scope='module')
def api(root, split):
    return COCO(str(root / split.ann_file))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_folder_layout(root, dataset, split):
    listed = {entry['file_name'] for entry in dataset['images']}
    assert {path.name for path in (root / split.image_dir).iterdir()} == listed
    assert len(listed) == split.num_images
    assert {path.name for path in root.iterdir()} == {'annotations', 'train2017', 'val2017', 'generated.json'}


def test_fields_are_those_of_coco(dataset):
    assert list(dataset) == ['info', 'licenses', 'images', 'annotations', 'categories']
    assert set(dataset['info']) == {'description', 'url', 'version', 'year', 'contributor', 'date_created'}
    assert all(set(entry) == {'url', 'id', 'name'} for entry in dataset['licenses'])
    licenses = {entry['id'] for entry in dataset['licenses']}
    for entry in dataset['images']:
        assert set(entry) == {
            *('license', 'file_name', 'coco_url', 'height', 'width', 'date_captured', 'flickr_url', 'id')
        }
        assert entry['file_name'] == f'{entry["id"]:012d}.jpg'
        assert entry['license'] in licenses
        datetime.strptime(entry['date_captured'], '%Y-%m-%d %H:%M:%S')
    for entry in dataset['annotations']:
        assert set(entry) == {'segmentation', 'area', 'iscrowd', 'image_id', 'bbox', 'category_id', 'id'}
        assert len(entry['bbox']) == 4
        if entry['iscrowd'] == 0:
            assert all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in entry['segmentation'])
        else:
            assert set(entry['segmentation']) == {'counts', 'size'}
            assert all(isinstance(count, int) for count in entry['segmentation']['counts'])


def test_categories_are_those_of_coco(dataset):
    ids = {category['name']: category['id'] for category in dataset['categories']}
    assert len(ids) == len(set(ids.values())) == 80
    known = {'person': 1, 'fire hydrant': 11, 'stop sign': 13, 'zebra': 24, 'backpack': 27, 'umbrella': 28}
    known |= {'handbag': 31, 'frisbee': 34, 'kite': 38, 'bottle': 44, 'wine glass': 46, 'potted plant': 64, 'bed': 65}
    known |= {'dining table': 67, 'toilet': 70, 'tv': 72, 'refrigerator': 82, 'book': 84, 'toothbrush': 90}
    assert {name: ids[name] for name in known} == known
    supercategories = {category['name']: category['supercategory'] for category in dataset['categories']}
    assert supercategories['kite'] == 'sports'
    assert supercategories['stop sign'] == 'outdoor'
    assert len(set(supercategories.values())) == 12


def test_ids(root):
    train, val = (json.loads((root / split.ann_file).read_text()) for split in (TRAIN, VAL))
    image_ids = [entry['id'] for dataset in (train, val) for entry in dataset['images']]
    assert len(set(image_ids)) == len(image_ids)
    assert max(image_ids) > len(image_ids)  # with gaps, as COCO's
    for dataset in (train, val):
        ids = [entry['id'] for entry in dataset['annotations']]
        assert len(set(ids)) == len(ids)
        assert min(ids) > 0  # pycocotools takes 0 for "no match"
        assert {entry['image_id'] for entry in dataset['annotations']} <= {entry['id'] for entry in dataset['images']}


def test_images(root, split, api):
    for entry in api.dataset['images']:
        picture = cv2.imread(str(root / split.image_dir / entry['file_name']))
        assert picture.shape == (entry['height'], entry['width'], 3) == (160, 160, 3)
        assert picture.std() > 8


def test_object_counts(api, split):
    counts = [sum(not annotation['iscrowd'] for annotation in api.imgToAnns[image_id]) for image_id in api.getImgIds()]
    assert counts.count(0) == split.num_empty
    assert all(2 <= count <= 6 for count in counts if count)
    assert len(set(counts)) >= 4
    assert {api.cats[annotation['category_id']]['name'] for annotation in api.anns.values()} == {
        *('stop sign', 'frisbee', 'kite')
    }


def test_area_and_box_are_the_masks(api):
    for annotation in api.anns.values():
        mask = api.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        x0, y0 = columns.min(), rows.min()
        assert annotation['area'] == mask.sum() > 0
        assert annotation['bbox'] == [x0, y0, columns.max() + 1 - x0, rows.max() + 1 - y0]


def test_crowds(api, split):
    crowds = [annotation for annotation in api.anns.values() if annotation['iscrowd']]
    assert len(crowds) == {TRAIN: 2, VAL: 1}[split]
    for crowd in crowds:
        assert sum(crowd['segmentation']['counts']) == 160 * 160
        assert crowd['id'] == 900_000_000_000 + crowd['category_id'] * 100_000_000 + crowd['image_id']
        parts, _ = cv2.connectedComponents(api.annToMask(crowd))
        assert parts - 1 >= 5  # many small objects under one annotation


def test_visible_masks_do_not_overlap(api):
    for image_id in api.getImgIds():
        masks = [api.annToMask(annotation) for annotation in api.imgToAnns[image_id]]
        for first, second in combinations(masks, 2):
            assert (first & second).sum() <= 0.005 * min(first.sum(), second.sum())  # rounded corners of polygons


@pytest.mark.parametrize('kinds', [['stop sign', 'frisbee', 'kite'], ['building']], ids=['street', 'aerial'])
def test_annotations_rasterize_to_what_is_painted(kinds):
    ious = []
    for seed in range(25):
        scene = compose(
            np.random.default_rng(seed), (160, 160), {name: KINDS[name] for name in kinds}, 5, seed % 4 == 0
        )
        for k, annotation in enumerate(annotate(scene, 1, dict.fromkeys(kinds, 1), first_id=1)):
            white_on_black = [
                replace(
                    scene_object,
                    layers=[
                        replace(layer, color=np.full(3, 255.0 * (scene_object is scene.objects[k])), shade=0)
                        for layer in scene_object.layers
                        if layer.opacity == 1
                    ],
                )
                for scene_object in scene.objects
            ]
            cover = paint(replace(scene, objects=white_on_black), np.zeros((160, 160, 3)))[..., 0] / 255
            segmentation = coco_mask.frPyObjects(annotation['segmentation'], 160, 160)
            rle = segmentation if annotation['iscrowd'] else coco_mask.merge(segmentation)
            mask = coco_mask.decode(rle).astype(bool)
            wrong = (mask & (cover < 0.1)) | (~mask & (cover > 0.9))
            assert wrong.sum() <= 0.01 * mask.sum()
            ious.append((mask & (cover > 0.5)).sum() / (mask | (cover > 0.5)).sum())
            if annotation['area'] >= 32**2 and not annotation['iscrowd']:
                assert ious[-1] > 0.95
    assert len(ious) >= 125
    assert np.median(ious) > 0.97
    assert min(ious) > 0.85  # of objects a dozen pixels wide, half of whose pixels lie on the outline


def test_masks_lie_where_the_pictures_show_the_objects(tmp_path):
    splits = [CocoSplit('train.json', 'images', 6)]
    root = write_coco_sample(tmp_path / 'signs', splits, ['stop sign'])
    api = COCO(str(root / 'train.json'))
    for entry in api.dataset['images']:
        blue, green, red = cv2.split(cv2.imread(str(root / 'images' / entry['file_name'])).astype(int))
        is_red = (red - green > 70) & (red - blue > 70)
        masks = [api.annToMask(annotation) for annotation in api.imgToAnns[entry['id']]]
        together = cv2.dilate(np.max(masks, axis=0), np.ones((3, 3), np.uint8)).astype(bool)
        assert not (is_red & ~together).any()
        for annotation, mask in zip(api.imgToAnns[entry['id']], masks, strict=True):
            if not annotation['iscrowd']:
                assert is_red[mask.astype(bool)].mean() > 0.25


def test_same_arguments_give_the_same_bytes(tmp_path, root):
    again = write_coco_sample(tmp_path / 'again', [TRAIN, VAL], COCO_CLASSES)
    assert files(again) == files(root)


def test_a_second_call_does_nothing(tmp_path, monkeypatch):
    write_coco_sample(tmp_path / 'set', TINY, COCO_CLASSES)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'set').rglob('*')}
    monkeypatch.setattr(coco, '_write_split', None)
    assert write_coco_sample(tmp_path / 'set', TINY, COCO_CLASSES) == tmp_path / 'set'
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'set').rglob('*')} == before


@pytest.mark.parametrize(
    'changed',
    [
        {'splits': [CocoSplit('train.json', 'images', 3)]},
        {'splits': [CocoSplit('train.json', 'images', 2, num_empty=1)]},
        {'splits': [CocoSplit('other.json', 'images', 2)]},
        {'classes': ['building']},
        {'image_size': (96, 128)},
        {'seed': 1},
    ],
    ids=lambda changed: ','.join(changed),
)
def test_changed_arguments_regenerate(tmp_path, changed):
    arguments = {'splits': TINY, 'classes': COCO_CLASSES, 'image_size': (96, 96), 'seed': 0}
    before = files(write_coco_sample(tmp_path / 'set', **arguments))
    after = files(write_coco_sample(tmp_path / 'set', **(arguments | changed)))
    assert after != before
    assert after == files(write_coco_sample(tmp_path / 'fresh', **(arguments | changed)))


def test_a_new_generator_version_regenerates(tmp_path, monkeypatch):
    before = files(write_coco_sample(tmp_path / 'set', TINY, COCO_CLASSES))
    monkeypatch.setattr(coco, 'VERSION', coco.VERSION + 1)
    assert files(write_coco_sample(tmp_path / 'set', TINY, COCO_CLASSES)) != before


def test_interrupted_generation_leaves_the_old_set(tmp_path, monkeypatch):
    old = files(write_coco_sample(tmp_path / 'set', TINY, COCO_CLASSES))

    def interrupt(path, picture):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(coco, 'write_image', interrupt)
        for name in ('set', 'new'):
            with pytest.raises(KeyboardInterrupt):
                write_coco_sample(tmp_path / name, TINY, COCO_CLASSES, seed=1)
    assert files(tmp_path / 'set') == old
    assert not (tmp_path / 'new').exists()
    assert files(write_coco_sample(tmp_path / 'new', TINY, COCO_CLASSES)) == old


def test_two_processes_at_once(tmp_path):
    call_in_clean_processes(write_coco_sample, *[(tmp_path / 'set', TINY, COCO_CLASSES)] * 2)
    assert files(tmp_path / 'set') == files(write_coco_sample(tmp_path / 'alone', TINY, COCO_CLASSES))


@pytest.mark.parametrize(
    ('classes', 'drawn'),
    [
        (['building'], ['building']),
        (['road', 'building', 'water'], ['building']),
        (['kite', 'person'], ['kite']),
        (['cat', 'dog'], ['cat', 'dog']),
        (['roof'], ['roof']),
        ([f'class {number}' for number in range(20)], ['class 0', 'class 1', 'class 2']),
    ],
    ids=lambda names: f'{len(names)} {names[0]}',
)
def test_any_class_list(tmp_path, classes, drawn):
    root = write_coco_sample(tmp_path / 'set', [CocoSplit('a/b.json', 'c/d', 6)], classes, image_size=(128, 96))
    api = COCO(str(root / 'a/b.json'))
    assert set(api.getCatIds(catNms=classes)) >= {annotation['category_id'] for annotation in api.anns.values()}
    names = {category['id']: category['name'] for category in api.dataset['categories']}
    assert set(classes) <= set(names.values())
    assert {names[annotation['category_id']] for annotation in api.anns.values()} == set(drawn)
    assert {(entry['height'], entry['width']) for entry in api.dataset['images']} == {(128, 96)}


def test_class_names_are_true_where_they_can_be():
    assert drawn_kinds(COCO_CLASSES) == {name: KINDS[name] for name in ('stop sign', 'frisbee', 'kite')}
    assert [category['id'] for category in coco_categories(['roof', 'road'])] == [1, 2]


def test_splits_may_share_a_folder(tmp_path):
    splits = [CocoSplit('train.json', 'images', 3), CocoSplit('val.json', 'images', 3)]
    root = write_coco_sample(tmp_path / 'set', splits, ['building'])
    assert len(list((root / 'images').iterdir())) == 6


@pytest.mark.parametrize(
    ('mask', 'counts'),
    [
        ([[0, 1], [0, 1], [1, 0]], [2, 3, 1]),  # column by column: 0 0 1 1 1 0
        ([[1, 0], [1, 0]], [0, 2, 2]),
        ([[0, 0], [0, 1]], [3, 1]),
        ([[0, 0], [0, 0]], [4]),
    ],
)
def test_run_lengths(mask, counts):
    mask = np.array(mask, dtype=np.uint8)
    assert run_lengths(mask) == counts
    rle = coco_mask.frPyObjects({'counts': counts, 'size': list(mask.shape)}, *mask.shape)
    np.testing.assert_array_equal(coco_mask.decode(rle), mask)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'classes': 'building'}, r"sequence of names, such as \('building',\)"),
        ({'classes': []}, 'at least one name'),
        ({'classes': ['a', 'a']}, 'each only once'),
        ({'image_size': (160, 63)}, r'\(160, 63\): expected \(height, width\) of at least 64 px'),
        ({'splits': []}, 'at least one'),
        ({'splits': [*TINY, *TINY]}, 'each only once'),
        ({'splits': [CocoSplit('/etc/train.json', 'images', 1)]}, 'below the root'),
        ({'splits': [CocoSplit('train.json', '../images', 1)]}, 'below the root'),
        ({'splits': [CocoSplit('train.json', 'images', 0)]}, 'num_images >= 1'),
        ({'splits': [CocoSplit('train.json', 'images', 1, num_empty=2)]}, 'num_empty between 0 and num_images'),
    ],
)
def test_bad_arguments(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        write_coco_sample(**({'root': tmp_path / 'set', 'splits': TINY, 'classes': ['a']} | changed))
    assert not (tmp_path / 'set').exists()
