"""Building tiles on disk: labels and, in evaluation, buildings with heights; and the set that trains on them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.structures import SegDataSample
from PIL import Image

from projects.building_extraction.datasets import loading  # noqa: F401 (registers)
from projects.building_extraction.datasets.building_tiles import BuildingTileDataset

ROOT = Path(__file__).parents[3]
SIDE = 32
META_KEYS = ('img_path', 'ori_shape', 'img_shape', 'building_ids', 'building_heights_m')
PIPELINE = [
    {'type': 'LoadAerialImage'},
    {'type': 'LoadBuildingMask'},
    {'type': 'LoadBuildings'},
    {'type': 'PackSegInputs', 'meta_keys': META_KEYS},
]


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')  # as in the configs


def write_tile(split, name, suffix='.png', seed=0):
    """Two buildings, 12.5 m and unknown; a strip without data."""
    for folder in ('images', 'masks', 'instances', 'buildings'):
        (split / folder).mkdir(parents=True, exist_ok=True)
    ids = np.zeros((SIDE, SIDE), np.uint16)
    ids[4:10, 4:10], ids[15:25, 12:20] = 1, 2
    mask = np.uint8(255) * (ids > 0)
    mask[-3:] = 127
    pixels = np.random.default_rng(seed).integers(1, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(split / 'images' / f'{name}{suffix}')
    Image.fromarray(mask).save(split / 'masks' / f'{name}.png')
    Image.fromarray(ids).save(split / 'instances' / f'{name}.png')
    rows = [{'instance': 1, 'height_m': 12.5, 'offset_px': [1, 2]}, {'instance': 2, 'height_m': None}]
    (split / 'buildings' / f'{name}.json').write_text(json.dumps(rows))
    return ids


@pytest.fixture
def root(tmp_path):
    for index in range(20):
        write_tile(tmp_path / 'val', f'tile_{index:02}', '.tif' if index % 2 else '.png', index)
    return tmp_path


def dataset(root, **options):
    settings = {'pipeline': PIPELINE, 'serialize_data': False, **options}
    prefix = {'img_path': 'val/images', 'seg_map_path': 'val/masks'}
    return BuildingTileDataset(data_root=str(root), data_prefix=prefix, **settings)


def test_tiles_of_one_name_in_two_folders_have_buildings_of_their_own(tmp_path):
    for folder, height_m in (('a', 5.0), ('b', 7.0)):
        for kind in ('images', 'masks', 'instances', 'buildings'):
            (tmp_path / 'val' / kind / folder).mkdir(parents=True)
        write_tile(tmp_path / 'val', f'{folder}/1')
        rows = [{'instance': number, 'height_m': height_m} for number in (1, 2)]
        (tmp_path / 'val/buildings' / folder / '1.json').write_text(json.dumps(rows))
    samples = [sample['data_samples'] for sample in dataset(tmp_path, test_mode=True)]
    assert {sample.img_path[-7:]: sample.building_heights_m[1] for sample in samples} == {'a/1.png': 5, 'b/1.png': 7}


def test_evaluation_samples_carry_their_buildings(root):
    one = dataset(root, test_mode=True, serialize_data=True)
    assert len(one) == 20
    for sample in (one[0]['data_samples'], one[1]['data_samples']):  # PNG, GeoTIFF
        assert sample.building_ids.dtype == np.int32
        assert (sample.building_ids[5, 5], sample.building_ids[20, 15], sample.building_ids[0, 0]) == (1, 2, 0)
        np.testing.assert_array_equal(sample.building_heights_m, np.float32([np.nan, 12.5, np.nan]))
        labels = sample.gt_sem_seg.data[0].numpy()
        np.testing.assert_array_equal(labels == 1, sample.building_ids > 0)
        assert (labels[-3:] == 255).all()
        assert (labels[:-3] < 2).all()


def test_training_samples_do_not_load_them(root):
    sample = dataset(root)[0]['data_samples']
    assert 'building_ids' not in sample
    assert 'building_heights_m' not in sample


def test_a_set_of_images_and_masks_alone_has_no_buildings(root):
    (root / 'val/instances').rename(root / 'val/moved')
    with pytest.raises(FileNotFoundError, match=r'No folder .*val/instances\. Scores per height class need'):
        dataset(root, test_mode=True)
    (root / 'val/buildings').rename(root / 'val/moved_too')
    assert 'building_ids' not in dataset(root, test_mode=True)[0]['data_samples']


@pytest.mark.parametrize('name', ['instances/tile_04.png', 'buildings/tile_04.json'])
@pytest.mark.parametrize('content', [b'', b'[]', None])
def test_a_tile_with_bad_sidecars_is_named_and_not_scored(root, logged, name, content):
    path = root / 'val' / name
    path.unlink() if content is None else path.write_bytes(content)
    one = dataset(root, test_mode=True)
    sample = one[4]['data_samples']
    assert sample.unreadable
    assert (sample.gt_sem_seg.data == 255).all()
    assert not sample.building_ids.any()
    assert any(f'{path}: ' in text for text in logged)
    assert not one[5]['data_samples'].get('unreadable', False)


def test_too_many_bad_sidecars_are_refused(root):
    for index in (4, 5):
        (root / f'val/buildings/tile_{index:02}.json').unlink()
    one = dataset(root, test_mode=True)
    one[4]
    with pytest.raises(ValueError, match='2 of 20 images are unreadable'):
        one[5]


def test_an_unreadable_image_is_black_and_scored(root):
    (root / 'val/images/tile_04.png').write_bytes(b'')
    sample = dataset(root, test_mode=True)[4]
    assert sample['inputs'].sum() == 0
    assert set(sample['data_samples'].gt_sem_seg.data.unique().tolist()) == {0, 1, 255}
    assert sample['data_samples'].building_ids.max() == 2


def test_the_arrays_stay_on_the_processor(root):
    """As metainfo they are neither stacked nor moved; 'meta' stands for a GPU."""
    sample = dataset(root, test_mode=True)[0]
    moved = sample['data_samples'].to('meta')
    assert moved.gt_sem_seg.data.device.type == 'meta'
    assert isinstance(moved.building_ids, np.ndarray)
    preprocessor = MODELS.build({'type': 'SegDataPreProcessor', 'mean': [0] * 3, 'std': [1] * 3})
    batch = preprocessor({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, training=False)
    (received,) = batch['data_samples']
    assert isinstance(received, SegDataSample)
    np.testing.assert_array_equal(received.to_dict()['building_ids'], sample['data_samples'].building_ids)
    assert torch.is_tensor(batch['inputs'])


def test_the_config_asks_for_what_is_loaded(root):
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/building_scenes.py')
    assert cfg.val_dataloader.dataset.type == 'BuildingTileDataset'
    one = dataset(root, test_mode=True, pipeline=cfg.test_pipeline)
    assert one[0]['data_samples'].building_heights_m[1] == 12.5
    training = dataset(root, pipeline=cfg.train_pipeline)[0]
    assert training['inputs'].shape == (3, SIDE, SIDE)
    assert set(training['data_samples'].gt_sem_seg.data.unique().tolist()) == {0, 1, 255}


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ('{"height_classes": {"limits_m": [20.0], "names": ["small", "large"]}}', (20.0,)),
        ('{"gsd_m": 0.3}', None),
        ('[1, 2]', None),
        ('no JSON', None),
        (None, None),
    ],
)
def test_the_height_classes_that_a_set_was_made_with_go_with_it_to_the_scores(root, content, expected):
    if content is not None:
        (root / 'parameters.json').write_text(content)
    stated = dataset(root, test_mode=True).metainfo.get('height_classes')
    assert (stated and stated['limits_m']) == expected
    assert 'height_classes' not in dataset(root).metainfo  # which checkpoints of a training would hold
