"""Labels that are off come to lie on the buildings of an image; what cannot be told is not claimed."""

import json
import re

import numpy as np
import pytest
import shapely

from projects.building_extraction.misalignment.alignment.align import align
from projects.building_extraction.misalignment.alignment.settings import AlignmentSettings
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View
from projects.command_line import UsageError
from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.predictor import Predictor
from projects.geodata.polygonal import translate
from projects.geodata.raster_files import open_band, open_raster, rasterize, write_geotiff
from projects.geodata.vector_files import geopandas, read_buildings, write_polygons
from tools import align_labels

VIEW, SHIFT_M = View(0.6, 25, 110), (3.0, -2.0)
WEST, NORTH, SIZE_PX = 100, 700, 512
CRS = 'EPSG:32633'
PROBABILITIES = 'image_probability.tif'
SUN = ('--sun-deg', '50', '30')
EAST_0, NORTH_0 = 500_000, 5_000_000  # where the invented city lies


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """An image, and labels that are shifted footprints; each has a height."""
    folder = tmp_path_factory.mktemp('scene')
    city = procedural_city(1000.0, 0)
    image = render_tile(city, (WEST, NORTH), (SIZE_PX, SIZE_PX), VIEW, Sun(50, 30), 0).image
    place = (VIEW.gsd_m, 0, EAST_0 + WEST, 0, -VIEW.gsd_m, NORTH_0 + NORTH)
    write_geotiff(folder / 'image.tif', image, place, CRS)
    side_m = SIZE_PX * VIEW.gsd_m
    inside = shapely.within(city.buildings.polygons, shapely.box(WEST, NORTH - side_m, WEST + side_m, NORTH))
    heights_m = city.buildings.heights_m[inside]
    polygons = translate(
        city.buildings.polygons[inside], np.tile(np.add((EAST_0, NORTH_0), SHIFT_M), (inside.sum(), 1))
    )
    some_m = np.where(np.arange(len(heights_m)) % 6 == 0, heights_m, np.nan)
    one_tier = city.tiers[city.buildings.structures[inside]] == 1
    columns = {'height_m': heights_m, 'some_m': some_m, 'wrong_m': heights_m / 0.3048, 'one_tier': one_tier}
    write_polygons(geopandas.GeoDataFrame(columns, geometry=polygons, crs=CRS), folder / 'labels.gpkg')
    return folder, heights_m, one_tier


def run(folder, out, *options, labels='labels.gpkg', image='image.tif'):
    paths = ['--image', str(folder / image), '--labels', str(folder / labels), '--out', str(out)]
    align_labels.main([*paths, *options])
    told = json.loads(out.with_suffix('.json').read_text())
    layers = (geopandas.read_file(out, layer=name) for name in ('roofs', 'footprints'))
    return *layers, told


def true_moves_m(heights_m):
    return VIEW.offset_m(heights_m) - SHIFT_M


def test_labels_find_their_roofs(scene, tmp_path, capsys):
    folder, heights_m, one_tier = scene
    roofs, footprints, told = run(folder, tmp_path / 'out.gpkg', '--html')
    found_m = roofs[['dx_m', 'dy_m']].to_numpy()
    error_m = np.linalg.norm(found_m - true_moves_m(heights_m), axis=1)[one_tier]
    assert np.mean(error_m <= 1.5) >= 0.75
    assert np.median(error_m) <= 0.5
    confidence = roofs['confidence'].to_numpy()[one_tier]
    assert np.mean(error_m[confidence >= np.median(confidence)] <= 1.5) >= 0.95
    view = told['views'][0]
    assert abs((view['azimuth_deg'] - 110 + 180) % 360 - 180) <= 3
    labels = read_buildings(folder / 'labels.gpkg')
    moved = shapely.get_coordinates(shapely.centroid(roofs.geometry.to_numpy()))
    np.testing.assert_allclose(
        moved - shapely.get_coordinates(shapely.centroid(labels.geometry.to_numpy())), found_m, rtol=2e-3, atol=5e-3
    )
    assert set(roofs['status']) <= {'moved', 'kept', 'no evidence'}
    assert roofs['height_m'].isna().all()  # neither angle nor registration is known
    assert (roofs['height_note'] == 'the off-nadir angle is not known').all()
    assert 'nothing says where leans begin' in told['notes'][-1]
    assert roofs['label'].tolist() == list(range(1, len(labels) + 1))  # a GeoPackage counts from 1
    out = capsys.readouterr().out
    assert 'height classes: 0 from stated heights, none from the image' in out
    assert (tmp_path / 'out.png').exists()
    assert len(footprints) == len(roofs)
    page = (tmp_path / 'out.html').read_text()
    assert 'out.html' in out
    assert '--out' in page
    (view,) = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert [layer['name'] for layer in view['shapes']] == ['footprints', 'labels as given', 'roofs as aligned']
    assert [coloring['name'] for coloring in view['shapes'][2]['colorings']] == ['status', 'height class', 'confidence']
    _, given, aligned = (_corner_px_by_label(layer) for layer in view['shapes'])
    assert given.keys() == aligned.keys() == set(roofs['label'])
    moves_px = np.array([np.subtract(aligned[label], given[label]) for label in roofs['label']])
    np.testing.assert_allclose(moves_px * VIEW.gsd_m * (1, -1), found_m, atol=0.15)  # rows run south


def _corner_px_by_label(layer):
    """Least column and row of each outline, by the number of its label."""
    labels = [row[layer['columns'].index('label')] for row in layer['rows']]
    outlines = [np.reshape(rings[0], (-1, 2)) * layer['unit'] for rings in layer['outlines']]
    return {label: outline.min(axis=0) for label, outline in zip(labels, outlines, strict=True)}


def test_heights_follow_from_leans_once_an_angle_and_some_heights_are_known(scene, tmp_path):
    folder, heights_m, one_tier = scene
    roofs, footprints, told = run(
        folder, tmp_path / 'out.gpkg', '--off-nadir-deg', '25', '--height-column', 'some_m', '--max-height-m', '80'
    )
    assert told['views'][0]['zero_of_leans'] == 'known heights'
    np.testing.assert_allclose(told['views'][0]['shift_m'], (-3, 2), atol=0.7)
    by_lean = (roofs['height_from'] == 'lean').to_numpy() & one_tier & (heights_m < 35)
    assert by_lean.sum() >= 10
    error_m = np.abs(roofs['height_m'].to_numpy() - heights_m)[by_lean]
    assert np.median(error_m) <= 1.5
    stated = roofs['height_from'] == 'stated'
    np.testing.assert_allclose(roofs['height_m'][stated], heights_m[stated])
    true = read_buildings(folder / 'labels.gpkg').geometry.translate(*(-np.array(SHIFT_M)))
    off_m = footprints.geometry.centroid.distance(true.centroid)
    assert np.median(off_m[one_tier]) <= 0.8


def test_heights_follow_from_shadows_without_any_known_height(scene, tmp_path, capsys):
    folder, heights_m, one_tier = scene
    roofs, _, _ = run(folder, tmp_path / 'out.gpkg', '--off-nadir-deg', '25', '--azimuth-deg', '110', *SUN)
    by_shadow = (roofs['height_from'] == 'shadow').to_numpy()
    assert set(roofs['height_from']) == {'shadow', ''}
    counted = by_shadow & one_tier & (heights_m < 35)
    assert counted.sum() >= 10
    error_m = np.abs(roofs['height_m'].to_numpy() - heights_m)[counted]
    assert np.median(error_m) <= 1.0
    assert np.mean(error_m <= 3 * roofs['height_deviation_m'].to_numpy()[counted]) >= 0.85
    assert f'0 from stated heights, {by_shadow.sum()} from shadow' in capsys.readouterr().out


def test_all_heights_tell_the_view(scene, tmp_path):
    folder, heights_m, _ = scene
    roofs, _, told = run(folder, tmp_path / 'out.gpkg', '--height-column', 'height_m')
    view = told['views'][0]
    assert view['off_nadir_deg'] == pytest.approx(25, abs=1.5)
    assert view['azimuth_is_told_from_its_opposite']
    error_m = np.linalg.norm(roofs[['dx_m', 'dy_m']].to_numpy() - true_moves_m(heights_m), axis=1)
    assert np.mean(error_m <= 1.5) >= 0.9


def test_an_interrupted_run_goes_on(scene, tmp_path, monkeypatch):
    from projects.building_extraction.misalignment.alignment import align as module

    folder, *_ = scene
    settings = AlignmentSettings(folder / 'image.tif', folder / 'labels.gpkg', max_height_m=20)
    monkeypatch.setattr(module, 'cut_into_blocks', lambda *args: _cut(*args))
    once = align(settings, tmp_path / 'once.gpkg')
    assert len(once.blocks) > 1
    placed, calls = module.place_block, []

    def fails(*job):
        calls.append(job)
        if len(calls) == 2:
            raise KeyboardInterrupt
        placed(*job)

    monkeypatch.setattr(module, 'place_block', fails)
    with pytest.raises(KeyboardInterrupt):
        align(settings, tmp_path / 'twice.gpkg')
    with pytest.raises(FileExistsError, match='interrupted run with other settings'):
        align(AlignmentSettings(folder / 'image.tif', folder / 'labels.gpkg', max_height_m=30), tmp_path / 'twice.gpkg')
    searches = []
    monkeypatch.setattr(module, 'search_block', lambda *job: searches.append(job))
    again = align(settings, tmp_path / 'twice.gpkg')
    assert not searches
    assert len(calls) == 1 + len(once.blocks)
    for one, other in zip(once.results, again.results, strict=True):
        np.testing.assert_array_equal(one.placement.along_m, other.placement.along_m)
    assert not list(tmp_path.glob('.twice*'))


def _cut(raster, polygons, heights_m, reach_m):
    from projects.building_extraction.misalignment.alignment.blocks import cut_into_blocks

    return cut_into_blocks(raster, polygons, heights_m, reach_m, core_px=300)


def test_a_model_predicts_the_second_round(scene, tmp_path, monkeypatch):
    folder, *_ = scene
    info = ModelInfo(
        SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (9, 0, 0)), (0.0,) * 3, (1.0,) * 3, threshold=0.5
    )
    calls = []

    def session(images):
        calls.append(len(images))
        return {'probabilities': images.mean(axis=3, dtype=np.float32)[:, None] / 255}

    monkeypatch.setattr(
        'projects.deployment.prediction.command.open_predictor', lambda *_, **__: Predictor(session, info)
    )
    _, _, told = run(folder, tmp_path / 'out.gpkg', '--model', 'model.onnx')
    assert set(told['views'][0]['held_out_edge_scores']) == {'image', 'with_model'}
    with open_raster(folder / 'image.tif') as image, open_band(tmp_path / 'out_prediction' / PROBABILITIES) as found:
        (rgb, _), (_, values, _) = image.read(0, 0, SIZE_PX, SIZE_PX), found.read_values(0, 0, SIZE_PX, SIZE_PX)
    assert np.abs(values[0].astype(float) - rgb.mean(axis=2)).max() <= 1
    count = len(calls)
    run(folder, tmp_path / 'out.gpkg', '--model', 'model.onnx')
    assert len(calls) == count  # what was predicted is taken
    with pytest.raises(SystemExit):
        run(folder, tmp_path / 'out.gpkg', '--model', 'model.onnx', '--probabilities', str(folder / 'image.tif'))


def test_water_gives_no_evidence(scene, tmp_path):
    folder, heights_m, _ = scene
    noise = np.random.default_rng(0).normal(70, 4, (SIZE_PX, SIZE_PX, 3)).clip(0, 255).astype(np.uint8)
    place = (VIEW.gsd_m, 0, EAST_0 + WEST, 0, -VIEW.gsd_m, NORTH_0 + NORTH)
    write_geotiff(tmp_path / 'water.tif', noise, place, CRS)
    (tmp_path / 'labels.gpkg').symlink_to(folder / 'labels.gpkg')
    roofs, _, told = run(tmp_path, tmp_path / 'out.gpkg', image='water.tif')
    assert told['counts'] == {'moved': 0, 'kept': 0, 'no evidence': len(heights_m)}
    assert not roofs[['dx_m', 'dy_m']].to_numpy().any()
    assert 'the image has no edges where outlines are' in told['notes'][0]


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (lambda frame: frame.translate(90_000, 0), (), 'no building of .* lies in the area'),
        (lambda frame: frame[:4], (), '4 buildings of .* lie in .*: at least 5 are needed'),
        (lambda frame: frame, ('--off-nadir-deg', '50'), 'off_nadir_deg = 50: expected 0 to 45'),
        (lambda frame: frame, ('--height-column', 'nothing'), "has no column 'nothing'"),
        (lambda frame: frame, ('--sun-deg', '95', '0'), 'sun_deg = .*: expected its elevation, 10 to 90 degrees'),
        (lambda frame: frame, ('--model', 'nothing.onnx'), 'nothing.onnx'),
        (lambda frame: frame, ('--probabilities', 'nothing.tif'), '--probabilities: the raster nothing.tif'),
    ],
)
def test_bad_input_is_refused_in_one_line(scene, tmp_path, capsys, change, options, message):
    folder, *_ = scene
    frame = geopandas.read_file(folder / 'labels.gpkg')
    changed = change(frame)
    frame = frame.set_geometry(changed) if isinstance(changed, geopandas.GeoSeries) else changed
    write_polygons(frame, tmp_path / 'labels.gpkg')
    (tmp_path / 'image.tif').symlink_to(folder / 'image.tif')
    with pytest.raises(SystemExit) as left:
        run(tmp_path, tmp_path / 'out.gpkg', *options)
    told = str(left.value.code) if isinstance(left.value.code, str) else capsys.readouterr().err
    assert re.search(message, told)
    assert told.strip().count('\n') == 0
    assert not (tmp_path / 'out.gpkg').exists()


def test_heights_in_feet_are_noticed(scene, tmp_path):
    folder, *_ = scene
    _, _, told = run(
        folder, tmp_path / 'out.gpkg', '--off-nadir-deg', '25', '--height-column', 'wrong_m', '--max-height-m', '80'
    )
    assert 'the known heights contradict the image' in told['views'][0]['heights']
    assert 'are the heights feet?' in told['views'][0]['heights']


def test_settings_refuse_what_is_no_length(tmp_path):
    with pytest.raises(UsageError, match='max_shift_m = 0'):
        AlignmentSettings(tmp_path, tmp_path, max_shift_m=0)


def test_a_model_is_used_only_where_held_out_edges_fit_better_with_it(scene, tmp_path):
    folder, heights_m, one_tier = scene
    labels = read_buildings(folder / 'labels.gpkg')
    place = (VIEW.gsd_m, 0, EAST_0 + WEST, 0, -VIEW.gsd_m, NORTH_0 + NORTH)
    with open_raster(folder / 'image.tif') as raster:
        grainy = raster.read(0, 0, SIZE_PX, SIZE_PX)[0] + np.random.default_rng(0).normal(0, 130, (SIZE_PX, SIZE_PX, 3))
    write_geotiff(tmp_path / 'image.tif', grainy.clip(0, 255).astype(np.uint8), place, CRS)
    (tmp_path / 'labels.gpkg').symlink_to(folder / 'labels.gpkg')
    roofs = translate(labels.geometry.to_numpy(), true_moves_m(heights_m))
    order = np.argsort(heights_m)  # the highest is seen; a gap between roofs, as models that tell buildings apart leave

    def mask_of(polygons: np.ndarray) -> np.ndarray:
        gaps, inner = shapely.buffer(polygons, 0.6)[order], shapely.buffer(polygons, -0.6)[order]
        shapes = np.stack([gaps, inner], axis=1).ravel()
        return rasterize(shapes, np.tile([0, 255], len(polygons)), (SIZE_PX, SIZE_PX), place, np.uint8)

    right = mask_of(roofs)
    masks = {
        'right': right,
        'wrong': np.roll(right, (9, -12), axis=(0, 1)),
        'as labelled': mask_of(labels.geometry.to_numpy()),  # what a network learns of labels that are all displaced
    }
    errors_m = {}
    for name, mask in masks.items():
        write_geotiff(tmp_path / f'{name}.tif', mask, place, CRS)
        options = ('--probabilities', str(tmp_path / f'{name}.tif'), '--values', 'byte')
        found, _, told = run(tmp_path, tmp_path / f'{name}.gpkg', *options)
        held_out = told['views'][0]['held_out_edge_scores']
        errors_m[name] = np.linalg.norm(found[['dx_m', 'dy_m']].to_numpy() - true_moves_m(heights_m), axis=1)[one_tier]
        assert told['views'][0]['uses_model'] == (held_out['with_model'] > held_out['image']) == (name == 'right')
    near = {name: np.mean(each <= 1.5) for name, each in errors_m.items()}
    assert near['right'] >= max(near.values())
