import cv2
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio import Affine

from projects.geodata.raster_files import UnreadableWindowError, open_raster, rasterize, write_geotiff

UTM = 'EPSG:32633'
PLACE = Affine(0.5, 0, 500000, 0, -0.5, 5_000_000)


def write(path, bands, crs=UTM, transform=PLACE, mask=None, **profile):
    count, height, width = bands.shape
    profile = {'dtype': bands.dtype, 'crs': crs, 'transform': transform} | profile
    with rasterio.open(path, 'w', driver='GTiff', count=count, height=height, width=width, **profile) as out:
        out.write(bands)
        if mask is not None:
            out.write_mask(mask)
    return path


def noise(count, height=40, width=60, dtype='uint8', high=255):
    return np.random.default_rng(0).integers(1, high, (count, height, width)).astype(dtype)


def read_all(path, **options):
    with open_raster(path, **options) as raster:
        return raster.read(0, 0, *raster.size_px)


def test_bands_become_red_green_and_blue(tmp_path):
    for count, chosen in ((1, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])):
        bands = noise(count)
        rgb, valid = read_all(write(tmp_path / 'a.tif', bands))
        np.testing.assert_array_equal(rgb, bands[chosen].transpose(1, 2, 0))
        assert valid.all()
    rgb, _ = read_all(tmp_path / 'a.tif', bands=(5, 4, 2))
    np.testing.assert_array_equal(rgb, bands[[4, 3, 1]].transpose(1, 2, 0))


def test_bands_that_the_file_names_are_red_green_and_blue(tmp_path):
    bands = noise(4)
    path = write(tmp_path / 'a.tif', bands, photometric='minisblack')
    uses = rasterio.enums.ColorInterp
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = [uses.blue, uses.green, uses.red, uses.undefined]
    np.testing.assert_array_equal(read_all(path)[0], bands[[2, 1, 0]].transpose(1, 2, 0))


def test_a_window_beyond_the_image_is_filled_and_without_data(tmp_path):
    bands = noise(3)
    with open_raster(write(tmp_path / 'a.tif', bands)) as raster:
        rgb, valid = raster.read(50, -4, 20, 10)
        assert raster.gsd_m() == pytest.approx(0.5, rel=1e-3)
        assert raster.window_transform(50, -4) @ (0, 0) == (500025, 5_000_002)
        assert not raster.read(100, 100, 5, 5)[1].any()
    np.testing.assert_array_equal(valid, np.pad(np.ones((6, 10), bool), ((4, 0), (0, 10))))
    np.testing.assert_array_equal(rgb[4:, :10], bands[:, :6, 50:].transpose(1, 2, 0))
    assert not rgb[~valid].any()


def test_alpha_mask_and_no_data_value_say_where_there_is_data(tmp_path):
    bands = noise(3)
    expected = np.ones((40, 60), dtype=bool)
    expected[:10, :20] = False
    alpha = np.where(expected, 255, 0).astype(np.uint8)
    with_alpha = write(tmp_path / 'alpha.tif', np.concatenate([bands, alpha[None]]), photometric='rgb', alpha='yes')
    with_mask = write(tmp_path / 'mask.tif', bands, mask=alpha)
    with_value = write(tmp_path / 'value.tif', bands * (alpha > 0), nodata=0)
    for path in (with_alpha, with_mask, with_value):
        rgb, valid = read_all(path)
        np.testing.assert_array_equal(valid, expected)
        np.testing.assert_array_equal(rgb, (bands * expected).transpose(1, 2, 0))


def test_sixteen_bits_are_scaled_by_percentiles_of_pixels_with_data(tmp_path):
    ramp = np.linspace(1000, 3000, 40 * 60).astype('uint16').reshape(1, 40, 60)
    ramp[0, :, :5] = 65535
    rgb, valid = read_all(write(tmp_path / 'a.tif', ramp, nodata=65535))
    low, high = np.percentile(ramp[:, valid], (2, 98))
    expected = ((ramp[0].astype(float) - low) / (high - low)).clip(0, 1) * 255
    np.testing.assert_allclose(rgb[..., 0][valid], expected[valid], atol=1)
    assert not valid[:, :5].any()
    floats = np.where(ramp == 65535, np.nan, ramp / 1000).astype('float32')
    rgb_of_floats, valid_of_floats = read_all(write(tmp_path / 'b.tif', floats))
    np.testing.assert_array_equal(valid_of_floats, valid)
    np.testing.assert_allclose(rgb_of_floats.astype(int), rgb, atol=1)


def test_an_image_in_degrees_is_resampled_to_meters(tmp_path):
    bands = np.repeat(np.repeat(noise(3, 8, 8), 16, axis=1), 16, axis=2)
    degrees = Affine(1e-5, 0, 15.0, 0, -1e-5, 60.0)
    with open_raster(write(tmp_path / 'a.tif', bands, 'EPSG:4326', degrees)) as raster:
        assert raster.crs == UTM
        assert raster.transform.a == -raster.transform.e
        width, height = raster.size_px
        assert width / height == pytest.approx(np.cos(np.radians(60)), abs=0.03)
        x, y = rasterio.warp.transform('EPSG:4326', UTM, [15.0 + 72e-5], [60.0 - 24e-5])
        column, row = (~raster.transform) @ (x[0], y[0])
        rgb, valid = raster.read(int(column), int(row), 1, 1)
    assert valid.all()
    np.testing.assert_allclose(rgb[0, 0].astype(int), bands[:, 24, 72], atol=1)


def test_an_image_is_resampled_to_the_ground_sample_distance_asked_for(tmp_path):
    path = write(tmp_path / 'a.tif', np.full((3, 80, 80), 90, np.uint8), 'EPSG:3857', Affine(1, 0, 0, 0, -1, 8399738))
    with open_raster(path, gsd_m=1.0) as raster:
        assert raster.gsd_m() == pytest.approx(1.0, rel=1e-3)
        assert raster.size_px == (40, 40)
        assert (raster.read(0, 0, 40, 40)[0] == 90).all()
    alpha = np.full((4, 80, 80), 255, np.uint8)
    alpha[3, :40] = 0
    path = write(tmp_path / 'b.tif', alpha, photometric='rgb', alpha='yes')
    _, valid = read_all(path, gsd_m=1.0)
    assert not valid[:19].any()
    assert valid[21:39, 1:39].all()


def test_unfit_images_are_refused_with_the_remedy(tmp_path):
    rotated = Affine(0.5, 0.1, 500000, 0.1, -0.5, 5_000_000)
    with (
        pytest.raises(ValueError, match=r'not north-up.*gdalwarp'),
        open_raster(write(tmp_path / 'a.tif', noise(3), transform=rotated)),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r'no coordinate system.*gdal_translate -a_srs'),
        open_raster(write(tmp_path / 'b.tif', noise(3), crs=None)),
    ):
        pass
    with pytest.raises(ValueError, match='2 bands'), open_raster(write(tmp_path / 'c.tif', noise(2))):
        pass
    with (
        pytest.raises(ValueError, match='1 or 3 numbers from 1 to 3'),
        open_raster(write(tmp_path / 'd.tif', noise(3)), bands=(1, 2, 9)),
    ):
        pass
    with pytest.raises(FileNotFoundError, match='does not exist'), open_raster(tmp_path / 'e.tif'):
        pass
    (tmp_path / 'f.tif').write_text('no image')
    with pytest.raises(ValueError, match='no image that GDAL reads'), open_raster(tmp_path / 'f.tif'):
        pass


def test_any_image_is_taken_as_it_is_stored_where_that_is_asked_for(tmp_path):
    rotated = Affine(0.5, 0.1, 500000, 0.1, -0.5, 5_000_000)
    degrees = Affine(1e-5, 0, 15, 0, -1e-5, 60)
    for profile, note in (
        ({'transform': rotated}, 'not north-up'),
        ({'crs': None}, 'no coordinate system'),
        ({'crs': 'EPSG:4326', 'transform': degrees}, 'in degrees'),
    ):
        bands = noise(3)
        with open_raster(write(tmp_path / 'a.tif', bands, **profile), as_stored=True) as raster:
            assert raster.size_px == (60, 40)
            assert note in raster.notes[1]
            np.testing.assert_array_equal(raster.read(0, 0, 60, 40)[0], bands.transpose(1, 2, 0))
    with open_raster(write(tmp_path / 'a.tif', noise(3)), as_stored=True) as raster:
        assert len(raster.notes) == 1
    with pytest.raises(ValueError, match='not as_stored'), open_raster(tmp_path / 'a.tif', gsd_m=1, as_stored=True):
        pass
    empty = write(tmp_path / 'b.tif', np.zeros((3, 40, 60), np.uint16), nodata=0)
    with open_raster(empty, as_stored=True) as raster:
        assert raster.limits == (0, 65535)
        assert 'no sampled pixel has data' in raster.notes[1]
        assert not raster.read(0, 0, 60, 40)[1].any()
    with pytest.raises(ValueError, match='no pixel with data'), open_raster(empty):
        pass


def test_the_end_of_a_truncated_file_is_unreadable_and_its_beginning_is_not(tmp_path):
    path = write(tmp_path / 'a.tif', noise(3, 512, 512), tiled=True, blockxsize=128, blockysize=128)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_raster(path) as raster:
        assert raster.read(0, 0, 128, 128)[1].all()
        with pytest.raises(UnreadableWindowError):
            raster.read(384, 384, 128, 128)


def test_a_pixel_belongs_to_the_last_polygon_that_holds_its_center():
    shapes = np.array([shapely.box(0, -4, 2.4, 0), shapely.box(1.6, -2.6, 4, -1)])
    painted = rasterize(shapes, np.array([1, 2]), (4, 4), (1, 0, 0, 0, -1, 0), np.int32)
    assert painted.tolist() == [[1, 1, 0, 0], [1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 0, 0]]


def test_a_written_geotiff_is_read_by_every_reader(tmp_path):
    heights_m = np.array([[0, 1.5, np.nan]] * 2, dtype=np.float32)
    write_geotiff(tmp_path / 'h.tif', heights_m, PLACE, UTM)
    with rasterio.open(tmp_path / 'h.tif') as source:
        assert source.crs == UTM
        assert source.transform == PLACE
        np.testing.assert_array_equal(source.read(1), heights_m)
    write_geotiff(tmp_path / 'plain.tif', heights_m)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'plain.tif')), heights_m)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'plain.tif'), cv2.IMREAD_UNCHANGED), heights_m)
    rgb = noise(3).transpose(1, 2, 0)
    write_geotiff(tmp_path / 'rgb.tif', rgb, tuple(PLACE)[:6], UTM)
    np.testing.assert_array_equal(read_all(tmp_path / 'rgb.tif')[0], rgb)
    assert not list(tmp_path.glob('.*'))
    with pytest.raises(ValueError, match=r'ends in \.tif'):
        write_geotiff(tmp_path / 'a.png', rgb)


def test_what_would_become_too_large_is_not_resampled(tmp_path):
    write_geotiff(tmp_path / 'a.tif', np.zeros((8, 8), np.uint8), (1000, 0, 500000, 0, -1000, 4000000), 'EPSG:32633')
    with (
        pytest.raises(ValueError, match=r'8\d{6} x 8\d{6} px at 0\.001 m'),
        open_raster(tmp_path / 'a.tif', gsd_m=0.001),
    ):
        pass
