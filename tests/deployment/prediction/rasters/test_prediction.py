import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from scipy.ndimage import uniform_filter

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.prediction.rasters.prediction import predict_raster
from projects.deployment.prediction.rasters.settings import RasterSettings
from projects.deployment.predictor import Predictor

PLACE = Affine(0.5, 0, 500000, 0, -0.5, 5_000_000)
ONE = ModelInfo(SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (255, 0, 0)), (0, 0, 0), (1, 1, 1), threshold=0.5)
THREE = ModelInfo(SEGMENTATION, ('a', 'b', 'c'), ((0, 0, 0), (255, 0, 0), (0, 255, 0)), (0, 0, 0), (1, 1, 1))
FLOATS = RasterSettings(window_px=96, overlap_px=32, probability_dtype='float32', batch_size=3)


def write(path, bands, **profile):
    count, height, width = bands.shape
    profile = {'dtype': bands.dtype, 'crs': 'EPSG:32633', 'transform': PLACE} | profile
    with rasterio.open(path, 'w', driver='GTiff', count=count, height=height, width=width, **profile) as out:
        out.write(bands)
    return path


def noise(height=230, width=310, count=3, dtype='uint8', high=255):
    return np.random.default_rng(0).integers(1, high, (count, height, width)).astype(dtype)


def smoothed(images, radius=3):
    """A convolution: (B, H, W, 3) to (B, 3, H, W), which sees `radius` pixels beyond each pixel."""
    size = (1, 2 * radius + 1, 2 * radius + 1, 1)
    return uniform_filter(images.astype(np.float32) / 255, size, mode='constant').transpose(0, 3, 1, 2)


class Convolution:
    """Probabilities by a convolution; counts the images that it sees."""

    def __init__(self, channels=1):
        self.channels, self.images = channels, []

    def __call__(self, images):
        self.images.extend(images.copy())
        values = smoothed(images)
        values = values[:, :1] if self.channels == 1 else values / values.sum(axis=1, keepdims=True).clip(1e-6)
        return {'probabilities': np.ascontiguousarray(values)}


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.dataset_mask() > 0


def test_a_tiled_prediction_equals_that_of_the_whole_image_away_from_borders(tmp_path):
    bands = noise()
    path = write(tmp_path / 'a.tif', bands)
    result = predict_raster(Predictor(Convolution(), ONE), path, tmp_path, FLOATS)
    values, valid = read(result.files['probability'])
    expected = smoothed(bands.transpose(1, 2, 0)[None])[0, :1]
    np.testing.assert_allclose(values, expected, atol=2e-6)
    assert valid.all()
    assert result.num_windows == result.num_predicted == 4 * 5
    assert (result.unreadable, result.instances) == ([], None)


class Constant:
    """The same probabilities everywhere."""

    def __init__(self, *probabilities):
        self.probabilities = np.array(probabilities, dtype=np.float32)[None, :, None, None]

    def __call__(self, images):
        shape = len(images), self.probabilities.shape[1], *images.shape[1:3]
        return {'probabilities': np.broadcast_to(self.probabilities, shape).copy()}


def test_a_constant_model_gives_an_exact_constant(tmp_path):
    path = write(tmp_path / 'a.tif', noise())
    result = predict_raster(Predictor(Constant(0.3), ONE), path, tmp_path, FLOATS)
    assert np.unique(read(result.files['probability'])[0]) == np.float32(0.3)
    settings = replace(FLOATS, layers=('labels', 'confidence', 'probabilities'))
    result = predict_raster(Predictor(Constant(0.1, 0.7, 0.2), THREE), path, tmp_path, settings)
    assert np.unique(read(result.files['labels'])[0]) == 1
    assert np.unique(read(result.files['confidence'])[0]) == np.float32(0.7)
    for band, expected in zip(read(result.files['probabilities'])[0], (0.1, 0.7, 0.2), strict=True):
        assert np.unique(band) == np.float32(expected)


def test_labels_and_confidence_come_from_blended_probabilities(tmp_path):
    bands = noise()
    path = write(tmp_path / 'a.tif', bands)
    settings = replace(FLOATS, probability_dtype='uint8')
    result = predict_raster(Predictor(Convolution(3), THREE), path, tmp_path, settings)
    assert list(result.files) == ['labels', 'confidence']
    values = smoothed(bands.transpose(1, 2, 0)[None])[0]
    values /= values.sum(axis=0)
    ordered = np.sort(values, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-5
    np.testing.assert_array_equal(read(result.files['labels'])[0][0][clear], values.argmax(axis=0)[clear])
    confidence = read(result.files['confidence'])[0][0]
    np.testing.assert_allclose(confidence, ordered[-1] * 255, atol=0.5 + 1e-3)
    with rasterio.open(result.files['labels']) as labels:
        assert labels.colormap(1)[1] == (255, 0, 0, 255)
        assert json.loads(labels.tags()['SKYLINE_CLASSES']) == ['a', 'b', 'c']
    settings = replace(FLOATS, layers=('probabilities',), classes=('c',))
    result = predict_raster(Predictor(Convolution(3), THREE), path, tmp_path, settings)
    np.testing.assert_allclose(read(result.files['probabilities'])[0], values[2:], atol=2e-6)


def test_the_output_is_tiled_placed_and_has_overviews_of_means(tmp_path):
    path = write(tmp_path / 'a.tif', noise(600, 700), transform=Affine(0.5, 0.1, 5, 0.1, -0.5, 9))
    result = predict_raster(Predictor(Convolution(), ONE), path, tmp_path, replace(FLOATS, window_px=256))
    with rasterio.open(result.files['probability']) as out:
        assert out.profile['tiled']
        assert out.profile['compress'] == 'deflate'
        assert out.overviews(1) == [2, 4]
        assert out.transform == Affine(0.5, 0.1, 5, 0.1, -0.5, 9)
        assert out.crs == 'EPSG:32633'
        full = out.read(1)
        assert 'not north-up' in out.tags()['SKYLINE_INPUT']
    with rasterio.open(result.files['probability'], overview_level=0) as half:
        np.testing.assert_allclose(half.read(1), full.reshape(300, 2, 350, 2).mean(axis=(1, 3)), atol=1e-5)
        assert half.dataset_mask().all()
    assert sorted(file.name for file in tmp_path.iterdir()) == ['a.tif', 'a_prediction.json', 'a_probability.tif']


def test_pixels_without_data_have_none_and_windows_without_data_are_not_predicted(tmp_path):
    bands = noise()
    bands[:, :, 100:] = 0
    bands[:, 40:60, 20:50] = 0
    model = Convolution()
    path = write(tmp_path / 'a.tif', bands, nodata=0)
    result = predict_raster(Predictor(model, ONE), path, tmp_path, FLOATS)
    values, valid = read(result.files['probability'])
    np.testing.assert_array_equal(valid, bands.any(axis=0))
    assert not values[0][~valid].any()
    assert result.num_predicted == len(model.images) == 4 * 2
    assert all(image.any() for image in model.images)
    with rasterio.open(result.files['probability'], overview_level=0) as half:
        assert not half.dataset_mask()[:, 51:].any()


def test_a_raster_without_any_data_gives_one(tmp_path):
    for dtype in ('uint8', 'uint16', 'float32'):
        path = write(tmp_path / 'a.tif', np.zeros((3, 200, 150), dtype), nodata=0)
        model = Convolution()
        result = predict_raster(Predictor(model, ONE), path, tmp_path, FLOATS)
        assert not read(result.files['probability'])[1].any()
        assert not model.images
        assert 'no pixel has data' in result.notes[-1]


def test_any_bands_and_depths_are_predicted_by_the_rules_of_open_raster(tmp_path):
    for count, dtype, bands in ((1, 'uint8', None), (5, 'uint16', None), (4, 'float32', (4, 2, 1)), (2, 'int16', (2,))):
        path = write(tmp_path / 'a.tif', noise(50, 70, count, dtype, 3000 if dtype != 'uint8' else 255))
        result = predict_raster(Predictor(Convolution(), ONE), path, tmp_path, replace(FLOATS, bands=bands))
        values, valid = read(result.files['probability'])
        assert valid.all()
        assert 0.3 < values.mean() < 0.7
        chosen = list(bands or ((1, 2, 3) if count > 1 else (1,)))
        assert f'bands {chosen}' in result.notes[0]
        assert len(result.notes) == (1 if dtype == 'uint8' else 2)
    with pytest.raises(ValueError, match='2 bands besides alpha; choose'):
        predict_raster(Predictor(Convolution(), ONE), path, tmp_path, FLOATS)


def test_rasters_without_place_are_predicted_in_pixels(tmp_path):
    cases = (
        ({'crs': None, 'transform': None}, 'no coordinate system'),
        ({'crs': 'EPSG:4326', 'transform': Affine(1e-5, 0, 15, 0, -1e-5, 60)}, 'in degrees'),
    )
    for profile, note in cases:
        path = write(tmp_path / 'a.tif', noise(40, 60), **profile)
        result = predict_raster(Predictor(Convolution(), ONE), path, tmp_path, FLOATS)
        assert note in ' '.join(result.notes)
        with rasterio.open(result.files['probability']) as out, rasterio.open(path) as source:
            assert (out.crs, out.transform, out.shape) == (source.crs, source.transform, source.shape)


def test_a_raster_smaller_than_a_window_needs_no_larger_one(tmp_path):
    model = Convolution()
    bands = noise(7, 40)
    result = predict_raster(Predictor(model, ONE), write(tmp_path / 'a.tif', bands), tmp_path, FLOATS)
    assert [image.shape for image in model.images] == [(32, 64, 3)]
    expected = smoothed(bands.transpose(1, 2, 0)[None])[0, :1]
    np.testing.assert_allclose(read(result.files['probability'])[0], expected, atol=2e-6)
    model = Convolution()
    fixed = replace(ONE, input_size=(64, 96), batch_size=2)
    result = predict_raster(Predictor(model, fixed), tmp_path / 'a.tif', tmp_path, FLOATS)
    assert [image.shape for image in model.images] == [(64, 96, 3)] * 2
    np.testing.assert_allclose(read(result.files['probability'])[0], expected, atol=2e-6)


def test_unreadable_windows_are_listed_and_have_no_data(tmp_path):
    bands = noise(512, 512)
    path = write(tmp_path / 'a.tif', bands, tiled=True, blockxsize=128, blockysize=128)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    result = predict_raster(Predictor(Convolution(), ONE), path, tmp_path, replace(FLOATS, overlap_px=16))
    values, valid = read(result.files['probability'])
    assert valid[:229].all()  # the window of rows 138 to 233 is read, and fades from 213 to 228
    assert not valid[229:, 155:].any()
    expected = smoothed(bands.transpose(1, 2, 0)[None])[0, :1]
    np.testing.assert_allclose(values[:, :229], expected[:, :229], atol=2e-6)
    assert result.unreadable
    assert result.num_predicted + len(result.unreadable) == result.num_windows
    seen = np.zeros((512, 512), dtype=bool)
    for column, row, width, height in result.unreadable:
        seen[row : row + height, column : column + width] = True
    assert seen[~valid].all()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r'none of its windows with data could be read'):
        predict_raster(Predictor(Convolution(), ONE), path, tmp_path, FLOATS)


class Labels:
    """Labels alone: the left half of each window is 1, its right half 2."""

    def __call__(self, images):
        labels = np.ones(images.shape[:3], np.uint8)
        labels[:, :, images.shape[2] // 2 :] = 2
        return {'labels': labels}


def test_labels_alone_change_from_window_to_window_in_the_middle_of_their_overlap(tmp_path):
    path = write(tmp_path / 'a.tif', noise(64, 160))
    info = replace(THREE, output='labels')
    result = predict_raster(Predictor(Labels(), info), path, tmp_path, RasterSettings(window_px=96, overlap_px=32))
    expected = np.repeat([1, 2, 1, 2], [48, 80 - 48, 112 - 80, 160 - 112])
    assert (read(result.files['labels'])[0][0] == expected).all()
    with pytest.raises(ValueError, match=r"layers \['confidence'\].*--output probabilities"):
        predict_raster(Predictor(Labels(), info), path, tmp_path, RasterSettings(layers=('confidence',)))


def test_unfit_settings_and_images_are_refused(tmp_path):
    path = write(tmp_path / 'a.tif', noise(40, 60))
    for options, message in (
        ({'layers': ('confidence',)}, 'gives probability, labels'),
        ({'window_px': 16}, 'at least 32'),
        ({'batch_size': 0}, 'at least 32 and 1'),
        ({'overlap_px': 300}, 'half of the window'),
        ({'probability_dtype': 'int8'}, 'expected one of uint8, float32'),
        ({'bands': (1, 2, 9)}, '1 or 3 numbers from 1 to 3'),
        ({'classes': ('building',)}, "layer 'probabilities'"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_raster(Predictor(Convolution(), ONE), path, tmp_path, RasterSettings(**options))
    with pytest.raises(FileNotFoundError, match='folder'):
        predict_raster(Predictor(Convolution(), ONE), path, tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        predict_raster(Predictor(Convolution(), ONE), tmp_path / 'none.tif', tmp_path)
    (tmp_path / 'empty.tif').touch()
    with pytest.raises(ValueError, match='no image that GDAL reads'):
        predict_raster(Predictor(Convolution(), ONE), tmp_path / 'empty.tif', tmp_path)
