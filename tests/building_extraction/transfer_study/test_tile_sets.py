"""Sources of tiles: what they say of a set, which tiles are looked at."""

import json

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.transfer_study.tile_sets import RenderedScenes, choose_panels, tiles

OTHERS = HeightClasses((20.0,), ('small', 'large'))
DOMAINS = {split: {'num_tiles': 2, 'label': 'footprint'} for split in ('source', 'target', 'val', 'test')}


def write_buildings(folder, heights_m):
    folder.mkdir(parents=True)
    for name, heights in heights_m.items():
        buildings = [{'height_m': h, 'offset_px': [0, 0], 'label_displacement_m': [h / 10, 0]} for h in heights]
        (folder / f'{name}.json').write_text(json.dumps(buildings))


def test_displacements_are_told_by_the_given_classes(tmp_path):
    write_buildings(tmp_path / 'source' / 'buildings', {'a': [15.0, 30.0], 'b': [150.0]})
    found = RenderedScenes({}, 0.5, 64, DOMAINS).misalignment(tmp_path, OTHERS)
    assert {name: row['buildings'] for name, row in found.items()} == {'small': 1, 'large': 2}
    assert found['large']['median_px'] == 18.0  # (3 m + 15 m) / 2, at 0.5 m a pixel


def test_panels_have_the_most_of_the_given_classes(tmp_path):
    write_buildings(tmp_path / 'test' / 'buildings', {'a': [15.0, 30.0], 'b': [40.0, 150.0], 'c': [5.0]})
    assert choose_panels(tmp_path, 2, OTHERS) == ['a', 'b']
    assert choose_panels(tmp_path, 2, HeightClasses((50.0,), ('low', 'high'))) == ['b', 'a']


def test_panels_of_a_set_without_heights_are_spread_evenly(tmp_path):
    (tmp_path / 'test' / 'images').mkdir(parents=True)
    for number in range(9):
        (tmp_path / 'test' / 'images' / f't{number}.jpg').touch()
        (tmp_path / 'test' / 'images' / f't{number}.jpg.aux.xml').touch()
    assert len(tiles(tmp_path, 'test')) == 9
    assert choose_panels(tmp_path, 3, OTHERS) == ['t0', 't4', 't8']
    assert len(choose_panels(tmp_path, 20, OTHERS)) == 9


def test_each_replicate_has_ground_of_its_own_and_shares_it_between_angles(tmp_path):
    city = {'otherwise': {'size_m': 500, 'seed': 0}}
    domains = {split: {**domain, 'num_tiles': 1} for split, domain in DOMAINS.items()}
    source = RenderedScenes(city, 1.0, 64, domains, gap_off_nadir_deg={'source': 20})
    steep = RenderedScenes(
        city, 1.0, 64, domains | {'source': domains['source'] | {'off_nadir_deg': (20, 20)}}, None, {'source': 20}
    )
    classes = HeightClasses()
    first, second = (source.prepare(number, tmp_path / str(number), classes) for number in (0, 1))
    third = steep.prepare(0, tmp_path / 'steep', classes, like=first)

    def images(folder, split):
        return [path.read_bytes() for path in sorted((folder / split / 'images').iterdir())]

    assert images(first, 'test') != images(second, 'test')
    assert images(first, 'test') == images(third, 'test')
    assert images(first, 'source') != images(third, 'source')
