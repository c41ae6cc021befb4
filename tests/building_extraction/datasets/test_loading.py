"""Buildings read from tiles and drawn from polygons: exact pixels and heights, and every kind of bad file."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from projects.building_extraction.datasets.loading import (
    DrawBuildingMask,
    DrawBuildings,
    LoadAerialImage,
    LoadBuildings,
    known_heights_m,
    paint,
)
from projects.pixels.decoding import UnreadableImageError

SHAPE = (12, 16)


def test_heights_that_no_building_has_are_unknown():
    heights_m = known_heights_m([12.5, None, math.nan, math.inf, 0, -3.0, 1])
    assert heights_m.dtype == np.float32
    np.testing.assert_array_equal(heights_m, [12.5, np.nan, np.nan, np.nan, np.nan, np.nan, 1])
    assert known_heights_m([]).shape == (0,)


@pytest.mark.parametrize('value', ['12', True, [3]])
def test_heights_that_are_no_numbers_are_refused(value):
    with pytest.raises(TypeError, match='neither a number of metres nor null'):
        known_heights_m([value])


# ------------------------------------------------------------------------------------------------------- tile sidecars


@pytest.fixture
def tile(tmp_path):
    """Results of the transforms before, for a tile with the buildings 1, 3 and 500."""
    ids = np.zeros(SHAPE, np.uint16)
    ids[2:5, 2:5], ids[6:, 8:], ids[0, 0] = 1, 3, 500
    Image.fromarray(ids).save(tmp_path / 'instances.png')
    table = [
        {'instance': 3, 'height_m': None, 'tiers': 2},
        {'instance': 1, 'height_m': 35.5},
        {'instance': 500, 'height_m': 9},
        {'instance': 501, 'height_m': 4},  # hidden behind others
    ]
    (tmp_path / 'buildings.json').write_text(json.dumps(table))
    return {
        'ori_shape': SHAPE,
        'gt_seg_map': (ids > 0).astype(np.uint8),
        'instances_path': str(tmp_path / 'instances.png'),
        'buildings_path': str(tmp_path / 'buildings.json'),
    }


def test_buildings_of_a_tile_come_with_their_heights(tile):
    results = LoadBuildings()(tile)
    ids, heights_m = results['building_ids'], results['building_heights_m']
    assert (ids.dtype, ids.shape) == (np.int32, SHAPE)
    assert [ids[3, 3], ids[7, 9], ids[0, 0], ids[0, 5]] == [1, 3, 500, 0]
    assert (heights_m.dtype, heights_m.shape) == (np.float32, (502,))
    assert [heights_m[1], heights_m[500], heights_m[501]] == [35.5, 9, 4]
    assert np.isnan(heights_m[[0, 2, 3]]).all()


def test_a_tile_without_buildings_has_no_heights(tile):
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(tile['instances_path'])
    Path(tile['buildings_path']).write_text('[]')
    results = LoadBuildings()(tile)
    assert not results['building_ids'].any()
    assert np.isnan(results['building_heights_m']).all()
    assert results['building_heights_m'].shape == (1,)


def test_samples_without_sidecars_stay_as_they_are():
    assert LoadBuildings()({'ori_shape': SHAPE}) == {'ori_shape': SHAPE}


def save_ids(ids):
    return lambda tile: Image.fromarray(ids).save(tile['instances_path'])


def save_table(text):
    return lambda tile: Path(tile['buildings_path']).write_text(text)


BAD_SIDECARS = {
    'other size': (save_ids(np.zeros((12, 15), np.uint16)), r'instances\.png: .*\(12, 16\).*\(12, 15\)'),
    'colours': (save_ids(np.zeros((*SHAPE, 3), np.uint8)), r'instances\.png: .*one integer per pixel'),
    'floats': (lambda tile: Image.fromarray(np.zeros(SHAPE, np.float32)).save(tile['instances_path'], 'TIFF'), 'float'),
    'no image': (lambda tile: tile.update(instances_path=tile['buildings_path']), r'buildings\.json'),
    'gone': (lambda tile: tile.update(buildings_path='gone.json'), r'gone\.json.*FileNotFoundError'),
    'not JSON': (save_table('[{'), r'buildings\.json: expected a list.*JSONDecodeError'),
    'object': (save_table('{"instance": 1}'), 'expected a list of objects'),
    'no height': (save_table('[{"instance": 1}]'), "KeyError: 'height_m'"),
    'text': (save_table('[{"instance": 1, "height_m": "tall"}]'), "height 'tall'"),
    'unlisted': (save_table('[{"instance": 1, "height_m": 2}]'), r'the instance map has \[3, 500\] besides'),
    'twice': (
        save_table(json.dumps([{'instance': n, 'height_m': 2} for n in (1, 3, 3, 500)])),
        '3 different numbers in 4 entries',
    ),
    'negative': (
        save_table(json.dumps([{'instance': n, 'height_m': 2} for n in (1, 3, 500, -1)])),
        'the lowest is -1',
    ),
}


@pytest.mark.parametrize(('spoil', 'reason'), BAD_SIDECARS.values(), ids=BAD_SIDECARS)
def test_bad_sidecars_are_named_and_make_a_replaced_sample_ignored(tile, spoil, reason):
    spoil(tile)
    with pytest.raises(UnreadableImageError, match=reason):
        LoadBuildings()(tile)
    results = LoadBuildings()(tile | {'unreadable': True})
    assert (results['gt_seg_map'] == 255).all()
    assert not results['building_ids'].any()
    assert results['building_ids'].shape == SHAPE


def test_an_unreadable_image_keeps_the_buildings_that_it_should_show(tile):
    results = LoadBuildings()(tile | {'unreadable': True})
    assert set(np.unique(results['building_ids'])) == {0, 1, 3, 500}
    assert set(np.unique(results['gt_seg_map'])) == {0, 1}


# ----------------------------------------------------------------------------------------------------- drawn polygons


def square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def building(*rings, height_m=10.0, ignored=False):
    return {'segmentation': list(rings), 'height_m': height_m, 'ignored': ignored}


def test_painting_gives_the_pixels_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(200):
        center, radii = rng.uniform(-10, 60, 2), rng.uniform(0.3, 30, 9)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        ring = (center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)).ravel().tolist()
        canvas = np.zeros((40, 50), np.int32)
        paint(canvas, [ring], 7)
        expected = mask_api.decode(mask_api.frPyObjects([ring], 40, 50))[..., 0]
        np.testing.assert_array_equal(canvas, 7 * expected)


@pytest.mark.parametrize('compressed', [True, False])
def test_run_lengths_are_painted(compressed):
    mask = np.asfortranarray(np.random.default_rng(0).integers(0, 2, (9, 11), np.uint8))
    encoded = mask_api.encode(mask)
    if compressed:
        encoded = {'size': encoded['size'], 'counts': encoded['counts'].decode()}
    else:
        flat = mask.ravel(order='F')
        starts = np.flatnonzero(np.diff(flat, prepend=0))
        encoded = {'size': [9, 11], 'counts': np.diff([0, *starts, flat.size]).tolist()}
    canvas = np.zeros((9, 11), np.uint8)
    paint(canvas, encoded, 3)
    np.testing.assert_array_equal(canvas, 3 * mask)


def test_a_drawn_mask_has_buildings_over_ignored_over_background():
    buildings = [
        building(square(1, 1, 5, 5)),
        building(square(3, 3, 9, 9), ignored=True),
        building(square(12, 0, 16, 2), square(14, 6, 16, 12)),
    ]
    labels = DrawBuildingMask()({'ori_shape': SHAPE, 'buildings': buildings, 'seg_fields': []})
    assert labels['seg_fields'] == ['gt_seg_map']
    expected = np.zeros(SHAPE, np.uint8)
    expected[3:9, 3:9] = 255
    expected[1:5, 1:5] = expected[:2, 12:] = expected[6:, 14:] = 1
    np.testing.assert_array_equal(labels['gt_seg_map'], expected)


def test_the_later_of_two_overlapping_buildings_has_the_pixel():
    buildings = [
        building(square(1, 1, 5, 5), height_m=3.0),
        building(square(0, 0, 16, 12), ignored=True),
        building(square(3, 3, 7, 7), height_m=math.nan),
        building(square(8, 8, 9, 9), height_m=50.0),
        building(square(8, 8, 10, 10), height_m=60.0),
    ]
    results = DrawBuildings()({'ori_shape': SHAPE, 'buildings': buildings})
    ids = results['building_ids']
    assert ids.dtype == np.int32
    assert [ids[2, 2], ids[4, 4], ids[6, 6], ids[8, 8], ids[11, 11]] == [1, 2, 2, 4, 0]
    assert 3 not in ids
    np.testing.assert_array_equal(results['building_heights_m'], np.float32([np.nan, 3, np.nan, 50, 60]))


def test_mask_and_buildings_agree():
    rng = np.random.default_rng(1)
    buildings = [
        building(rng.uniform(0, 12, 8).tolist(), ignored=bool(rng.integers(2)), height_m=5.0) for _ in range(12)
    ]
    results = {'ori_shape': SHAPE, 'buildings': buildings}
    results = DrawBuildings()(DrawBuildingMask()(results))
    np.testing.assert_array_equal(results['gt_seg_map'] == 1, results['building_ids'] > 0)


# ---------------------------------------------------------------------------------------------------------------- TIFF


def test_tiff_and_png_give_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    for name in ('a.png', 'a.TIF'):
        Image.fromarray(pixels).save(tmp_path / name, 'PNG' if name.endswith('png') else 'TIFF')
        results = LoadAerialImage()({'img_path': str(tmp_path / name)})
        np.testing.assert_array_equal(results['img'][..., ::-1], pixels)
        assert results['ori_shape'] == SHAPE


@pytest.mark.parametrize('spoil', [lambda c: c[: len(c) // 2], lambda c: b'', lambda c: b'text', lambda c: c[:60]])
def test_broken_tiffs_are_unreadable(tmp_path, spoil):
    path = tmp_path / 'a.tif'
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path, compression='tiff_deflate')
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UnreadableImageError, match=r'a\.tif'):
        LoadAerialImage()({'img_path': str(path)})
