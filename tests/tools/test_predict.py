import importlib.util
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.predictor import Predictor, open_predictor
from projects.training.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/mobilenetv3_fpn_cityscapes.py'
SMALL = {'test_dataloader.dataset.pipeline.1.scale': (128, 64), 'model.backbone.pretrained': False}
OPTIONS = ['--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=128,64', 'model.backbone.pretrained=False']
BUILDINGS = ModelInfo(
    SEGMENTATION, ('background', 'building'), ((0, 0, 0), (250, 80, 40)), (0.0,) * 3, (1.0,) * 3, threshold=0.5
)

spec = importlib.util.spec_from_file_location('predict', ROOT / 'tools' / 'predict.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def predict(*arguments):
    """Run the tool; its exit message, None if all went well."""
    try:
        tool.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return None


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    """A config's model, its checkpoint and images."""
    from projects.deployment.inference_graphs import load_model

    folder = tmp_path_factory.mktemp('network')
    cfg = load_config(CONFIG, SMALL)
    torch.manual_seed(0)
    model = load_model(cfg)
    for name, values in model.named_parameters():
        if 'conv_seg' in name or 'output' in name:
            torch.nn.init.normal_(values, std=0.5)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'weights.pth')
    random = np.random.default_rng(0)
    (folder / 'images').mkdir()
    for index, size in enumerate([(60, 110), (100, 90)]):
        coarse = random.integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / 'images' / f'{index}.png')
    return model, cfg, folder


def test_a_config_predicts_what_mmseg_does(network, tmp_path, capsys):
    model, cfg, folder = network
    message = predict(CONFIG, folder / 'images', '--checkpoint', folder / 'weights.pth', '--out', tmp_path, *OPTIONS)
    assert message is None
    assert 'wrote' in capsys.readouterr().out
    with DefaultScope.overwrite_default_scope('mmseg'):
        steps = [step for step in cfg.test_dataloader.dataset.pipeline if step['type'] != 'LoadSegmentation']
        pipeline = Compose(steps)
    for name in ('0', '1'):
        sample = pipeline({'img_path': str(folder / 'images' / f'{name}.png'), 'reduce_zero_label': False})
        with torch.no_grad():
            result = model.test_step({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]})
        expected = result[0].pred_sem_seg.data[0].numpy()
        labels = np.asarray(Image.open(tmp_path / 'masks' / f'{name}.png'))
        assert labels.shape == expected.shape
        assert (labels == expected).mean() > 0.999
        assert len(np.unique(expected)) > 1
    assert len((tmp_path / 'class_shares.csv').read_text().splitlines()) == 3


def test_an_exported_file_predicts_what_its_config_does(network, tmp_path):
    from projects.deployment.export.onnx_files import write_onnx

    _, cfg, folder = network
    checkpoint = folder / 'weights.pth'
    predictor = open_predictor(cfg, checkpoint)
    write_onnx(predictor.session.module, predictor.info, tmp_path / 'model.onnx', (64, 128))
    assert predict(tmp_path / 'model.onnx', folder / 'images', '--out', tmp_path / 'onnx', '--write', 'masks') is None
    assert sorted(path.name for path in (tmp_path / 'onnx').iterdir()) == ['.journal', 'masks']
    for name in ('0', '1'):
        image = np.asarray(Image.open(folder / 'images' / f'{name}.png'))
        labels = np.asarray(Image.open(tmp_path / 'onnx' / 'masks' / f'{name}.png'))
        assert (labels == predictor.predict_image(image).labels).mean() > 0.999


def test_what_is_missing_is_said(network, tmp_path, capsys):
    folder = network[2]
    weights = ('--checkpoint', folder / 'weights.pth', '--out', tmp_path / 'out')
    assert 'no such file or folder: absent.png' in predict(CONFIG, 'absent.png', *weights)
    assert predict(CONFIG, folder / 'images', '--out', tmp_path / 'out') == 2
    assert 'name its --checkpoint' in capsys.readouterr().err
    assert predict(CONFIG, folder / 'images', *weights, '--write', 'coco', *OPTIONS) == 2
    assert 'gives overlays masks shares' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def bright_buildings(monkeypatch):
    """Bright is building, whatever model is named."""

    def session(images):
        return {'probabilities': (images[:, None, :, :, 0] > 128).astype(np.float32)}

    monkeypatch.setattr(
        'projects.deployment.prediction.command.open_predictor', lambda *args, **options: Predictor(session, BUILDINGS)
    )


def write_city(path, **place):
    image = np.full((3, 300, 400), 40, dtype=np.uint8)
    image[:, 50:110, 60:160] = 200
    image[:, 200:240, 300:340] = 200
    with rasterio.open(path, 'w', driver='GTiff', width=400, height=300, count=3, dtype='uint8', **place) as file:
        file.write(image)


@pytest.mark.parametrize('suffix', ['gpkg', 'geojson'])
def test_a_geotiff_becomes_polygons_and_photos_pictures(bright_buildings, tmp_path, capsys, suffix):
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    write_city(tmp_path / 'city.tif', **place)
    Image.new('RGB', (80, 60), 'white').save(tmp_path / 'photo.jpg')
    arguments = (
        'model.onnx',
        tmp_path / 'city.tif',
        tmp_path / 'photo.jpg',
        '--out',
        tmp_path / 'out',
        '--window',
        128,
    )
    assert predict(*arguments, '--polygons', suffix, '--min-area-m2', 20) is None
    assert 'city.' + suffix in capsys.readouterr().out
    polygons = geopandas.read_file(tmp_path / 'out' / 'polygons' / f'city.{suffix}').to_crs('EPSG:32736')
    assert sorted(polygons.area.round().tolist()) == pytest.approx([400, 1500], rel=0.03)
    with rasterio.open(tmp_path / 'out' / 'rasters' / 'city_probability.tif') as file:
        assert file.transform == place['transform']
    assert (tmp_path / 'out' / 'overlays' / 'photo.jpg').is_file()
    assert predict(*arguments, '--polygons', suffix) == (
        f'predict: {tmp_path / "out"} holds predictions already: continue them with --resume, or choose another --out'
    )
    assert predict(*arguments, '--polygons', suffix, '--resume') is None
    assert '0 of 0 inputs; 2 were complete before' in capsys.readouterr().out


def test_polygons_of_a_detector_are_filtered_and_made_regular(monkeypatch, tmp_path):
    info = ModelInfo(INSTANCES, ('building',), ((250, 80, 40),), (0.0,) * 3, (1.0,) * 3)
    ragged = np.ones((28, 28), np.float32)
    ragged[:1, ::3] = 0  # notches of 0.7 m

    def session(images):
        assert len(images) == 1
        boxes = np.array([[20, 20, 80, 60], [100, 100, 104, 104]], np.float32)
        return {
            'boxes': boxes,
            'labels': np.zeros(2, np.int64),
            'scores': np.array([0.9, 0.8], np.float32),
            'image_indices': np.zeros(2, np.int64),
            'masks': np.stack([ragged, np.ones_like(ragged)]),
        }

    monkeypatch.setattr(
        'projects.deployment.prediction.command.open_predictor', lambda *_, **__: Predictor(session, info)
    )
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    with rasterio.open(
        tmp_path / 'a.tif', 'w', driver='GTiff', width=128, height=128, count=3, dtype='uint8', **place
    ) as file:
        file.write(np.full((3, 128, 128), 90, np.uint8))
    arguments = ('model.onnx', tmp_path / 'a.tif', '--window', 128)
    assert predict(*arguments, '--out', tmp_path / 'all') is None
    assert predict(*arguments, '--out', tmp_path / 'some', '--min-area-m2', 5, '--regularise') is None
    both, large = (geopandas.read_file(tmp_path / name / 'polygons' / 'a.gpkg') for name in ('all', 'some'))
    assert sorted(both.area.round()) == pytest.approx([4, 580], rel=0.05)
    assert list(large.columns) == list(both.columns)
    assert large.area.to_list() == pytest.approx([580], rel=0.05)
    assert len(both.geometry[both.area.argmax()].exterior.coords) > 30
    assert len(large.geometry[0].exterior.coords) < 10  # a rectangle, but for a corner


def test_a_large_tiff_without_coordinates_gives_layers_and_says_why_no_polygons(
    bright_buildings, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('projects.deployment.prediction.image_files.MAX_IMAGE_PIXELS', 1000)
    write_city(tmp_path / 'city.tif')
    assert predict('model.onnx', tmp_path / 'city.tif', '--out', tmp_path / 'out') is None
    assert 'city: no polygons' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'rasters' / 'city_probability.tif').is_file()


def test_what_cannot_be_read_is_listed_in_the_end(bright_buildings, tmp_path):
    (tmp_path / 'in').mkdir()
    for name in ('good', 'bad'):
        Image.new('RGB', (80, 60), 'white').save(tmp_path / 'in' / f'{name}.png')
    (tmp_path / 'in' / 'bad.png').write_bytes((tmp_path / 'in' / 'bad.png').read_bytes()[:60])
    (tmp_path / 'in' / 'broken.vrt').write_text('no raster')
    message = predict('model.onnx', tmp_path / 'in', '--out', tmp_path / 'out')
    assert message.startswith('predict: 2 inputs could not be predicted')
    assert 'bad.png: ' in message
    assert 'broken.vrt: ' in message
    settings = json.loads((tmp_path / 'out' / '.journal' / 'settings.json').read_text())
    assert settings['write'] == ['overlays', 'masks', 'shares']
    assert (tmp_path / 'out' / 'masks' / 'good.png').is_file()


def test_one_bad_raster_does_not_end_the_others_nor_their_polygons(bright_buildings, tmp_path, capsys, monkeypatch):
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    for name in ('a', 'bad', 'odd', 'z'):
        write_city(tmp_path / f'{name}.tif', **place)
    from projects.deployment.prediction.rasters import input_rasters, prediction

    def failing(function, part):
        def call(*arguments, **options):
            if any(part in str(argument) for argument in arguments):
                raise RuntimeError('as no code foresees')
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(prediction, 'open_raster', failing(prediction.open_raster, 'bad.tif'))
    monkeypatch.setattr(input_rasters, 'write_polygons', failing(input_rasters.write_polygons, 'odd.gpkg'))
    rasters = [tmp_path / f'{name}.tif' for name in ('a', 'bad', 'odd', 'z')]
    message = predict('model.onnx', *rasters, '--out', tmp_path / 'out')
    assert message.startswith('predict: 2 inputs could not be predicted, or not to their end')
    assert 'bad.tif: RuntimeError: as no code foresees' in message
    assert 'odd: no polygons: RuntimeError: as no code foresees' in message
    assert sorted(path.name for path in (tmp_path / 'out' / 'polygons').iterdir()) == [
        'a.gpkg',
        'a.qml',
        'z.gpkg',
        'z.qml',
    ]
    assert 'wrote' in capsys.readouterr().out


def test_a_sure_network_finds_nothing_where_there_is_no_data(monkeypatch, tmp_path):
    def session(images):
        return {'probabilities': np.full((len(images), 1, *images.shape[1:3]), 1 / 255, np.float32)}

    monkeypatch.setattr(
        'projects.deployment.prediction.command.open_predictor', lambda *args, **options: Predictor(session, BUILDINGS)
    )
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    write_city(tmp_path / 'water.tif', **place)  # 1 of 255 everywhere: sure that there is none
    assert predict('model.onnx', tmp_path / 'water.tif', '--out', tmp_path / 'water') is None
    assert len(geopandas.read_file(tmp_path / 'water' / 'polygons' / 'water.gpkg')) == 0

    monkeypatch.setattr(
        'projects.deployment.prediction.command.open_predictor',
        lambda *args, **options: Predictor(
            lambda images: {'probabilities': 255 * session(images)['probabilities']}, BUILDINGS
        ),
    )
    image = np.random.default_rng(0).uniform(0.3, 0.8, (3, 300, 400)).astype(np.float32)
    image[:, :, 200:] = -9999  # undeclared
    with rasterio.open(
        tmp_path / 'half.tif', 'w', driver='GTiff', width=400, height=300, count=3, dtype='float32', **place
    ) as file:
        file.write(image)
    assert predict('model.onnx', tmp_path / 'half.tif', '--out', tmp_path / 'half', '--window', 128) is None
    polygons = geopandas.read_file(tmp_path / 'half' / 'polygons' / 'half.gpkg')
    assert polygons.total_bounds == pytest.approx((450000, 39850, 450100, 40000))
    with rasterio.open(tmp_path / 'half' / 'rasters' / 'half_probability.tif') as file:
        assert (file.dataset_mask()[:, 200:] == 0).all()
        assert (file.read(1)[:, :200] == 255).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--window', 16], 'expected at least 32'),
        (['--window', 128, '--overlap', 100], 'overlap_px 100: expected 0 to 64'),
        (['--bands', 1, 2], 'expected 1 or 3 numbers'),
        (['--layers', 'confidence'], 'gives probability, labels'),
        (['--write', 'coco'], 'gives overlays masks shares'),
        (['--cfg-options', 'model.backbone.pretrained=False'], 'as it was exported'),
    ],
)
def test_options_that_fit_neither_model_nor_rasters_are_a_mistake_of_usage(
    bright_buildings, tmp_path, capsys, options, message
):
    write_city(tmp_path / 'city.tif')
    (tmp_path / 'city.tfw').write_text('0.5\n0\n0\n-0.5\n450000\n40000\n')
    assert predict('model.onnx', tmp_path / 'city.tif', '--out', tmp_path / 'out', *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_runtime_that_cannot_run_the_model_is_a_mistake_of_usage_and_its_absence_is_not(tmp_path, capsys):
    Image.new('RGB', (80, 60), 'white').save(tmp_path / 'photo.jpg')
    arguments = ('model.onnx', tmp_path / 'photo.jpg', '--out', tmp_path / 'out')
    for options in (('--runtime', 'eager'), ('--checkpoint', 'a.pth'), ('--device', 'npu')):
        assert predict(*arguments, *options) == 2
    assert 'onnxruntime runs .onnx' in capsys.readouterr().err
    assert 'model.onnx' in predict(*arguments)


def test_other_polygons_can_be_asked_of_rasters_that_are_complete(bright_buildings, tmp_path, capsys):
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    write_city(tmp_path / 'city.tif', **place)
    arguments = ('model.onnx', tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 128)
    assert predict(*arguments, '--polygons', 'none') is None
    assert not (tmp_path / 'out' / 'polygons').exists()
    assert predict(*arguments, '--resume', '--min-area-m2', 500) is None
    assert 'city.gpkg: 1 polygons' in capsys.readouterr().out


def test_parts_are_joined_and_what_misses_is_told_with_its_command(bright_buildings, tmp_path, capsys):
    place = {'crs': 'EPSG:32736', 'transform': rasterio.Affine(0.5, 0, 450000, 0, -0.5, 40000)}
    write_city(tmp_path / 'city.tif', **place)
    arguments = ('model.onnx', tmp_path / 'city.tif', '--out', tmp_path / 'out', '--window', 128)
    message = predict(*arguments, '--join')
    assert 'strips 0 to 2 of 3 are missing (from 0); no part has begun' in message
    assert predict(*arguments, '--part', '1/2') is None
    assert 'part 1/2: predicted 0 images and videos, 3 strips of city' in capsys.readouterr().out  # the other's, too
    (tmp_path / 'out/rasters/.city.partial/hands').joinpath('x.json').write_text('{"part": [0, 3], "hand": []}')
    journal = next((tmp_path / 'out/rasters/.city.partial').glob('part1-*.jsonl'))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(''.join(line for line in lines if json.loads(line)['name'] != '1'))
    message = predict(*arguments, '--join')
    assert 'strips 1 of 3 are missing (from 0); make them with --part 1/3, then --join again' in message
    command = f'predict.py model.onnx {tmp_path / "city.tif"} --out {tmp_path / "out"} --window 128 --part 1/3'
    assert command in capsys.readouterr().out.splitlines()[-1]
    assert predict(*arguments, '--part', '1/3') is None
    assert predict(*arguments, '--join') is None
    assert 'city.gpkg: 2 polygons' in capsys.readouterr().out
    assert predict(*arguments, '--part', '3/3') == 2
    assert 'part 3 of 3; expected 0 to 2' in capsys.readouterr().err
