"""Labels of a source beside the stated ones: laid on the buildings, and without fault."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image

from projects.building_extraction.preparation.scenes.tiles import write_scenes
from projects.building_extraction.transfer_study.source_labels import ALIGNED, MASKS, ROOFS, STATED, write_source_masks
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain
from projects.city_scenes.procedural_city import procedural_city

SEEN = {'num_tiles': 2, 'off_nadir_deg': (25, 25), 'azimuth_deg': (70, 70)}


@pytest.fixture(scope='module')
def city():
    return procedural_city(size_m=500, seed=0)


@pytest.fixture(scope='module')
def source(city, tmp_path_factory):
    """A source of footprints, some metres off, with all labels."""
    root = tmp_path_factory.mktemp('set') / 'footprints'
    write_scenes(city, {'source': Domain(**SEEN, label='footprint', registration_error_m=2)}, 0.6, 192, root)
    for labels in (ALIGNED, ROOFS):
        write_source_masks(root, labels, lambda: city)
    return root


def masks(root, labels):
    return {path.name: np.asarray(Image.open(path)) for path in sorted((root / MASKS[labels]).iterdir())}


def iou(one, other):
    one, other = (np.stack(list(each.values())) > 0 for each in (one, other))
    return (one & other).sum() / (one | other).sum()


def test_roofs_are_those_that_are_seen(source, city, tmp_path):
    write_scenes(city, {'source': Domain(**SEEN, label='roof')}, 0.6, 192, tmp_path / 'roofs', min_area_px=1)
    seen, found = masks(tmp_path / 'roofs', STATED), masks(source, ROOFS)
    assert len(seen) == 2
    assert all((seen[name] == found[name]).all() for name in seen)


def test_aligned_labels_lie_nearer_to_the_roofs(source):
    roofs = masks(source, ROOFS)
    stated, aligned = iou(masks(source, STATED), roofs), iou(masks(source, ALIGNED), roofs)
    assert aligned > stated + 0.1
    assert set(np.unique(np.stack(list(masks(source, ALIGNED).values())))) == {0, 255}


def test_what_is_there_is_not_made_again(source):
    def not_read():
        raise AssertionError('the city is read once more')

    write_source_masks(source, ALIGNED, not_read)


def test_labels_of_too_few_buildings_stay(tmp_path):
    squares = shapely.box(*np.array([(20, 20, 40, 40), (60, 60, 90, 80)], float).T)
    few = City(Buildings(squares, np.array([9.0, 9.0]), np.arange(2)))
    (tmp_path / 'source' / 'images').mkdir(parents=True)
    image = {'file_name': 'a.png', 'width': 100, 'height': 100, 'west_north_m': [0, 100], 'gsd_m': 1.0,
             'label': 'footprint', 'label_displacement_m': [5.0, 0.0]}  # fmt: skip
    (tmp_path / 'source' / 'instances.json').write_text(json.dumps({'images': [image]}))
    write_source_masks(tmp_path, ALIGNED, lambda: few)
    expected = np.zeros((100, 100), np.uint8)
    expected[60:80, 25:45] = expected[20:40, 65:95] = 255
    assert (masks(tmp_path, ALIGNED)['a.png'] == expected).all()


def test_only_footprints_are_aligned(city, tmp_path):
    write_scenes(city, {'source': Domain(1, label='roof')}, 1.0, 64, tmp_path / 'set')
    with pytest.raises(ValueError, match=r"labels of the source are \['roof'\]: only footprints can be aligned"):
        write_source_masks(tmp_path / 'set', ALIGNED, lambda: city)
