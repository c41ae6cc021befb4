import numpy as np
import pytest

from projects.geodata.polygons.files import vectorize_raster
from projects.geodata.polygons.vectorization import VectorizationSettings
from projects.geodata.raster_files import open_band, rasterio, write_geotiff
from projects.geodata.raster_values import BYTE_SCALE, SCALE_TAG, value_meaning

UTM, PLACE = 'EPSG:32633', (0.5, 0, 500_000, 0, -0.5, 5_000_000)  # a pixel is 0.25 m²
NAN = np.nan


def write(path, values, dtype, *, nodata=None, tags=None, scale=None, offset=None):
    write_geotiff(path, np.array([values], dtype), PLACE, UTM, nodata)
    with rasterio.open(path, 'r+') as file:
        file.update_tags(**(tags or {}))
        if scale is not None:
            file.scales, file.offsets = (scale,), (offset or 0,)
    return path


def probabilities(path, said=None):
    with open_band(path) as raster:
        meaning = value_meaning(raster, path, said)
        _, values, valid = raster.read_values(0, 0, *raster.size_px)
        return meaning.probabilities(values[0], valid)[0].tolist()


def assert_values(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'uint16', 'float32'])
@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ([0, 1, 1], [0, 1, 1]),
        ([0, 255, 0], [0, 1, 0]),
        ([0, 1, 255], [0, 1, NAN]),
        ([1, 255], [1, NAN]),
        ([0, 0], [0, 0]),
    ],
)
def test_masks_are_known_by_all_of_their_values(tmp_path, dtype, values, expected):
    path = write(tmp_path / 'mask.tif', values, dtype)
    assert_values(probabilities(path), expected)
    assert_values(probabilities(path, 'mask'), expected)


def test_what_counts_as_a_mask_are_the_pixels_with_data(tmp_path):
    assert_values(probabilities(write(tmp_path / 'a.tif', [0, 255, 255], 'uint8', nodata=0)), [NAN, 1, 1])
    assert_values(probabilities(write(tmp_path / 'b.tif', [0, 1, 255], 'uint8', nodata=255)), [0, 1, NAN])
    assert_values(probabilities(write(tmp_path / 'c.tif', [7, 1, 0], 'uint8', nodata=7)), [NAN, 1, 0])


def test_buildings_that_a_mask_declares_to_be_no_data_are_asked_for(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('projects.geodata.raster_values.print_log', lambda text, *_: said.append(text))
    assert_values(probabilities(write(tmp_path / 'a.tif', [0, 255, 0], 'uint8', nodata=255)), [0, NAN, 0])
    assert 'besides 0 there is 255 alone, which it declares to mean no data' in said[0]
    for values in ([0, 0, 0], [0, 1, 255]):
        probabilities(write(tmp_path / 'b.tif', values, 'uint8', nodata=255))
    assert len(said) == 1


def test_a_mask_is_known_by_all_of_its_windows(tmp_path, monkeypatch):
    monkeypatch.setattr('projects.geodata.raster_values.WINDOW_PX', 2)
    path = write(tmp_path / 'mask.tif', [0, 255, 255, 0, 0, 1], 'uint8')
    assert_values(probabilities(path), [0, NAN, NAN, 0, 0, 1])
    with pytest.raises(ValueError, match='holds 0, 2 '):
        probabilities(write(tmp_path / 'classes.tif', [0, 0, 0, 0, 0, 2], 'uint8'))


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32'])
@pytest.mark.parametrize('values', [[0, 90], [0, 1, 100], [0, 128, 255], [0, 1, 2, 3], [0, 100], [0, 37]])
def test_whole_numbers_that_may_mean_several_things_are_refused_until_somebody_says(tmp_path, dtype, values):
    path = write(tmp_path / 'a.tif', values, dtype)
    with pytest.raises(ValueError, match=r'a\.tif holds .*--values: percent .* byte .* mask .*--instances') as error:
        probabilities(path)
    assert '\n' not in str(error.value)
    assert_values(probabilities(path, 'byte'), np.divide(values, 255))
    if max(values) <= 100:
        assert_values(probabilities(path, 'percent'), np.divide(values, 100))
    with pytest.raises(ValueError, match=r'a\.tif is no mask'):
        probabilities(path, 'mask')
    with pytest.raises(ValueError, match='expected 0 to 1'):
        probabilities(path, 'probability')


def test_what_exceeds_a_scale_is_refused(tmp_path):
    cases = ('uint8', [0, 101], 'percent'), ('int16', [0, 256], 'byte'), ('int16', [-1, 9], 'byte')
    for dtype, values, said in cases:
        with pytest.raises(ValueError, match=f'its values mean {said}: expected 0 to'):
            probabilities(write(tmp_path / 'a.tif', values, dtype), said)
    for values in ([0.5, 40.0], [0.2, -9999.0], [-3.5, 2.5]):
        with pytest.raises(ValueError, match='sigmoid'):
            probabilities(write(tmp_path / 'a.tif', values, 'float32'))


def test_fractions_are_probabilities_and_what_resampling_adds_is_cut_off(tmp_path):
    path = write(tmp_path / 'a.tif', [0.25, 1.0004, -0.0002, NAN, 1.0], 'float32')
    assert_values(probabilities(path), [0.25, 1, 0, NAN, 1])


def test_the_tag_that_predictions_carry_is_read_and_what_the_user_says_goes_before_it(tmp_path):
    path = write(tmp_path / 'sea.tif', [0, 1, 1], 'uint8', tags={SCALE_TAG: BYTE_SCALE})
    assert_values(probabilities(path), [0, 1 / 255, 1 / 255])
    assert_values(probabilities(path, 'mask'), [0, 1, 1])
    with pytest.raises(ValueError, match=r"SKYLINE_SCALE='10000 means 1'.*--values"):
        probabilities(write(tmp_path / 'new.tif', [0, 1], 'uint8', tags={SCALE_TAG: '10000 means 1'}))


def test_the_scale_and_offset_of_gdal_are_applied(tmp_path):
    path = write(tmp_path / 'a.tif', [0, 1, 40], 'int16', scale=0.02, offset=0.1)
    assert_values(probabilities(path), [0.1, 0.12, 0.9])
    assert_values(probabilities(write(tmp_path / 'b.tif', [0, 180], 'uint8', scale=0.5), 'percent'), [0, 0.9])


def test_an_unknown_meaning_is_refused(tmp_path):
    with pytest.raises(ValueError, match='expected one of probability, percent, byte, mask'):
        probabilities(write(tmp_path / 'a.tif', [0, 1], 'uint8'), 'logits')


def test_ignored_pixels_and_the_probability_of_1_of_255_become_no_polygon(tmp_path):
    mask = np.zeros((8, 12), np.uint8)
    mask[1:3, 1:5], mask[4:8, 6:12] = 1, 255
    write_geotiff(tmp_path / 'mask.tif', mask, PLACE, UTM)
    assert vectorize_raster(tmp_path / 'mask.tif', VectorizationSettings()).area.tolist() == [2]
    sea = np.minimum(mask, 1)
    write_geotiff(tmp_path / 'sea.tif', sea, PLACE, UTM)
    assert len(vectorize_raster(tmp_path / 'sea.tif', VectorizationSettings())) == 2
    with rasterio.open(tmp_path / 'sea.tif', 'r+') as file:
        file.update_tags(**{SCALE_TAG: BYTE_SCALE})
    assert len(vectorize_raster(tmp_path / 'sea.tif', VectorizationSettings())) == 0
