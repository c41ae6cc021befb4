"""Polygons that are made of strips as they are predicted equal those of the file."""

import numpy as np
import pytest
import rasterio
from scipy.ndimage import gaussian_filter, zoom

from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.prediction.rasters import polygons
from projects.deployment.prediction.rasters.prediction import predict_raster
from projects.deployment.prediction.rasters.settings import PolygonSettings, RasterSettings
from projects.deployment.predictor import Predictor
from projects.geodata.polygons.files import vectorize_raster
from projects.geodata.polygons.vectorization import VectorizationSettings
from projects.geodata.raster_files import NoDataError, UnplacedError

INFO = ModelInfo(SEGMENTATION, ('ground', 'building'), ((0, 0, 0), (9, 0, 0)), (0, 0, 0), (1, 1, 1), threshold=0.4)
SETTINGS = RasterSettings(window_px=64, overlap_px=16)
PLACE = {'crs': 'EPSG:32633', 'transform': rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}


class Brightness:
    """Bright is building; may fail at a call."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def __call__(self, images):
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError('out of memory')
        return {'probabilities': (images[..., 0] / np.float32(255))[:, None]}


def write(path, gray, **profile):
    profile |= {'count': 1, 'height': gray.shape[0], 'width': gray.shape[1], 'dtype': 'uint8'}
    with rasterio.open(path, 'w', driver='GTiff', **profile) as out:
        out.write(gray, 1)
    return path


@pytest.fixture
def image(tmp_path):
    """Blobs of all sizes, many of them across windows, and a part without data."""
    random = np.random.default_rng(0)
    blobs = zoom(gaussian_filter(random.normal(size=(75, 55)), 1.2), 4, order=1)[:290, :210]
    gray = (np.clip(0.4 + blobs, 0.01, 1) * 255).astype(np.uint8)
    gray[100:140, 30:90] = 0
    return write(tmp_path / 'a.tif', gray, nodata=0, **PLACE)


def assert_same(one, other):
    assert len(one) == len(other) > 10
    one, other = (
        frame.assign(key=frame.geometry.normalize().to_wkb()).sort_values('key').reset_index(drop=True)
        for frame in (one, other)
    )
    assert list(one.columns) == list(other.columns)
    assert (one['key'] == other['key']).all()  # byte for byte
    assert one.crs == other.crs
    np.testing.assert_allclose(one['score'], other['score'], rtol=1e-12)
    np.testing.assert_allclose(one['area_m2'], other['area_m2'], rtol=1e-12)


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize('asked', [PolygonSettings(), PolygonSettings(min_area_m2=20, regularise=True)])
def test_polygons_of_strips_are_those_of_the_written_file(image, tmp_path, monkeypatch, dtype, asked):
    for reading in ('vectorize_raster', 'read_strip'):
        monkeypatch.setattr(polygons, reading, lambda *_: pytest.fail('a file was read'))
    settings = RasterSettings(window_px=64, overlap_px=16, probability_dtype=dtype)
    result = predict_raster(Predictor(Brightness(), INFO), image, tmp_path, settings, polygons=asked)
    wanted = VectorizationSettings(0.4, asked.min_area_m2, None, asked.regularise)
    assert_same(result.polygons(), vectorize_raster(result.files['probability'], wanted, window_px=97))


@pytest.mark.parametrize('finished', [0, 1, 4])
def test_a_continued_run_has_the_polygons_of_all_strips(image, tmp_path, monkeypatch, finished):
    read, how = [], polygons.read_strip
    monkeypatch.setattr(polygons, 'read_strip', lambda path, bounds: read.append(path.name) or how(path, bounds))
    (tmp_path / 'whole').mkdir()
    asked = PolygonSettings()
    whole = predict_raster(Predictor(Brightness(), INFO), image, tmp_path / 'whole', SETTINGS, polygons=asked)
    with pytest.raises(RuntimeError, match='out of memory'):  # no polygons were asked for then
        predict_raster(Predictor(Brightness(2 * finished + 1), INFO), image, tmp_path, SETTINGS)
    result = predict_raster(Predictor(Brightness(), INFO), image, tmp_path, SETTINGS, polygons=asked, resume=True)
    assert read == [f'strip_{row:06}_probability.tif' for row in range(finished)]  # once each
    found, expected = result.polygons(), whole.polygons()
    assert_same(found, expected)
    assert (found.geometry.to_wkb() == expected.geometry.to_wkb()).all()  # in the same order
    again = predict_raster(Predictor(None, INFO), image, tmp_path, SETTINGS, polygons=asked, resume=True)
    assert_same(again.polygons(), expected)  # of the file


def test_a_raster_is_predicted_where_its_polygons_cannot_be_made(image, tmp_path, monkeypatch):
    asked, predictor = PolygonSettings(), Predictor(Brightness(), INFO)
    with rasterio.open(image) as file:
        gray = file.read(1)
    cases = (
        (write(tmp_path / 'unplaced.tif', gray), UnplacedError, r'unplaced_probability\.tif has no coordinate system'),
        (write(tmp_path / 'empty.tif', 0 * gray, nodata=0, **PLACE), NoDataError, 'has the model diverged'),
    )
    for path, kind, message in cases:
        result = predict_raster(predictor, path, tmp_path, SETTINGS, polygons=asked)
        assert result.files['probability'].exists()
        with pytest.raises(kind, match=message):
            result.polygons()
    monkeypatch.setattr(polygons.Vectorizer, 'add', lambda *_: 1 / 0)
    result = predict_raster(predictor, image, tmp_path, SETTINGS, polygons=asked)
    with pytest.raises(ZeroDivisionError):
        result.polygons()


def test_strips_of_an_earlier_version_are_not_taken_for_none(image, tmp_path):
    (tmp_path / '.a.partial').mkdir()
    (tmp_path / '.a.partial' / 'run.json').write_text('{}')
    with pytest.raises(ValueError, match=r'\.a\.partial holds strips in the form of an earlier version; finish them'):
        predict_raster(Predictor(Brightness(), INFO), image, tmp_path, SETTINGS, resume=True)
