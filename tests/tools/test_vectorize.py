import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.city_scenes.view import View
from projects.geodata.polygons.files import vectorize_raster
from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize
from projects.geodata.raster_files import write_geotiff
from projects.geodata.vector_files import read_buildings
from tests.processes import run_tool

TOOL = Path(__file__).parents[2] / 'tools/vectorize.py'
UTM, PLACE = 'EPSG:32633', (0.5, 0, 500_000, 0, -0.5, 5_000_000)


def run(folder, *arguments):
    return run_tool('vectorize.py', *arguments, cwd=folder)


def two_buildings():
    probabilities = np.zeros((60, 80), np.float32)
    probabilities[10:30, 10:40] = 0.75
    probabilities[40:50, 50:70] = 1.0
    return probabilities


@pytest.fixture
def folder(tmp_path):
    write_geotiff(tmp_path / 'probability.tif', two_buildings(), PLACE, UTM)
    write_geotiff(tmp_path / 'image.tif', np.full((60, 80, 3), 90, np.uint8), PLACE, UTM)
    heights_m = np.full((60, 80), np.nan, np.float32)
    heights_m[12:28, 12:38] = 20
    write_geotiff(tmp_path / 'heights.tif', heights_m, PLACE, UTM)
    return tmp_path


def test_a_probability_map_becomes_polygons_and_a_picture(folder):
    done = run(folder, 'probability.tif', 'out.gpkg', '--image', 'image.tif', '--picture', 'overlay.png')
    assert done.returncode == 0, done.stderr
    assert 'wrote out.gpkg: 2 buildings of 200 m² together' in done.stdout
    found = read_buildings(folder / 'out.gpkg', height_column='score')
    assert sorted(zip(found.area, found['height_m'], strict=True)) == [(50, 1.0), (150, 0.75)]
    picture = np.asarray(Image.open(folder / 'overlay.png').convert('RGB')).astype(int)
    assert picture.shape == (60, 80, 3)
    drawn = np.abs(picture - 90).sum(axis=-1) > 60
    assert drawn[9:11, 10:40].any(axis=0).all()
    assert not drawn[15:25, 15:35].any()
    assert sorted(path.name for path in folder.iterdir()) == [
        'heights.tif',
        'image.tif',
        'out.gpkg',
        'out.qml',
        'overlay.png',
        'probability.tif',
    ]


def test_roofs_move_back_where_their_height_is_known(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    options = ('--heights', 'heights.tif', '--off-nadir-deg', '30', '--azimuth-deg', '90')
    load_tool().main(['probability.tif', 'out.gpkg', *options])
    assert '1 of known height' in capsys.readouterr().out
    found = read_buildings(folder / 'out.gpkg', height_column='height_m').sort_values('height_m')
    np.testing.assert_array_equal(found['height_m'], [20, np.nan])
    offset_m, _ = View(1, 30, 90).offset_m(20)
    np.testing.assert_allclose(found.bounds['minx'], [500_005 - offset_m * 0.9996, 500_025], atol=0.001)


def load_tool():
    spec = importlib.util.spec_from_file_location('vectorize_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_errors_are_one_line_that_says_what_to_do(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    tool = load_tool()
    write_geotiff(folder / 'nowhere.tif', two_buildings())
    write_geotiff(folder / 'numbers.tif', np.full((4, 4), 700, np.uint16), PLACE, UTM)
    write_geotiff(folder / 'logits.tif', two_buildings() * 4, PLACE, UTM)
    write_geotiff(folder / 'nothing.tif', np.full((4, 4), np.nan, np.float32), PLACE, UTM)
    view = ('--off-nadir-deg', '20', '--azimuth-deg', '0')
    for arguments, message in (
        (('missing.tif', 'out.gpkg'), 'missing.tif does not exist'),
        (('probability.tif', 'missing/out.gpkg'), 'missing does not exist'),
        (('nowhere.tif', 'out.gpkg'), 'has no coordinate system'),
        (('numbers.tif', 'out.gpkg'), '--instances'),
        (('logits.tif', 'out.gpkg'), 'sigmoid'),
        (('nothing.tif', 'out.gpkg'), 'none of the 16 pixels'),
        (('probability.tif', 'out.gpkg', '--heights', 'numbers.tif', *view), 'another grid'),
    ):
        with pytest.raises(SystemExit, match=message) as error:
            tool.main(list(arguments))
        assert str(error.value).startswith('vectorize: ')
        assert '\n' not in str(error.value)
    for arguments, message in (
        (view, 'needs --heights'),
        (('--threshold', '2'), 'at most 1'),
        (('--min-area-m2', '-5'), 'at least 0'),
        (('--simplify-m', 'nan'), 'expected a number'),
    ):
        with pytest.raises(SystemExit) as stop:
            tool.main(['probability.tif', 'out.gpkg', *arguments])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
    for arguments, message in (
        (['out.shp'], 'cannot write out.shp: expected a name that ends in .gpkg, .geojson, .fgb, .parquet or .pmtiles'),
        (
            ['out.gpkg', '--picture', 'p.bmp'],
            'cannot write p.bmp: expected a name that ends in .png or .jpg',
        ),
    ):
        with pytest.raises(SystemExit) as stop:
            tool.main(['probability.tif', *arguments])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
    assert not list(folder.glob('*out.*'))


def test_pixels_without_data_are_background(tmp_path):
    pixels = two_buildings()
    pixels[10:20] = -9999
    write_geotiff(tmp_path / 'a.tif', pixels, PLACE, UTM, nodata=-9999)
    assert sorted(vectorize_raster(tmp_path / 'a.tif', VectorizationSettings()).area) == [50, 75]


def test_small_windows_give_the_same_map(tmp_path):
    noise = np.random.default_rng(0).random((50, 70)).astype(np.float32)
    write_geotiff(tmp_path / 'noise.tif', noise, PLACE, UTM)
    exact = VectorizationSettings(simplify_m=0)
    frame = vectorize_raster(tmp_path / 'noise.tif', exact, window_px=16)
    whole = vectorize(noise, PLACE, UTM, exact)
    assert sorted(frame.normalize().to_wkb()) == sorted(whole.normalize().to_wkb())


def test_an_image_in_degrees_stays_in_degrees(tmp_path):
    write_geotiff(tmp_path / 'degrees.tif', two_buildings(), (1e-5, 0, 15, 0, -1e-5, 48), 'EPSG:4326')
    frame = vectorize_raster(tmp_path / 'degrees.tif', VectorizationSettings())
    assert frame.crs == 'EPSG:4326'
    np.testing.assert_allclose(frame.total_bounds, (15.0001, 47.9995, 15.0007, 47.9999), rtol=0, atol=1e-9)


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
def test_instance_maps_keep_their_numbers(tmp_path, dtype):
    write_geotiff(tmp_path / 'ids.tif', np.array([[0, 700, 700], [0, 0, 9]], dtype), PLACE, UTM)
    frame = vectorize_raster(tmp_path / 'ids.tif', VectorizationSettings(), is_instance_map=True)
    assert sorted(zip(frame['instance'], frame.area, strict=True)) == [(9, 0.25), (700, 0.5)]


def test_several_rasters_of_one_name_get_files_of_their_own_and_a_bad_one_ends_none(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for place, size in (('north', 20), ('south', 30)):
        (folder / place).mkdir()
        mask = np.zeros((60, 60), np.uint8)
        mask[:size, :size] = 1
        write_geotiff(folder / place / 'a.tif', mask, PLACE, UTM)
    write_geotiff(folder / 'north/b.tif', np.full((4, 4), 90, np.uint8), PLACE, UTM)
    (folder / 'north/c.tif').write_text('no image')
    tool = load_tool()
    with pytest.raises(SystemExit) as error:
        tool.main(['north/c.tif', 'north/b.tif', 'gone.tif', 'north/a.tif', 'south/a.tif', 'out'])
    head, *failed = str(error.value).splitlines()
    assert head == 'vectorize: 3 of 5 rasters gave no polygons:'
    assert all(name in line for name, line in zip(('north/c.tif', 'north/b.tif', 'gone.tif'), failed, strict=True))
    assert sorted(str(path.relative_to('out')) for path in Path('out').rglob('*.gpkg')) == [
        'north/a.gpkg',
        'south/a.gpkg',
    ]
    assert [read_buildings(f'out/{place}/a.gpkg').area.sum() for place in ('north', 'south')] == [100, 225]
    assert capsys.readouterr().out.count('wrote') == 2
    for arguments in (
        ('north/a.tif', 'south/a.tif', 'out.gpkg'),
        ('north/a.tif', 'south/a.tif', 'out', '--picture', 'p.png'),
    ):
        with pytest.raises(SystemExit) as error:
            tool.main(list(arguments))
        assert error.value.code == 2
