"""Labels of a source beside the stated ones: laid on the buildings, and without fault."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image

from projects.building_extraction.preparation.scenes.tiles import write_scenes
from projects.building_extraction.transfer_study import source_labels
from projects.building_extraction.transfer_study.source_labels import (
    ALIGNED,
    MASKS,
    ROOFS,
    STATED,
    TOLD,
    write_source_masks,
)
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain
from projects.city_scenes.procedural_city import procedural_city
from projects.geodata.vector_files import geopandas

SEEN = {'num_tiles': 2, 'off_nadir_deg': (25, 25), 'azimuth_deg': (70, 70)}


@pytest.fixture(scope='module')
def city():
    return procedural_city(size_m=500, seed=0)


@pytest.fixture(scope='module')
def source(city, tmp_path_factory):
    """A source of footprints, some metres off, with all labels."""
    root = tmp_path_factory.mktemp('set') / 'footprints'
    write_scenes(city, {'source': Domain(**SEEN, label='footprint', registration_error_m=2)}, 0.6, 192, root)
    for labels in (ALIGNED, TOLD, ROOFS):
        write_source_masks(root, labels, lambda: city)
    return root


def masks(root, labels):
    return {path.name: np.asarray(Image.open(path)) for path in sorted((root / MASKS[labels]).iterdir())}


def iou(one, other):
    one, other = (np.stack(list(each.values())) > 0 for each in (one, other))
    return (one & other).sum() / (one | other).sum()


def write_image(root, displacement_m=(0.0, 0.0)):
    (root / 'source' / 'images').mkdir(parents=True)
    image = {'file_name': 'a.png', 'width': 100, 'height': 100, 'west_north_m': [0, 100], 'gsd_m': 1.0,
             'off_nadir_deg': 20.0, 'azimuth_deg': 70.0, 'label': 'footprint',
             'label_displacement_m': list(displacement_m)}  # fmt: skip
    (root / 'source' / 'instances.json').write_text(json.dumps({'images': [image]}))
    Image.new('RGB', (100, 100)).save(root / 'source' / 'images' / 'a.png')


def test_roofs_are_those_that_are_seen(source, city, tmp_path):
    write_scenes(city, {'source': Domain(**SEEN, label='roof')}, 0.6, 192, tmp_path / 'roofs', min_area_px=1)
    seen, found = masks(tmp_path / 'roofs', STATED), masks(source, ROOFS)
    assert len(seen) == 2
    assert all((seen[name] == found[name]).all() for name in seen)


def test_aligned_labels_lie_nearer_to_the_roofs(source):
    roofs = masks(source, ROOFS)
    stated, aligned, told = (iou(masks(source, labels), roofs) for labels in (STATED, ALIGNED, TOLD))
    assert aligned > stated + 0.1
    assert told > stated + 0.1
    assert not all((masks(source, ALIGNED)[name] == masks(source, TOLD)[name]).all() for name in roofs)


def test_labels_without_evidence_are_ignored(tmp_path, monkeypatch):
    """Where they were stated, where they were laid, and between; what is sure lies over that."""
    lefts = np.array([10.0, 30, 50, 70, 10])
    squares = shapely.box(lefts, [70, 70, 70, 70, 20], lefts + 10, [80, 80, 80, 80, 30])
    given = []

    def laid(found, classes):
        roofs = shapely.transform(squares, lambda corners: corners + np.array([4, -10]))
        roofs[0], roofs[4] = (
            shapely.box(12, 32, 22, 38),
            shapely.box(14.1, 40, 24.1, 50),
        )  # the first in the way of the last
        labels = geopandas.read_file(given[-1].labels).geometry
        order = [int(np.flatnonzero(shapely.equals(squares, label))[0]) for label in labels]
        status = np.array(['moved', 'kept', 'moved', 'moved', 'no evidence'])[order]
        return geopandas.GeoDataFrame({'label': range(1, 6), 'status': status}, geometry=roofs[order]), None

    monkeypatch.setattr(source_labels, 'align', lambda settings, out: given.append(settings))
    monkeypatch.setattr(source_labels, 'aligned_labels', laid)
    write_image(tmp_path)
    city = City(Buildings(squares, np.array([9.0] * 5), np.arange(5)))
    write_source_masks(tmp_path, ALIGNED, lambda: city)
    write_source_masks(tmp_path, TOLD, lambda: city)
    blind, told = given
    assert (blind.height_column, blind.off_nadir_deg, blind.azimuth_deg) == (None, None, None)
    assert (told.height_column, told.off_nadir_deg, told.azimuth_deg) == ('height_m', 20.0, 70.0)
    mask = masks(tmp_path, ALIGNED)['a.png']
    expected = np.zeros((100, 100), np.uint8)
    for row in range(50, 80):  # the hull of (10..20, 20..30) and (14.1..24.1, 40..50), of pixels' centres
        north = 99.5 - row
        left = 10 + 4.1 * max(north - 30, 0) / 20
        right = 20 + 4.1 * min(max(north - 20, 0) / 20, 1)
        columns = np.arange(100) + 0.5
        expected[row, (columns > left) & (columns < right)] = 127
    expected[62:68, 12:22] = 255
    for left in (34, 54, 74):
        expected[30:40, left : left + 10] = 255
    assert (mask == expected).all()


def test_what_is_there_is_not_made_again(source):
    def not_read():
        raise AssertionError('the city is read once more')

    write_source_masks(source, ALIGNED, not_read)


def test_labels_of_too_few_buildings_stay(tmp_path):
    squares = shapely.box(*np.array([(20, 20, 40, 40), (60, 60, 90, 80)], float).T)
    few = City(Buildings(squares, np.array([9.0, 9.0]), np.arange(2)))
    write_image(tmp_path, [5.0, 0.0])
    write_source_masks(tmp_path, ALIGNED, lambda: few)
    expected = np.zeros((100, 100), np.uint8)
    expected[60:80, 25:45] = expected[20:40, 65:95] = 255
    assert (masks(tmp_path, ALIGNED)['a.png'] == expected).all()


def test_only_footprints_are_aligned(city, tmp_path):
    write_scenes(city, {'source': Domain(1, label='roof')}, 1.0, 64, tmp_path / 'set')
    with pytest.raises(ValueError, match=r"labels of the source are \['roof'\]: only footprints can be aligned"):
        write_source_masks(tmp_path / 'set', ALIGNED, lambda: city)
