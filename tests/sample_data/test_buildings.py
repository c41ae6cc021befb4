"""Generated sets of buildings: what is where, in whose format, and that the data sets read it."""

import itertools
import json

import numpy as np
import pytest
import shapely
from mmengine.registry import init_default_scope
from PIL import Image

from projects.building_extraction.bonai_annotations import contradiction_px
from projects.building_extraction.datasets.bonai import BonaiInstanceDataset
from projects.building_extraction.datasets.building_masks import BuildingMaskDataset
from projects.sample_data.buildings import (
    BonaiFile,
    MaskFolders,
    write_bonai_sample,
    write_mask_sample,
    write_scenes_sample,
)

TILE_PX = 64
SPLITS = {'source': 3, 'target': 2, 'val': 2, 'test': 1}
LOVEDA = MaskFolders('Train', 'Train', 2, '{}/images_png/{}', '{}/masks_png/{}', 'lists/train.txt')
FILES = [
    BonaiFile('coco/bonai_jinan_trainval.json', 'trainval/images', 3),
    BonaiFile('coco/bonai_shanghai_xian_test.json', 'test/images', 2),
]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes_sample(tmp_path_factory.mktemp('scenes'), SPLITS, TILE_PX)


@pytest.fixture(scope='module')
def bonai(tmp_path_factory):
    return write_bonai_sample(tmp_path_factory.mktemp('BONAI'), FILES, TILE_PX)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_scenes_have_the_files_of_each_split(scenes):
    for split, number in SPLITS.items():
        for folder in ('images', 'masks', 'instances', 'heights', 'buildings'):
            assert len(list((scenes / split / folder).iterdir())) == number
        assert len(json.loads((scenes / split / 'instances.json').read_text())['images']) == number
        assert Image.open(scenes / split / 'images' / f'{split}_00000.png').size == (TILE_PX, TILE_PX)
    assert (scenes / 'parameters.json').is_file()


def test_the_source_is_oblique_and_noisy_and_the_rest_is_clean(scenes):
    for split in SPLITS:
        images = json.loads((scenes / split / 'instances.json').read_text())['images']
        low, high, label = (10, 40, 'footprint') if split == 'source' else (0, 10, 'roof')
        assert all(low <= image['off_nadir_deg'] <= high and image['label'] == label for image in images)
        assert all(any(image['label_displacement_m']) == (split == 'source') for image in images)


def test_off_nadir_all_splits_show_roofs_with_offsets(tmp_path):
    root = write_scenes_sample(tmp_path / 'roofs', {'source': 2, 'test': 1}, TILE_PX, off_nadir=True)
    for split in ('source', 'test'):
        content = json.loads((root / split / 'instances.json').read_text())
        assert all(image['off_nadir_deg'] >= 10 and image['label'] == 'tier' for image in content['images'])
        assert not any(any(image['label_displacement_m']) for image in content['images'])
        assert all(np.hypot(*one['offset']) > 0 for one in content['annotations'])


def test_the_same_arguments_give_the_same_bytes(scenes, tmp_path):
    again = write_scenes_sample(tmp_path / 'again', SPLITS, TILE_PX)
    assert contents(again) == contents(scenes)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ['again']


def test_a_set_that_is_there_stays(scenes):
    before = {path: path.stat().st_mtime_ns for path in scenes.rglob('*')}
    write_scenes_sample(scenes, SPLITS, TILE_PX)
    assert {path: path.stat().st_mtime_ns for path in scenes.rglob('*')} == before


def test_masks_have_the_names_and_colors_that_are_asked_for(tmp_path):
    write_mask_sample(tmp_path, [LOVEDA], (255, 0, 0), (0, 0, 255), TILE_PX)
    names = (tmp_path / 'lists/train.txt').read_text().split()
    assert len(names) == 2
    shares = []
    for name in names:
        first, second = name.split('/')
        assert Image.open(tmp_path / 'Train' / first / 'images_png' / f'{second}.png').size == (TILE_PX, TILE_PX)
        mask = np.asarray(Image.open(tmp_path / 'Train' / first / 'masks_png' / f'{second}.png'))
        building = (mask == (255, 0, 0)).all(axis=2)
        assert ((mask == (0, 0, 255)).all(axis=2) == ~building).all()
        shares.append(building.mean())
    assert 0 < np.mean(shares) < 0.9
    dataset = BuildingMaskDataset(
        data_root=str(tmp_path),
        data_prefix={'img_path': 'Train', 'seg_map_path': 'Train'},
        ann_file='lists/train.txt',
        image_name=LOVEDA.image_name,
        mask_name=LOVEDA.mask_name,
        building=(255, 0, 0),
        background=[(0, 0, 255)],
        pipeline=[],
    )
    assert len(dataset) == 2


def test_bonai_outlines_each_tier_of_a_tower(tmp_path):
    """What one offset moves, a tower together with its podium, is seen nowhere."""
    root = write_bonai_sample(tmp_path / 'tiers', [BonaiFile('coco/a.json', 'images', 6)], 128)
    by_image = {}
    for one in json.loads((root / 'coco/a.json').read_text())['annotations']:
        footprint = shapely.Polygon(np.reshape(one['footprint_mask'], (-1, 2)))
        by_image.setdefault(one['image_id'], []).append((footprint, one['building_height'], np.hypot(*one['offset'])))
    pairs = [pair for found in by_image.values() for pair in itertools.combinations(found, 2)]
    stacked = [(a, b) for a, b in pairs if a[0].intersection(b[0]).area > 0.9 * min(a[0].area, b[0].area)]
    assert stacked
    for (_, height, length), (_, other_height, other_length) in stacked:
        assert height != other_height
        assert length / height == pytest.approx(other_length / other_height, rel=1e-3)


def test_bonai_has_the_fields_of_bonai(bonai):
    fields = (
        'id image_id category_id iscrowd ignore_flag building_height offset roof_mask footprint_mask segmentation area '
        'bbox roof_bbox footprint_bbox building_bbox only_footprint'
    )
    for file in FILES:
        content = json.loads((bonai / file.ann_file).read_text())
        assert len(content['images']) == file.num_images
        assert all((bonai / file.image_dir / image['file_name']).is_file() for image in content['images'])
        assert content['annotations']
        for annotation in content['annotations']:
            assert set(annotation) == set(fields.split())
            assert annotation['building_height'] > 0
            roof, footprint = (np.reshape(annotation[key], (-1, 2)) for key in ('roof_mask', 'footprint_mask'))
            np.testing.assert_allclose(roof - footprint, np.tile(annotation['offset'], (len(roof), 1)), atol=1e-9)
            assert contradiction_px(annotation) < 1e-9
            left, top, width, height = annotation['building_bbox']
            corners = np.concatenate([roof, footprint])
            np.testing.assert_allclose(corners.min(axis=0), (left, top))
            np.testing.assert_allclose(corners.max(axis=0), (left + width, top + height))


def test_bonai_is_seen_from_the_side(bonai):
    annotations = json.loads((bonai / FILES[0].ann_file).read_text())['annotations']
    lean = [np.hypot(*annotation['offset']) * 0.6 / annotation['building_height'] for annotation in annotations]
    assert min(lean) > np.tan(np.radians(10)) - 0.01
    assert max(lean) < np.tan(np.radians(40)) + 0.01


def test_the_data_set_of_bonai_reads_every_annotation(bonai, logged):
    init_default_scope('mmdet')
    dataset = BonaiInstanceDataset(
        data_root=str(bonai), ann_file=FILES[0].ann_file, data_prefix={'img': 'trainval/images/'}, test_mode=True
    )
    written = json.loads((bonai / FILES[0].ann_file).read_text())['annotations']
    assert sum(len(dataset.get_data_info(index)['buildings']) for index in range(3)) == len(written)
    assert not any('left out' in message for message in logged)


def test_tiles_too_small_to_show_a_building_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'image_size = \(32, 32\).*at least 64'):
        write_scenes_sample(tmp_path / 'set', SPLITS, 32)


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not generated'):
        write_bonai_sample(tmp_path, FILES, TILE_PX)
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']
