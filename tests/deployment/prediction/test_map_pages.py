"""Pages that `tools/predict.py --html` writes, of every kind of model and input."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.prediction import map_pages
from projects.deployment.prediction.rasters import map_views
from projects.deployment.predictor import Predictor
from tests.browser import MISSING, Browser, find_browser

ROOT = Path(__file__).resolve().parents[3]
STEPS = ((0.0,) * 3, (1.0,) * 3)
BUILDINGS = ModelInfo(SEGMENTATION, ('background', 'building'), ((0, 0, 0), (250, 80, 40)), *STEPS, threshold=0.5)
ROOFS = ModelInfo(INSTANCES, ('building',), ((250, 80, 40),), *STEPS)
LAND = ModelInfo(
    SEGMENTATION, tuple(f'class {i}' for i in range(150)), tuple((i, 255 - i, 90) for i in range(150)), *STEPS
)
PLACE = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450_000, 0, -0.5, 40_000)}

spec = importlib.util.spec_from_file_location('predict', ROOT / 'tools' / 'predict.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def write_city(path, **place):
    """Two bright buildings on dark ground; the last columns have no data."""
    bands = np.full((3, 300, 400), 60, np.uint8)
    bands[:, 20:60, 30:70] = 220
    bands[:, 100:160, 200:300] = 220
    bands[:, :, 380:] = 0
    with rasterio.open(
        path, 'w', driver='GTiff', width=400, height=300, count=3, dtype='uint8', nodata=0, **place
    ) as out:
        out.write(bands)


def bright(images):
    return {'probabilities': np.where(images.mean(axis=3) > 150, 0.9, 0.1)[:, None].astype(np.float32)}


def many_classes(images):
    labels = images.mean(axis=3).astype(int) // 2 % 150
    return {'probabilities': (labels[:, None] == np.arange(150)[:, None, None]).astype(np.float32)}


def leaning(images):
    """One building of 12 m that leans by 8 pixels, in each window whose middle is bright."""
    boxes = np.array([[10, 10, 50, 40]] * len(images), np.float32)
    count = len(images)
    return {
        'boxes': boxes,
        'labels': np.zeros(count, np.int64),
        'scores': np.linspace(0.9, 0.6, count).astype(np.float32),
        'image_indices': np.arange(count),
        'masks': np.ones((count, 28, 28), np.float32),
        'offsets': np.array([[8.0, -4.0]] * count, np.float32),
        'heights': np.array([12.0] * count, np.float32),
    }


@pytest.fixture
def use(monkeypatch):
    """Predict with a function in place of a model; the message of the tool, None if all went well."""

    def run(session, info, *arguments, html=True):
        monkeypatch.setattr(
            'projects.deployment.prediction.command.open_predictor', lambda *_, **__: Predictor(session, info)
        )
        try:
            tool.main(['model.onnx', *map(str, arguments), *['--html'] * html])
        except SystemExit as stop:
            return stop.code
        return None

    return run


def view_in(path):
    found = re.search(r'<script type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    (view,) = json.loads(found[1])
    return view


def corners(rings, unit):
    """Least and greatest column and row of an outline."""
    places = np.concatenate([np.reshape(ring, (-1, 2)) for ring in rings]) * unit
    return [*places.min(axis=0), *places.max(axis=0)]


def test_buildings_of_a_placed_raster(use, tmp_path, capsys):
    write_city(tmp_path / 'city.tif', **PLACE)
    assert use(bright, BUILDINGS, tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 128) is None
    page = tmp_path / 'out' / 'maps' / 'city.html'
    assert f'wrote {page}' in capsys.readouterr().out
    assert not (tmp_path / 'out' / 'maps.html').exists()
    view = view_in(page)
    assert view['size'] == [400, 300]
    assert [picture['name'] for picture in view['pictures']] == ['image', 'probability']
    (buildings,) = view['shapes']
    found = sorted(corners(rings, buildings['unit']) for rings in buildings['outlines'])
    assert np.abs(np.subtract(found, [[30, 20, 70, 60], [200, 100, 300, 160]])).max() <= 1
    assert buildings['columns'] == ['score', 'area_m2']
    assert buildings['colorings'][0]['keys'] == [{'label': '0.9 and above', 'color': '#0072B2', 'count': '2'}] or [
        key['label'] for key in buildings['colorings'][0]['keys']
    ] == ['0.7 to 0.9']  # 0.9 as 230 of 255
    assert view['place']['crs'] == 'EPSG:32736'
    text = page.read_text()
    assert f'predict.py model.onnx {tmp_path / "city.tif"} --out' in text
    assert re.search(r'<td>20\d\d-\d\d-\d\d \d\d:\d\d', text)
    assert '<td>model.onnx</td>' in text


def test_a_detector_that_finds_offsets_has_roofs_and_footprints_by_height_class(use, tmp_path):
    write_city(tmp_path / 'city.tif', **PLACE)
    arguments = (tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 512, '--polygons', 'geojson')
    assert use(leaning, ROOFS, *arguments) is None
    view = view_in(tmp_path / 'out' / 'maps' / 'city.html')
    footprints, roofs = view['shapes']
    assert (roofs['name'], footprints['name']) == ('roofs', 'footprints')
    assert [coloring['name'] for coloring in roofs['colorings']] == ['height class', 'score']
    assert [key['label'] for key in roofs['colorings'][0]['keys']] == ['mid-rise']
    assert corners(roofs['outlines'][0], roofs['unit']) == pytest.approx([10, 10, 50, 40], abs=0.2)
    assert corners(footprints['outlines'][0], roofs['unit']) == pytest.approx([2, 14, 42, 44], abs=0.2)
    row = dict(zip(roofs['columns'], roofs['rows'][0], strict=True))
    assert (row['class'], row['score'], row['height_m']) == ('building', 0.9, 12)


@pytest.mark.parametrize('kind', ['image', 'raster'])
def test_without_a_place_objects_lie_in_pixels(use, tmp_path, monkeypatch, kind):
    if kind == 'raster':
        monkeypatch.setattr('projects.deployment.prediction.image_files.MAX_IMAGE_PIXELS', 1000)
    write_city(tmp_path / 'city.tif')
    assert use(leaning, ROOFS, tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 512) is None
    page = tmp_path / 'out' / 'maps' / 'city.html'
    view = view_in(page)
    assert view['place'] is None
    assert 'not known: places are in pixels' in page.read_text()
    footprints, roofs = view['shapes']
    assert corners(roofs['outlines'][0], roofs['unit']) == pytest.approx([10, 10, 50, 40], abs=1)
    assert corners(footprints['outlines'][0], roofs['unit']) == pytest.approx([2, 14, 42, 44], abs=1)


def test_a_large_image_without_a_place_has_probabilities_and_buildings_in_pixels(use, tmp_path, monkeypatch):
    monkeypatch.setattr('projects.deployment.prediction.image_files.MAX_IMAGE_PIXELS', 1000)
    write_city(tmp_path / 'city.tif')
    assert use(bright, BUILDINGS, tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 128) is None
    view = view_in(tmp_path / 'out' / 'maps' / 'city.html')
    assert [picture['name'] for picture in view['pictures']] == ['image', 'probability']
    (buildings,) = view['shapes']
    found = sorted(corners(rings, buildings['unit']) for rings in buildings['outlines'])
    assert np.abs(np.subtract(found, [[30, 20, 70, 60], [200, 100, 300, 160]])).max() <= 1
    assert buildings['columns'] == ['score', 'area_px']
    assert sorted(row[1] for row in buildings['rows']) == pytest.approx([1600, 6000], rel=0.05)
    assert any('no coordinate system' in note for note in view['notes'])


@pytest.mark.parametrize('kind', ['png', 'tif'])
def test_many_classes_have_the_model_s_colours_and_a_legend_of_those_that_occur(use, tmp_path, kind):
    write_city(tmp_path / 'city.tif', **PLACE)
    if kind == 'png':
        pixels = rasterio.open(tmp_path / 'city.tif').read().transpose(1, 2, 0)
        Image.fromarray(pixels).save(tmp_path / 'city.png')
    out = tmp_path / 'out'
    assert use(many_classes, LAND, tmp_path / f'city.{kind}', '--out', out, '--window', 128) is None
    view = view_in(out / 'maps' / 'city.html')
    classes = next(picture for picture in view['pictures'] if picture['name'] == 'classes')
    assert [key['label'] for key in classes['keys']][:2] == ['class 30', 'class 110']
    assert classes['keys'][1]['color'] == '#6E915A'
    assert view['shapes'] == []


def test_several_inputs_have_a_page_each_and_a_list(use, tmp_path, capsys):
    write_city(tmp_path / 'a & b.tif', **PLACE)
    (tmp_path / 'in').mkdir()
    Image.new('RGB', (80, 60), 'white').save(tmp_path / 'in' / '<b>.png')
    (tmp_path / 'in' / 'bad.png').write_bytes(b'no image')
    inputs = (tmp_path / 'a & b.tif', tmp_path / 'in')
    message = use(bright, BUILDINGS, *inputs, '--out', tmp_path / 'out', '--window', 128)
    assert 'bad.png' in message
    maps = tmp_path / 'out' / 'maps'
    assert sorted(path.relative_to(maps).as_posix() for path in maps.rglob('*.html')) == ['a & b.html', 'in/<b>.html']
    listed = (tmp_path / 'out' / 'maps.html').read_text()
    assert '<a href="maps/a%20%26%20b.html">a &amp; b</a>' in listed
    assert '<a href="maps/in/%3Cb%3E.html">in/&lt;b&gt;</a>' in listed
    assert 'maps.html' in capsys.readouterr().out


def test_a_finished_run_gets_its_maps_when_it_is_resumed(use, tmp_path):
    write_city(tmp_path / 'city.tif', **PLACE)
    Image.new('RGB', (80, 60), 'white').save(tmp_path / 'photo.png')
    arguments = (tmp_path / 'city.tif', tmp_path / 'photo.png', '--out', tmp_path / 'out', '--window', 512)
    assert use(leaning, ROOFS, *arguments, html=False) is None
    assert not (tmp_path / 'out' / 'maps').exists()
    assert use(None, ROOFS, *arguments, '--resume', '--polygons', 'none') is None
    view = view_in(tmp_path / 'out' / 'maps' / 'city.html')
    assert [layer['name'] for layer in view['shapes']] == ['footprints', 'roofs']
    assert view_in(tmp_path / 'out' / 'maps' / 'photo.html')['shapes'][1]['name'] == 'roofs'
    (tmp_path / 'out' / 'maps' / 'photo.html').write_text('kept')
    assert use(None, ROOFS, *arguments, '--resume') is None
    assert (tmp_path / 'out' / 'maps' / 'photo.html').read_text() == 'kept'


def test_a_raster_with_nothing_in_it_has_a_map_too(use, tmp_path):
    write_city(tmp_path / 'city.tif', **PLACE)
    none = {name: values[:0] for name, values in leaning(np.zeros((1, 8, 8, 3))).items()}
    assert use(lambda images: none, ROOFS, tmp_path / 'city.tif', '--out', tmp_path / 'a', '--window', 512) is None
    assert view_in(tmp_path / 'a' / 'maps' / 'city.html')['shapes'][0]['rows'] == []
    dark = lambda images: {'probabilities': 0 * bright(images)['probabilities']}  # noqa: E731
    assert use(dark, BUILDINGS, tmp_path / 'city.tif', '--out', tmp_path / 'b', '--window', 128) is None
    assert view_in(tmp_path / 'b' / 'maps' / 'city.html')['shapes'][0]['rows'] == []


def test_what_hinders_a_map_hinders_no_prediction(use, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError('as no code foresees')

    monkeypatch.setattr(map_views, 'read_picture', broken)
    monkeypatch.setattr(map_pages, 'read_image', broken)
    write_city(tmp_path / 'city.tif', **PLACE)
    Image.new('RGB', (80, 60), 'white').save(tmp_path / 'photo.png')
    inputs = (tmp_path / 'city.tif', tmp_path / 'photo.png')
    message = use(bright, BUILDINGS, *inputs, '--out', tmp_path / 'out', '--window', 128)
    assert 'city: no map: RuntimeError: as no code foresees' in message
    assert 'photo.png: no map: RuntimeError: as no code foresees' in message
    assert (tmp_path / 'out' / 'overlays' / 'photo.jpg').is_file()
    assert (tmp_path / 'out' / 'polygons' / 'city.gpkg').is_file()


def test_the_page_shows_buildings_in_a_browser(use, tmp_path):
    if find_browser() is None:
        pytest.skip(MISSING)
    write_city(tmp_path / 'city.tif', **PLACE)
    assert use(bright, BUILDINGS, tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 128) is None
    browser = Browser()
    try:
        browser.open(tmp_path / 'out' / 'maps' / 'city.html')
        browser.run('document.querySelector(".map-next").click()')
        assert 'area_m2' in browser.run('document.querySelector(".leaflet-popup table").textContent')
        assert browser.complaints == []
    finally:
        browser.close()
