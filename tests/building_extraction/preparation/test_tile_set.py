import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from projects.building_extraction.preparation.tile_set import (
    LAYERS,
    Origin,
    TileLabels,
    WrittenTile,
    coco_file,
    copy_tile,
    instance_masks,
    make_folders,
    write_image,
    write_license_note,
)


@pytest.fixture
def labels():
    """Building 1 on the left, building 2 of unknown height on the right, no data below."""
    instances = np.array([[1, 0, 2, 2], [1, 0, 2, 2], [0, 0, 0, 0]], np.uint16)
    heights_m = np.array([[9, 0, np.nan, np.nan]] * 2 + [[0] * 4], np.float32)
    table = [{'instance': 1, 'height_m': 9.0}, {'instance': 2, 'height_m': None}]
    ignored = np.zeros((3, 4), bool)
    ignored[2] = True
    return TileLabels(instances, heights_m, table, ignored)


@pytest.fixture
def part(tmp_path, labels):
    make_folders(tmp_path / 'all')
    labels.write(tmp_path / 'all', 'a')
    write_image(tmp_path / 'all/images', 'a', np.full((3, 4, 3), 7, np.uint8))
    make_folders(tmp_path / 'val')
    return tmp_path


def test_labels_are_read_as_they_were_written(part, labels):
    read = TileLabels.read(part / 'all', 'a')
    for kind in ('instances', 'heights_m', 'ignored', 'mask'):
        np.testing.assert_array_equal(getattr(read, kind), getattr(labels, kind))
        assert getattr(read, kind).dtype == getattr(labels, kind).dtype
    assert read.buildings == labels.buildings
    assert labels.mask.tolist() == [[255, 0, 255, 255], [255, 0, 255, 255], [127] * 4]


def test_a_picture_says_its_size_and_where_it_lies_if_it_is_told(tmp_path):
    rgb = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
    assert write_image(tmp_path, 'a', rgb) == {'file_name': 'a.png', 'width': 4, 'height': 3}
    named = write_image(tmp_path, 'a', rgb, (2.0, 0.0, 500000.0, 0.0, -2.0, 5e6), 'EPSG:32633')
    assert named['file_name'] == 'a.tif'
    for path in (tmp_path / 'a.png', tmp_path / 'a.tif'):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), rgb)


@pytest.mark.parametrize('with_links', [True, False])
def test_a_part_gets_the_files_of_a_tile_whatever_the_disk_can(part, monkeypatch, with_links):
    if not with_links:
        monkeypatch.setattr(Path, 'hardlink_to', lambda *_: (_ for _ in ()).throw(PermissionError('no links')))
    copy_tile(part / 'all', part / 'val', 'a')
    for layer, suffix in LAYERS.items():
        name = f'{layer}/a{suffix}'
        assert (part / 'val' / name).read_bytes() == (part / 'all' / name).read_bytes()


def test_buildings_of_another_part_become_pixels_to_ignore_and_the_tile_itself_stays(part, labels):
    copy_tile(part / 'all', part / 'val', 'a', ignored=[1])
    copied = TileLabels.read(part / 'val', 'a')
    assert copied.mask.tolist() == [[127, 0, 255, 255], [127, 0, 255, 255], [127] * 4]
    assert copied.instances.tolist() == [[0, 0, 2, 2], [0, 0, 2, 2], [0] * 4]
    np.testing.assert_array_equal(copied.heights_m[:, :2], 0)
    assert copied.buildings == [{'instance': 2, 'height_m': None}]
    np.testing.assert_array_equal(TileLabels.read(part / 'all', 'a').mask, labels.mask)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32])
def test_instances_are_numbered_as_in_the_map_whose_numbers_may_have_gaps(dtype):
    instances = np.zeros((5, 6), dtype)
    instances[1:3, 2:5] = 7
    instances[4, 0] = instances[4, 5] = 3
    found = dict(instance_masks(instances))
    assert list(found) == [3, 7]
    assert [one['area'] for one in found.values()] == [2, 6]
    assert [one['bbox'] for one in found.values()] == [[0, 4, 6, 1], [2, 1, 3, 2]]
    for number, one in found.items():
        np.testing.assert_array_equal(mask_api.decode(one['segmentation']), instances == number)
    assert not dict(instance_masks(np.zeros((2, 2), dtype)))


def test_ids_go_on_from_the_file_of_another_part():
    tile = WrittenTile({'file_name': 'a.png'}, [{'area': 1}, {'area': 2}])
    train = coco_file([tile, tile], {'made': 'here'})
    val = coco_file([tile], after=train)
    assert [image['id'] for image in train['images'] + val['images']] == [1, 2, 3]
    assert [one['id'] for one in train['annotations'] + val['annotations']] == [1, 2, 3, 4, 5, 6]
    assert [one['image_id'] for one in train['annotations'] + val['annotations']] == [1, 1, 2, 2, 3, 3]
    assert train['info'] == {'made': 'here'}
    assert 'info' not in val
    assert json.loads(json.dumps(val)) == val


def test_the_note_says_where_parts_come_from_and_whom_to_ask_if_no_licence_is_stated(tmp_path):
    write_license_note(
        tmp_path / 'LICENSE.md', [Origin('images', 'tiles', 'CC BY 4.0,\n  Skyways'), Origin('labels', 'a.gpkg', ' ')]
    )
    assert (tmp_path / 'LICENSE.md').read_text() == (
        '# Where this data comes from\n\n'
        '- **images**: tiles. Licence: CC BY 4.0, Skyways\n'
        '- **labels**: a.gpkg. Licence: not stated; ask the owner of a.gpkg\n'
    )
