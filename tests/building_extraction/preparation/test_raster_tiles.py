import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pycocotools.coco import COCO
from rasterio import Affine

from projects.building_extraction.preparation import raster_tiles
from projects.building_extraction.preparation.label_displacement import Displacement
from projects.building_extraction.preparation.raster_blocks import BlockSettings
from projects.building_extraction.preparation.raster_tile_labels import LabelIndex
from projects.building_extraction.preparation.raster_tiles import RasterTilesSettings, convert_raster
from projects.geodata.vector_files import geopandas, read_buildings, write_polygons

UTM = 'EPSG:32633'
TILE = 32
COLUMNS, ROWS = 12, 8
PARTS = ('train', 'val', 'test')


def house(column, row, side=10):
    """In pixels of the image, whose pixels are one metre: (4, 6) to (14, 16) of a tile."""
    x, y = column * TILE + 4, row * TILE + 6
    return shapely.box(500000 + x, 5_000_000 - y - side, 500000 + x + side, 5_000_000 - y)


def write_image(path, empty=(), **profile):
    pixels = np.random.default_rng(0).integers(1, 255, (3, ROWS * TILE, COLUMNS * TILE - 7), dtype=np.uint8)
    for column, row in empty:
        pixels[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = 0
    profile = {'crs': UTM, 'transform': Affine(1, 0, 500000, 0, -1, 5_000_000), 'nodata': 0} | profile
    _, height, width = pixels.shape
    with rasterio.open(path, 'w', driver='GTiff', count=3, height=height, width=width, dtype='uint8', **profile) as out:
        out.write(pixels)
    return pixels


@pytest.fixture(autouse=True)
def no_contact_sheet(monkeypatch):
    """Drawing takes longer than all else; the test of the tool has it drawn."""
    monkeypatch.setattr(raster_tiles, 'write_contact_sheet', lambda folder, *_: (folder / 'overview.png').touch())


@pytest.fixture
def area(tmp_path):
    """One house in each tile, of 5 or 50 m or unknown height; the tiles of the first column hold no data."""
    write_image(tmp_path / 'city.tif', empty=[(0, row) for row in range(ROWS)])
    cells = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
    heights_m = [(5.0, 50.0, np.nan)[i % 3] for i in range(len(cells))]
    frame = geopandas.GeoDataFrame({'top': heights_m}, geometry=[house(*cell) for cell in cells], crs=UTM)
    write_polygons(frame, tmp_path / 'labels.gpkg')
    return tmp_path


def convert(folder, out='set', overwrite=False, labels='labels.gpkg', track=iter, **settings):
    settings = {'tile_px': TILE, 'height_column': 'top'} | settings
    return convert_raster(
        folder / 'city.tif',
        folder / labels,
        folder / out,
        RasterTilesSettings(**settings),
        overwrite=overwrite,
        track=track,
    )


def test_what_is_stated_of_licences_decides_nothing_about_the_tiles(area):
    def breaking(cells):
        yield from cells[:20]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(area, track=breaking)
    paths = area / 'city.tif', area / 'labels.gpkg', area / 'set'
    settings = RasterTilesSettings(tile_px=TILE, height_column='top')
    convert_raster(*paths, settings, image_license='CC0')
    assert (area / 'set/LICENSE.md').read_text().splitlines()[2:] == [
        f'- **image**: {area / "city.tif"}. Licence: CC0',
        f'- **labels**: {area / "labels.gpkg"}. Licence: not stated; ask the owner of {area / "labels.gpkg"}',
    ]


def tiles(out):
    return {path.stem: path.parents[1] for part in PARTS for path in sorted((out / part / 'images').glob('*.png'))}


def layer(out, name, kind):
    suffix = '.tif' if kind == 'heights' else '.png'
    return np.asarray(Image.open(tiles(out)[name] / kind / f'{name}{suffix}'))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_tiles_show_the_image_and_its_labels_pixel_by_pixel(area):
    convert(area)
    with rasterio.open(area / 'city.tif') as source:
        pixels = source.read().transpose(1, 2, 0)
    names = tiles(area / 'set')
    assert names
    for name in names:
        row, column = (int(number) for number in name.split('_')[1:])
        image = layer(area / 'set', name, 'images')
        expected = pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        np.testing.assert_array_equal(image[:, : expected.shape[1]], expected)
        inside = np.zeros((TILE, TILE), dtype=bool)
        inside[6:16, 4:14] = True
        instances, mask = layer(area / 'set', name, 'instances'), layer(area / 'set', name, 'masks')
        assert instances.dtype == np.uint16
        np.testing.assert_array_equal(instances, inside)
        no_data = np.zeros_like(inside)
        no_data[:, expected.shape[1] :] = True
        np.testing.assert_array_equal(mask, np.where(inside, 255, np.where(no_data, 127, 0)))
        height_m = (5.0, 50.0, np.nan)[(row * COLUMNS + column) % 3]
        np.testing.assert_array_equal(layer(area / 'set', name, 'heights'), np.where(inside, np.float32(height_m), 0))
        [building] = json.loads((names[name] / 'buildings' / f'{name}.json').read_text())
        assert building['height_m'] == (None if np.isnan(height_m) else height_m)
        assert (building['instance'], building['area_px'], building['cut']) == (1, 100, False)


def test_instances_are_coco_files_that_agree_with_the_maps(area):
    report = convert(area)
    for part in PARTS:
        coco = COCO(area / 'set' / part / 'instances.json')
        assert coco.loadCats(1)[0]['name'] == 'building'
        assert len(coco.imgs) == report.parts[part]['tiles'] == len(list((area / 'set' / part / 'masks').iterdir()))
        for annotation in coco.anns.values():
            name = Path(coco.imgs[annotation['image_id']]['file_name']).stem
            instances = layer(area / 'set', name, 'instances')
            np.testing.assert_array_equal(coco.annToMask(annotation), instances == annotation['instance'])
            assert annotation['bbox'] == [4, 6, 10, 10]
            assert annotation['building_height'] in (5, 50, None)


def test_the_split_keeps_its_distance_and_leaves_out_tiles_without_data(area):
    report = convert(area, blocks=BlockSettings(margin_m=40))
    assert report.empty == ROWS
    cells = {
        part: np.array(
            [image['cell'] for image in json.loads((area / f'set/{part}/instances.json').read_text())['images']]
        )
        for part in PARTS
    }
    assert all(cells[part][:, 0].min() > 0 for part in PARTS)
    for one, other in (('train', 'val'), ('train', 'test'), ('val', 'test')):
        distance = np.abs(cells[one][:, None] - cells[other][None]).max(axis=2)
        assert (distance.min() - 1) * TILE >= 40


def test_without_a_margin_no_tile_is_left_out_and_what_crosses_the_border_belongs_to_one_part(area):
    """Beside its own house each tile sees a strip that crosses into the next one, 12 px here and 4 px there."""
    cells = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
    strips = [shapely.affinity.translate(house(*cell, side=16), 16, -14) for cell in cells]
    frame = geopandas.GeoDataFrame(
        {'top': [5.0] * len(cells) + [9.0] * len(cells)}, geometry=[*(house(*cell) for cell in cells), *strips], crs=UTM
    )
    write_polygons(frame, area / 'labels.gpkg')
    report = convert(area)
    assert report.parts['dropped']['tiles'] == 0
    assert sum(report.parts[part]['tiles'] for part in PARTS) == (COLUMNS - 1) * ROWS
    assert sum(report.parts[part]['ignored'] for part in PARTS) > 5
    assert 'of which another part sees more' in str(report)
    owned, names = {}, tiles(area / 'set')
    for part in PARTS:
        coco = COCO(area / 'set' / part / 'instances.json')
        owned[part] = {a['building'] for a in coco.anns.values() if not a['iscrowd']}
        for annotation in coco.anns.values():
            name = Path(coco.imgs[annotation['image_id']]['file_name']).stem
            pixels = coco.annToMask(annotation) > 0
            ignored = annotation['iscrowd'] and annotation['area'] >= 16
            assert set(layer(area / 'set', name, 'masks')[pixels]) == {127 if ignored else 255}
            assert set(layer(area / 'set', name, 'instances')[pixels]) == {0 if ignored else annotation['instance']}
            assert (
                layer(area / 'set', name, 'heights')[pixels] == (0 if ignored else annotation['building_height'])
            ).all()
            table = json.loads((names[name] / 'buildings' / f'{name}.json').read_text())
            assert (annotation['instance'] in {row['instance'] for row in table}) == (not ignored)
    for one, other in (('train', 'val'), ('train', 'test'), ('val', 'test')):
        assert not owned[one] & owned[other]


def test_tiles_of_an_interrupted_run_can_be_split_anew_with_another_border(area, monkeypatch):
    cells = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
    frame = geopandas.GeoDataFrame(
        {'top': [5.0] * len(cells)}, geometry=[house(*cell, side=30) for cell in cells], crs=UTM
    )
    write_polygons(frame, area / 'labels.gpkg')
    convert(area, 'whole', blocks=BlockSettings(0.4, 0.1))
    monkeypatch.setattr(raster_tiles, 'write_contact_sheet', lambda *_: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError, match='full'):
        convert(area)
    monkeypatch.setattr(raster_tiles, 'write_contact_sheet', lambda folder, *_: (folder / 'overview.png').touch())
    convert(area, blocks=BlockSettings(0.4, 0.1))
    whole, again = contents(area / 'whole'), contents(area / 'set')
    assert whole.keys() == again.keys()
    assert all(again[path] == content for path, content in whole.items() if path.suffix in ('.png', '.tif'))


def test_a_part_holds_its_own_tiles_alone_after_an_interruption_with_other_shares_and_margins(area, monkeypatch):
    monkeypatch.setattr(raster_tiles, 'write_contact_sheet', lambda *_: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError, match='full'):
        convert(area)
    monkeypatch.setattr(raster_tiles, 'write_contact_sheet', lambda folder, *_: (folder / 'overview.png').touch())
    report = convert(area, blocks=BlockSettings(0.3, 0, margin_m=40))
    assert report.parts['dropped']['tiles'] > 0
    assert not (area / 'set/test').exists()
    for part in ('train', 'val'):
        listed = json.loads((area / f'set/{part}/instances.json').read_text())['images']
        for kind in ('images', 'masks', 'instances', 'heights', 'buildings'):
            held = {path.stem for path in (area / 'set' / part / kind).iterdir()}
            assert held == {Path(image['file_name']).stem for image in listed}


def test_displaced_labels_are_drawn_displaced_and_both_are_kept(area):
    convert(area, displacement=Displacement((2, 0), off_nadir_deg=np.degrees(np.arctan(0.1)), azimuth_deg=180))
    for name in tiles(area / 'set'):
        row, column = (int(number) for number in name.split('_')[1:])
        down = (0, 5, 0)[(row * COLUMNS + column) % 3]  # 0.5, 5 and 0 m for 5 m, 50 m and unknown height
        rows, columns = np.nonzero(layer(area / 'set', name, 'instances'))
        assert columns.min() == 6
        assert abs(rows.min() - 6 - down) <= 1
    clean = read_buildings(area / 'set/labels/clean.gpkg', 'height_m')
    displaced = read_buildings(area / 'set/labels/displaced.gpkg', 'height_m')
    moved = shapely.get_coordinates(displaced.centroid) - shapely.get_coordinates(clean.centroid)
    known = np.nan_to_num(clean['height_m'])
    np.testing.assert_allclose(moved, np.stack([np.full(len(clean), 2), -0.1 * known], axis=1), atol=0.01)
    stated = json.loads((area / 'set/parameters.json').read_text())['settings']['displacement']
    assert stated == {'shift_m': [2, 0], 'off_nadir_deg': pytest.approx(5.7106, abs=1e-4), 'azimuth_deg': 180}


def test_labels_in_another_system_are_reprojected_and_elsewhere_refused(area):
    convert(area)
    degrees = read_buildings(area / 'labels.gpkg', 'top').to_crs(4326).rename(columns={'height_m': 'top'})
    write_polygons(degrees, area / 'degrees.geojson')
    convert(area, 'again', labels='degrees.geojson')
    for name in tiles(area / 'set'):
        np.testing.assert_array_equal(layer(area / 'set', name, 'masks'), layer(area / 'again', name, 'masks'))
    write_polygons(degrees.assign(geometry=degrees.translate(1)), area / 'far.gpkg')
    with pytest.raises(ValueError, match=r'no building of .*far.gpkg lies in the area .*they lie at longitude 16'):
        convert(area, 'far', labels='far.gpkg')


def test_broken_windows_are_listed_and_do_not_end_the_run(area):
    write_image(area / 'city.tif', tiled=True, blockxsize=32, blockysize=32)
    data = (area / 'city.tif').read_bytes()
    (area / 'city.tif').write_bytes(data[: int(len(data) * 0.9)])
    report = convert(area)
    assert 0 < len(report.bad) < 0.2 * COLUMNS * ROWS
    assert len(report.bad) + sum(counts['tiles'] for counts in report.parts.values()) == COLUMNS * ROWS
    assert 'unreadable city_' in str(report)
    assert json.loads((area / 'set/parameters.json').read_text())['result']['bad'] == report.bad


def test_an_interrupted_run_goes_on_and_ends_with_the_same_set(area):
    convert(area, 'whole')

    def interrupted(cells):
        for count, cell in enumerate(cells):
            if count == 40:
                raise KeyboardInterrupt
            yield cell

    with pytest.raises(KeyboardInterrupt):
        convert(area, track=interrupted)
    assert not (area / 'set').exists()
    written = {path: path.stat().st_mtime_ns for path in (area / '.set.partial/masks').iterdir()}
    assert len(written) > 20
    with pytest.raises(FileExistsError, match='interrupted run with other settings'):
        convert(area, tile_px=64)

    def check(cells):
        yield from cells
        assert all(path.stat().st_mtime_ns == written[path] for path in written)

    convert(area, track=check)
    resumed, whole = contents(area / 'set'), contents(area / 'whole')
    assert resumed.keys() == whole.keys()
    assert {path for path in whole if path.suffix != '.gpkg' and resumed[path] != whole[path]} == set()
    assert not list(area.glob('.*'))


def test_a_set_is_replaced_only_when_asked(area):
    convert(area)
    with pytest.raises(FileExistsError, match='--overwrite'):
        convert(area)
    convert(area, overwrite=True, blocks=BlockSettings(0.3, 0))
    assert not (area / 'set/test').exists()
    (area / 'other').mkdir()
    (area / 'other/thesis.txt').touch()
    with pytest.raises(FileExistsError, match='holds other files'):
        convert(area, 'other', overwrite=True)
    with pytest.raises(ValueError, match='must lie apart'):
        convert(area, '.', overwrite=True)


def test_the_highest_polygon_is_on_top_and_parts_of_a_structure_are_one_instance():
    boxes = [shapely.box(0, 0, 8, 8), shapely.box(2, 2, 6, 6), shapely.box(6, 0, 10, 4), shapely.box(0, 6, 3, 8)]
    columns = {'height_m': [10.0, 40.0, 20.0, np.nan], 'structure': [0, 0, 1, 2]}
    index = LabelIndex(geopandas.GeoDataFrame(columns, geometry=boxes, crs=UTM))
    valid = np.ones((10, 10), dtype=bool)
    valid[:, 9] = False
    labels, annotations = index.label_tile(Affine(1, 0, 0, 0, -1, 10), valid)
    assert labels.heights_m[5].tolist() == [10, 10, 40, 40, 40, 40, 10, 10, 0, 0]
    assert labels.instances[7].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 0]
    assert labels.mask[0].tolist() == [0] * 9 + [127]
    assert [(entry['building'], entry['height_m'], entry['area_px']) for entry in labels.buildings] == [
        (0, 40.0, 56),
        (1, 20.0, 12),
    ]
    assert [entry['iscrowd'] for entry in annotations] == [0, 1]


def test_a_mosaic_of_places_far_apart_is_refused_before_it_fills_the_memory(area):
    with rasterio.open(area / 'far.tif', 'w', driver='GTiff', width=1, height=1, count=1, dtype='uint8') as out:
        out.write(np.ones((1, 1, 1), np.uint8))
    source = '<SimpleSource><SourceFilename relativeToVRT="1">far.tif</SourceFilename></SimpleSource>'
    (area / 'city.tif').write_text(
        '<VRTDataset rasterXSize="2000000" rasterYSize="2000000"><SRS>EPSG:32633</SRS>'
        '<GeoTransform>500000,1,0,5000000,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(ValueError, match=r'city has 2000000 x 2000000 pixels .* 3906250000 tiles, more than 1000000'):
        convert(area)
