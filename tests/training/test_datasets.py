"""Data sets with bad images, foreign categories, and augmentation that can be repeated."""

import json
import re

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, init_default_scope
from PIL import Image

from projects.pixels.decoding import UnreadableImageError
from projects.training.datasets import CheckedCocoDataset, LoadImage, combine_seeds

NUM_IMAGES = 10
PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'LoadAnnotations', 'with_bbox': True},
    {'type': 'RandomResize', 'scale': (32, 32), 'ratio_range': (0.5, 2.0), 'keep_ratio': True},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'PackDetInputs'},
]


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')  # as in the configs


@pytest.fixture
def root(tmp_path):
    """Ten JPEGs of 40x48 pixels with one box each, of two categories in an order other than the alphabet's."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(NUM_IMAGES):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(tmp_path / f'{index}.jpg')
        images.append({'id': index, 'file_name': f'{index}.jpg', 'height': 40, 'width': 48})
        annotations.append(
            {'id': index, 'image_id': index, 'category_id': 5, 'bbox': [4, 4, 20, 20], 'area': 400, 'iscrowd': 0}
        )
    content = {'images': images, 'annotations': annotations}
    content['categories'] = [{'id': 9, 'name': 'tree'}, {'id': 5, 'name': 'house'}]
    (tmp_path / 'all.json').write_text(json.dumps(content))
    return tmp_path


def build(root, **options):
    options = {'metainfo': {'classes': ('house', 'tree')}, 'pipeline': PIPELINE, **options}
    return CheckedCocoDataset(data_root=str(root), ann_file='all.json', data_prefix={'img': ''}, **options)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_labels_follow_the_order_of_the_config_not_of_the_file(root):
    sample = build(root)[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0]  # 'house', although the file lists 'tree' first


def test_categories_that_the_config_expects_must_exist(root):
    with pytest.raises(ValueError, match=r"no category named \['tower'\].*it has \['house', 'tree'\]"):
        build(root, metainfo={'classes': ('house', 'tower')})


@pytest.mark.parametrize('content', [b'', b'not an image', b'\xff\xd8\xff'])
def test_files_that_are_no_images_are_unreadable(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r'^[^\n]*a\.jpg[^\n]*$') as raised:  # in one line
        LoadImage().transform({'img_path': str(tmp_path / 'a.jpg')})
    assert ('the file is empty' in str(raised.value)) == (not content)


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_a_truncated_image_is_unreadable_and_a_whole_one_is_not(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    assert LoadImage().transform({'img_path': str(path)})['img'].shape == (64, 64, 3)
    truncate(path)
    with pytest.raises(UnreadableImageError, match=f'a.{suffix}'):
        LoadImage().transform({'img_path': str(path)})


def test_training_replaces_a_truncated_image_and_names_it_once(root, logged):
    truncate(root / '3.jpg')
    dataset = build(root, max_unreadable_share=0.1)
    assert all(dataset[3]['data_samples'].img_id != 3 for _ in range(3))
    named = [message for message in logged if re.search(r'skipped unreadable image 1 of .*3\.jpg', message)]
    assert len(named) == 1


def test_categories_that_the_config_does_not_know_are_named_and_ignored(root, logged):
    content = json.loads((root / 'all.json').read_text())
    content['annotations'][0]['category_id'] = 9
    (root / 'all.json').write_text(json.dumps(content))
    dataset = build(root, metainfo={'classes': ('house',)})
    assert any("categories ['tree'] are not in the config and are ignored" in message for message in logged)
    assert [len(dataset.get_data_info(index)['instances']) for index in range(3)] == [0, 1, 1]


def test_a_jpeg_with_data_after_its_end_is_whole(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes() + bytes(500))
    assert LoadImage().transform({'img_path': str(path)})['img'].shape == (8, 8, 3)


def test_too_many_unreadable_images_end_the_run(root):
    for index in (3, 4):
        truncate(root / f'{index}.jpg')
    dataset = build(root, max_unreadable_share=0.1)
    dataset[3]
    with pytest.raises(ValueError, match=r'2 of 10 images are unreadable.*10%.*4\.jpg.*train_dataloader'):
        dataset[4]


def test_worker_processes_share_what_they_know_of_unreadable_images(root, clean_processes):
    """However they are started: a set that can be sent to a new process works with 'fork', too."""
    truncate(root / '3.jpg')
    dataset = build(root, max_unreadable_share=0.1)
    workers = {'num_workers': 2, 'multiprocessing_context': clean_processes}
    loader = torch.utils.data.DataLoader(dataset, batch_size=2, collate_fn=list, **workers)
    assert sum(len(batch) for batch in loader) == NUM_IMAGES
    assert dataset._unreadable.nonzero().flatten().tolist() == [3]


def test_evaluation_keeps_an_unreadable_image_as_a_black_one(root):
    truncate(root / '3.jpg')
    sample = build(root, test_mode=True, max_unreadable_share=0.1)[3]
    assert sample['inputs'].sum() == 0
    assert sample['data_samples'].unreadable
    assert sample['data_samples'].img_id == 3


def test_absent_images_are_left_out_of_training_and_kept_in_evaluation(root):
    (root / '3.jpg').unlink()
    assert len(build(root, max_unreadable_share=0.1)) == NUM_IMAGES - 1
    dataset = build(root, test_mode=True, max_unreadable_share=0.1)
    assert len(dataset) == NUM_IMAGES
    assert dataset[3]['data_samples'].unreadable


def test_too_many_absent_images_are_refused_at_once(root):
    for index in range(3):
        (root / f'{index}.jpg').unlink()
    with pytest.raises(ValueError, match=r'3 of 10 images .* do not exist: .*0\.jpg'):
        build(root, max_unreadable_share=0.2)


@pytest.mark.parametrize('name', ['data\\{}.jpg', 'C:\\mine\\{}.jpg', '/mine/{}.jpg', '../upload/{}.jpg'])
def test_images_that_are_named_from_elsewhere_are_pointed_at(root, name):
    content = json.loads((root / 'all.json').read_text())
    for image in content['images']:
        image['file_name'] = name.format(image['id'])
    (root / 'all.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'do not exist.* 10 have the names of .*0\.jpg.*"file_name" must be a path'):
        build(root)


def test_a_missing_image_folder_is_named(root):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        CheckedCocoDataset(
            data_root=str(root),
            ann_file='all.json',
            data_prefix={'img': 'nowhere/'},
            metainfo={'classes': ('house',)},
            pipeline=PIPELINE,
        )


MASKS = [
    {'type': 'LoadImage'},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'PackDetInputs'},
]
SQUARE = [[4, 4, 24, 4, 24, 24, 4, 24]]


def change(root, **changes):
    """Change all annotations."""
    content = json.loads((root / 'all.json').read_text())
    for annotation in content['annotations']:
        annotation.update(changes)
    (root / 'all.json').write_text(json.dumps(content))


def test_objects_without_a_mask_are_not_learnt_where_masks_are_trained(root, logged):
    change(root, segmentation=SQUARE)
    content = json.loads((root / 'all.json').read_text())
    content['annotations'][3]['segmentation'] = []
    (root / 'all.json').write_text(json.dumps(content))
    dataset = build(root, pipeline=MASKS)
    samples = [dataset[index]['data_samples'] for index in range(NUM_IMAGES)]
    assert [len(sample.gt_instances) for sample in samples] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert sum(bool(re.search(r'1 +objects without a mask .*id 3 \(3.jpg\)', message)) for message in logged) == 1
    boxes_only = build(root)
    assert len(boxes_only[3]['data_samples'].gt_instances) == 1


def test_training_masks_on_boxes_names_a_config_that_needs_no_masks(root):
    with pytest.raises(ValueError, match=r'nothing to train on.* 10 objects without a mask.*retinanet'):
        build(root, pipeline=MASKS)
    assert len(build(root)) == NUM_IMAGES


@pytest.mark.parametrize(
    ('changes', 'options', 'reason'),
    [
        ({'iscrowd': 1}, {}, '10 crowds'),
        ({'iscrowd': 'true'}, {}, '10 crowds'),
        ({'bbox': [60, 60, 5, 5]}, {}, '10 boxes outside of their image'),
        ({'bbox': [4, 4, 0.5, 20]}, {}, '10 boxes under one pixel'),
        ({'category_id': 9}, {'metainfo': {'classes': ('house',)}}, '10 objects of categories that the config'),
        ({}, {'filter_cfg': {'min_size': 64}}, "0 of 10 images pass filter_cfg={'min_size': 64}"),
        ({'bbox': [0.1, 0.1, 0.5, 0.5]}, {}, 'all 10 boxes lie between 0 and 1'),
    ],
)
def test_a_set_without_anything_to_learn_is_refused_and_says_why(root, changes, options, reason):
    change(root, **changes)
    with pytest.raises(ValueError, match=re.escape(reason)):
        build(root, **options)


def test_a_set_without_annotations_is_refused_for_training_only(root):
    content = json.loads((root / 'all.json').read_text())
    (root / 'all.json').write_text(json.dumps({**content, 'annotations': []}))
    with pytest.raises(ValueError, match=r'nothing to train on.*0 annotations'):
        build(root)
    assert len(build(root, test_mode=True)) == NUM_IMAGES


def test_a_set_with_objects_of_other_categories_only_is_refused_for_evaluation(root):
    change(root, category_id=9)
    with pytest.raises(ValueError, match=r'nothing to score.* 10 objects of categories that the config'):
        build(root, test_mode=True, metainfo={'classes': ('house',)})
    assert len(build(root, test_mode=True)) == NUM_IMAGES


def turn(path, orientation):
    """Write an image of 40x48 pixels whose EXIF says that it is shown otherwise."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', (48, 40)).save(path, exif=exif)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
@pytest.mark.parametrize('color_type', ['color', 'color_ignore_orientation'])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_sizes_are_those_that_the_loader_gives_the_network(root, suffix, color_type, backend):
    content = json.loads((root / 'all.json').read_text())
    turn(root / f'turned.{suffix}', 6)
    loading = {'type': 'LoadImage', 'color_type': color_type, 'imdecode_backend': backend}
    height, width = TRANSFORMS.build(loading)({'img_path': str(root / f'turned.{suffix}')})['img_shape']
    for size, fits in (((height, width), True), ((width, height), False)):
        content['images'][3] |= {'file_name': f'turned.{suffix}', 'height': size[0], 'width': size[1]}
        (root / 'all.json').write_text(json.dumps(content))
        if fits:
            assert len(build(root, pipeline=[loading, *PIPELINE[1:]])) == NUM_IMAGES
        else:
            with pytest.raises(ValueError, match=rf'1 of 10 images have another size.*turned\.{suffix} is .*EXIF'):
                build(root, pipeline=[loading, *PIPELINE[1:]])


def test_images_of_another_size_name_the_factor(root):
    content = json.loads((root / 'all.json').read_text())
    for image in content['images'][:4]:
        image |= {'width': 24, 'height': 20}
    (root / 'all.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'4 of 10 images .*0\.jpg is 48x40 when decoded, 24x20 .*2 times as large'):
        build(root)


def test_few_images_of_another_size_are_neither_learnt_nor_found(root, logged):
    content = json.loads((root / 'all.json').read_text())
    content['images'][3] |= {'width': 96, 'height': 40}
    (root / 'all.json').write_text(json.dumps(content))
    assert len(build(root, max_unreadable_share=0.1)) == NUM_IMAGES - 1
    assert any('1 of 10 images have another size' in message for message in logged)
    sample = build(root, test_mode=True, max_unreadable_share=0.1)[3]['data_samples']
    assert sample.unreadable


def test_turned_images_of_which_the_size_tells_nothing_are_named(root, logged):
    turn(root / '3.jpg', 3)
    build(root)
    assert any(re.search(r'1 images are turned or mirrored .*3\.jpg', message) for message in logged)


def draw(dataset, index):
    return dataset[index]['inputs'].float()


def test_augmentation_follows_from_seed_epoch_and_index(root):
    one, two = build(root), build(root)
    for dataset in (one, two):
        dataset.set_position(seed=1, epoch=2)
    forwards = [draw(one, index) for index in range(NUM_IMAGES)]
    backwards = [draw(two, index) for index in reversed(range(NUM_IMAGES))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({image.shape for image in forwards}) > 1  # of images of one size
    two.set_position(seed=1, epoch=3)
    assert any(draw(two, index).shape != forwards[index].shape for index in range(NUM_IMAGES))


def test_seeds_differ_for_every_combination():
    seeds = {combine_seeds(a, b, c) for a in range(8) for b in range(8) for c in range(8)}
    assert len(seeds) == 8**3
    assert all(0 <= seed < 2**63 for seed in seeds)
