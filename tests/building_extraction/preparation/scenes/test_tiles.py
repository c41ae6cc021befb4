import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import shapely
from PIL import Image

from projects.building_extraction.preparation.scenes import tiles
from projects.building_extraction.preparation.scenes.tiles import write_scenes
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain, Flight
from projects.city_scenes.labeled_tile import label_tile
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View

DOMAINS = {
    'source': Domain(5, off_nadir_deg=(20, 40), registration_error_m=2, label='footprint'),
    'test': Domain(3),
}
HEIGHTS = (6.0, 20.0, 50.0, 110.0)


def grid_city(crs=None, west=0.0, south=0.0):
    """Squares of 20 m, 40 m apart, over 400 x 400 m; the four classes of height in turn, one height unknown."""
    x, y = (axis.ravel() * 40.0 + 10 for axis in np.meshgrid(np.arange(20), np.arange(20)))
    heights = np.resize(HEIGHTS, len(x))
    heights[7] = np.nan
    polygons = shapely.box(west + x, south + y, west + x + 20, south + y + 20)
    return City(Buildings(polygons, heights, np.arange(len(x)), crs))


def read(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('set') / 'scenes'
    report = write_scenes(grid_city(), DOMAINS, 1.0, 96, folder, seed=5, num_processes=1)
    return folder, report


def test_all_files_are_written_in_the_layout(scenes):
    folder, _ = scenes
    for split, domain in DOMAINS.items():
        names = [f'{split}_{number:05d}' for number in range(domain.num_tiles)]
        for kind, suffix in (('images', 'png'), ('masks', 'png'), ('instances', 'png'), ('heights', 'tif')):
            assert sorted(path.name for path in (folder / split / kind).iterdir()) == [f'{n}.{suffix}' for n in names]
        assert (folder / f'{split}.png').exists()
    assert (folder / 'overview.png').exists()
    assert {path.name for path in folder.parent.iterdir()} <= {'scenes', '.scenes.lock'}


def test_mask_instances_heights_and_tables_agree(scenes):
    folder, _ = scenes
    for split in DOMAINS:
        for path in (folder / split / 'images').iterdir():
            image, mask = read(path), read(folder / split / 'masks' / path.name)
            instances = read(folder / split / 'instances' / path.name)
            heights = read((folder / split / 'heights' / path.name).with_suffix('.tif'))
            table = json.loads((folder / split / 'buildings' / path.name).with_suffix('.json').read_text())
            assert image.shape == (96, 96, 3)
            assert set(np.unique(mask)) <= {0, 255}
            assert ((mask == 255) == (instances > 0)).all()
            assert [row['instance'] for row in table] == list(range(1, instances.max() + 1))
            assert (heights[instances == 0] == 0).all()
            assert heights.dtype == np.float32
            for row in table:
                own = heights[instances == row['instance']]
                assert own.size >= 16
                if row['height_m'] is None:
                    assert np.isnan(own).all()
                else:
                    assert np.allclose(own, row['height_m'], atol=0.01)


def test_coco_annotations_are_the_instances(scenes):
    from pycocotools.coco import COCO

    folder, report = scenes
    for split in DOMAINS:
        coco = COCO(folder / split / 'instances.json')
        assert len(coco.anns) == sum(report.splits[split].buildings.values())
        for image in coco.imgs.values():
            instances = read(folder / split / 'instances' / image['file_name'])
            annotations = coco.imgToAnns[image['id']]
            total = sum(coco.annToMask(annotation).astype(int) for annotation in annotations)
            assert (total == (instances > 0)).all()
            table = json.loads((folder / split / 'buildings' / image['file_name']).with_suffix('.json').read_text())
            assert [a['building_height'] for a in annotations] == [row['height_m'] for row in table]


def test_every_split_has_every_class_of_height_on_ground_of_its_own(scenes):
    folder, report = scenes
    boxes = {}
    for split, counts in report.splits.items():
        assert min(list(counts.buildings.values())[:4]) > 0
        images = json.loads((folder / split / 'instances.json').read_text())['images']
        corners = np.array([image['west_north_m'] for image in images])
        boxes[split] = shapely.union_all(
            shapely.box(corners[:, 0], corners[:, 1] - 96, corners[:, 0] + 96, corners[:, 1])
        )
    assert boxes['source'].intersection(boxes['test']).area < 1e-6


def test_views_differ_from_tile_to_tile_and_stay_within_their_domain(scenes):
    folder, _ = scenes
    images = json.loads((folder / 'source' / 'instances.json').read_text())['images']
    angles = [image['off_nadir_deg'] for image in images]
    assert len(set(angles)) == 5
    assert all(20 <= angle <= 40 for angle in angles)
    assert len({tuple(image['label_displacement_m']) for image in images}) == 5


def test_counts_are_those_of_the_files(scenes):
    folder, report = scenes
    shares = [(read(path) > 0).mean() for path in (folder / 'test' / 'masks').iterdir()]
    assert report.splits['test'].building_share == pytest.approx(np.mean(shares))
    assert 'skyscraper' in str(report)


def test_the_same_set_is_not_written_again(scenes):
    folder, report = scenes
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    again = write_scenes(grid_city(), DOMAINS, 1.0, 96, folder, seed=5, num_processes=1)
    assert not again.written
    assert again.splits == report.splits
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == before


def test_the_note_names_the_files_of_the_city_and_is_of_no_effect_on_the_set(tmp_path):
    folder, one = tmp_path / 'set', {'test': Domain(1)}
    write_scenes(grid_city(), one, 1.0, 96, folder, num_processes=1)
    note = folder / 'LICENSE.md'
    invented = '- **images and labels**: rendered by Skyline, of an invented city. Licence: Apache-2.0, as Skyline'
    assert note.read_text().splitlines()[2:] == [invented]
    note.unlink()  # as sets were written before
    assert not write_scenes(grid_city(), one, 1.0, 96, folder).written
    assert not note.exists()
    city = replace(grid_city(), files={'footprints': 'a.gpkg', 'roads': 'b.gpkg'})
    assert not write_scenes(city, one, 1.0, 96, folder, license='CC BY 4.0, City of A').written
    assert note.read_text().splitlines()[2:] == [
        '- **footprints**: a.gpkg. Licence: CC BY 4.0, City of A',
        '- **roads**: b.gpkg. Licence: CC BY 4.0, City of A',
        '- **images and labels**: rendered by Skyline, of these files. Licence: theirs',
    ]


def test_other_parameters_are_named(scenes):
    folder, _ = scenes
    with pytest.raises(ValueError, match='seed: 5 before, 6 now'):
        write_scenes(grid_city(), DOMAINS, 1.0, 96, folder, seed=6)
    with pytest.raises(ValueError, match=r'domains\.test\.num_tiles: 3 before, 4 now'):
        write_scenes(grid_city(), DOMAINS | {'test': Domain(4)}, 1.0, 96, folder, seed=5)
    with pytest.raises(ValueError, match='city'):
        write_scenes(grid_city(west=1), DOMAINS, 1.0, 96, folder, seed=5)


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='other files'):
        write_scenes(grid_city(), DOMAINS, 1.0, 96, tmp_path)
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_several_processes_write_the_same_files(scenes, tmp_path):
    folder, _ = scenes
    write_scenes(grid_city(), DOMAINS, 1.0, 96, tmp_path / 'b', seed=5, num_processes=2)
    for path in sorted(folder.rglob('*.*')):
        assert path.read_bytes() == (tmp_path / 'b' / path.relative_to(folder)).read_bytes(), path.name


def test_an_interrupted_set_does_not_appear_and_is_begun_anew(tmp_path, monkeypatch):
    whole = tiles.write_tile
    written = []

    def failing(city, folder, job):
        written.append(job.name)
        if len(written) == 3:
            raise OSError('disk full')
        return whole(city, folder, job)

    monkeypatch.setattr(tiles, 'write_tile', failing)
    domains = {'test': Domain(4)}
    with pytest.raises(OSError, match='disk full'):
        write_scenes(grid_city(), domains, 1.0, 96, tmp_path / 'set', num_processes=1)
    assert not (tmp_path / 'set').exists()
    assert write_scenes(grid_city(), domains, 1.0, 96, tmp_path / 'set', num_processes=1).splits['test'].tiles == 4


@pytest.fixture
def rendered(monkeypatch):
    """Names of the tiles that have been rendered."""
    write_tile, names = tiles.write_tile, []

    def record(city, folder, job):
        names.append(job.name)
        return write_tile(city, folder, job)

    monkeypatch.setattr(tiles, 'write_tile', record)
    return names


def at_angle(angle_deg, folder, like=None, **changes):
    domains = {'source': Domain(2, (angle_deg, angle_deg), label='footprint'), 'val': Domain(1), 'test': Domain(2)}
    arguments = {'seed': 5, 'gap_off_nadir_deg': {'source': 40}} | changes
    return write_scenes(grid_city(), domains, 1.0, 64, folder, like=like, **arguments)


def test_splits_that_come_out_the_same_are_rendered_once(tmp_path, rendered):
    at_angle(20, tmp_path / 'main')
    alone = at_angle(40, tmp_path / 'alone')
    rendered.clear()
    report = at_angle(40, tmp_path / 'copied', tmp_path / 'main')
    assert rendered == ['source_00000', 'source_00001']
    assert str(report) == str(alone)
    files = sorted(path.relative_to(tmp_path / 'alone') for path in (tmp_path / 'alone').rglob('*.*'))
    assert files == sorted(path.relative_to(tmp_path / 'copied') for path in (tmp_path / 'copied').rglob('*.*'))
    for file in files:
        assert (tmp_path / 'copied' / file).read_bytes() == (tmp_path / 'alone' / file).read_bytes(), file


def test_a_set_that_comes_out_the_same_as_another_is_copied_whole(tmp_path, rendered):
    at_angle(20, tmp_path / 'main')
    rendered.clear()
    assert at_angle(20, tmp_path / 'copied', tmp_path / 'main').written
    assert not rendered


@pytest.mark.parametrize('changes', [{'seed': 6}, {'min_area_px': 17}])
def test_splits_that_come_out_differently_are_rendered_anew(tmp_path, rendered, changes):
    at_angle(20, tmp_path / 'main')
    rendered.clear()
    at_angle(40, tmp_path / 'other', tmp_path / 'main', **changes)
    assert len(rendered) == 5


def test_splits_of_another_city_are_rendered_anew(tmp_path, rendered):
    write_scenes(grid_city(), {'test': Domain(1)}, 1.0, 64, tmp_path / 'main')
    city = grid_city()
    city.buildings.heights_m[0] += 0.1
    write_scenes(city, {'test': Domain(1)}, 1.0, 64, tmp_path / 'other', like=tmp_path / 'main')
    assert rendered == ['test_00000'] * 2


def test_the_set_to_copy_from_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent'):
        at_angle(20, tmp_path / 'set', tmp_path / 'absent')
    assert not (tmp_path / 'set').exists()


def test_ground_shares_name_every_split(tmp_path):
    with pytest.raises(ValueError, match='source, test'):
        write_scenes(grid_city(), DOMAINS, 1.0, 96, tmp_path / 'set', ground_shares={'source': 1})


def labeled(domain, displacement_m=(0.0, 0.0), off_nadir_deg=10.0, where=(100.0, 200.0)):
    flight = Flight(View(0.5, off_nadir_deg, 90.0), Sun(45, 30), displacement_m)
    return label_tile(grid_city(), domain, flight, where, 200, 16, seed=1)


@pytest.mark.parametrize('label', ['footprint', 'roof', 'visible'])
def test_the_label_moves_by_the_registration_error_and_the_image_stays(label):
    still, moved = labeled(Domain(1, label=label)), labeled(Domain(1, label=label), (4.0, -6.0))
    assert (still.image == moved.image).all()
    assert ((still.instances > 0)[:-12, :-8] == (moved.instances > 0)[12:, 8:]).all()
    assert np.array_equal(still.heights_m[:-12, :-8], moved.heights_m[12:, 8:], equal_nan=True) or label != 'roof'
    assert (moved.instances[:, :8] > 0).any()


def test_footprints_stay_whatever_the_angle_and_roofs_move_by_their_offset():
    footprint = labeled(Domain(1, label='footprint'))
    assert np.array_equal(footprint.instances > 0, labeled(Domain(1, label='footprint'), off_nadir_deg=0).instances > 0)
    roof = labeled(Domain(1, label='roof'))
    record = next(r for r in roof.records if r.height_m == 6 and r.visible_share > 0.95)
    columns = np.nonzero(roof.roof_ids == record.instance)[1]
    west = grid_city().bounds_m[record.structure, 0]
    assert columns.min() == pytest.approx((west + 6 * np.tan(np.radians(10)) - 100) / 0.5, abs=1)


def test_the_visible_building_is_more_than_its_roof():
    roof, visible = labeled(Domain(1, label='roof')), labeled(Domain(1, label='visible'))
    assert ((visible.instances > 0) >= (roof.instances > 0)).all()
    assert (visible.instances > 0).sum() > 1.2 * (roof.instances > 0).sum()


def test_surfaces_are_those_of_the_image_whatever_the_label():
    flight = Flight(View(0.5, 30, 45), Sun(50, 0), (4.0, -3.0))
    city = procedural_city(300, 0)
    arguments = ((60.0, 240.0), 128, 1, 0)
    tiles = [label_tile(city, Domain(1, (30, 30), label=label), flight, *arguments) for label in ('roof', 'footprint')]
    rendered = render_tile(city, (60.0, 240.0), (128, 128), flight.view, flight.sun, 0)
    for tile in tiles:
        assert np.array_equal((tile.surfaces & 1) > 0, rendered.roof_ids > 0)
        assert np.array_equal((tile.surfaces & 2) > 0, rendered.facade_ids > 0)
        assert np.array_equal((tile.surfaces & 4) > 0, rendered.footprint_ids > 0)
        assert not ((tile.surfaces & 3) == 3).any()


def test_slivers_are_left_out_of_everything():
    flight = Flight(View(0.5), Sun(), (0.0, 0.0))
    domain = Domain(1)
    tile = label_tile(grid_city(), domain, flight, (29.0, 200.0), 60, 1, seed=1)
    strict = label_tile(grid_city(), domain, flight, (29.0, 200.0), 60, 100, seed=1)
    assert len(strict.records) < len(tile.records)
    counts = np.bincount(strict.instances.ravel())[1:]
    assert (counts >= 100).all()
    assert [record.instance for record in strict.records] == list(range(1, len(counts) + 1))
    assert (strict.heights_m[strict.instances == 0] == 0).all()


def test_images_of_a_real_place_are_georeferenced(tmp_path):
    rasterio = pytest.importorskip('rasterio', reason="needs the extra 'geo'")
    city = grid_city('EPSG:28355', 320000.0, 5812000.0)
    write_scenes(city, {'test': Domain(2)}, 1.0, 96, tmp_path / 'set', num_processes=1)
    image = json.loads((tmp_path / 'set/test/instances.json').read_text())['images'][0]
    path = tmp_path / 'set/test/images' / image['file_name']
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 28355
        assert (raster.bounds.left, raster.bounds.top) == pytest.approx(image['west_north_m'])
        assert raster.res == (1, 1)
        assert (raster.read().transpose(1, 2, 0) == read(path)).all()


def test_parameters_say_what_the_set_was_made_with(scenes):
    held = json.loads((scenes[0] / 'parameters.json').read_text())
    plain = asdict(DOMAINS['source'])
    assert plain.pop('style') == 'plain', 'which earlier sets do not name'
    assert held['domains']['source'] == json.loads(json.dumps(plain))
    assert (held['gsd_m'], held['tile_px'], held['seed']) == (1, 96, 5)


def test_sets_that_differ_in_the_angle_of_a_split_can_have_the_same_ground(tmp_path):
    city = procedural_city(900, 0)
    for angle_deg in (0, 30):
        domains = {'source': Domain(3, (angle_deg, angle_deg)), 'test': Domain(2, (0, 5))}
        write_scenes(city, domains, 1.0, 64, tmp_path / str(angle_deg), 0, 1, gap_off_nadir_deg={'source': 30})
    first, second = (sorted((tmp_path / name / 'test').rglob('*.*')) for name in ('0', '30'))
    files = [path.relative_to(tmp_path / '0') for path in first if path.name != 'instances.json']
    assert len(files) == len(first) - 1 == len(second) - 1
    for file in files:
        assert (tmp_path / '0' / file).read_bytes() == (tmp_path / '30' / file).read_bytes()
    places = [json.loads((tmp_path / name / 'source' / 'instances.json').read_text())['images'] for name in ('0', '30')]
    assert [image['file_name'] for image in places[0]] == [image['file_name'] for image in places[1]]


def test_gaps_for_an_unknown_split_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"names \['train'\], which are none of source"):
        write_scenes(
            procedural_city(300, 0), {'source': Domain(1)}, 1.0, 64, tmp_path / 'a', gap_off_nadir_deg={'train': 3}
        )
