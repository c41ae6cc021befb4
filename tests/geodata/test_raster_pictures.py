import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from pyproj import Transformer

from projects.geodata import raster_pictures
from projects.geodata.raster_files import open_raster
from projects.geodata.raster_pictures import PLACES, place_of, read_layer, read_picture, to_pixels
from projects.geodata.raster_strips import RasterGrid, RasterLayer, create_strip, join_strips

UTM = {'crs': 'EPSG:32633', 'transform': rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}


def write(path, bands, **profile):
    count, height, width = bands.shape
    profile = {'driver': 'GTiff', 'count': count, 'height': height, 'width': width, 'dtype': bands.dtype, **profile}
    with rasterio.open(path, 'w', **profile) as out:
        out.write(bands)


def picture(path, level, **options):
    with open_raster(path, as_stored=True, **options) as raster:
        return read_picture(raster, level)


@pytest.fixture
def random_bands():
    return np.random.default_rng(0).integers(1, 255, (3, 90, 130)).astype(np.uint8)


def means(bands, factor):
    padded = np.pad(bands.astype(float), ((0, 0), (0, -bands.shape[1] % factor), (0, -bands.shape[2] % factor)), 'edge')
    blocks = padded.reshape(3, padded.shape[1] // factor, factor, padded.shape[2] // factor, factor)
    return blocks.mean(axis=(2, 4)).transpose(1, 2, 0)


def test_a_picture_is_the_raster_or_the_means_of_its_blocks(tmp_path, random_bands, monkeypatch):
    monkeypatch.setattr(raster_pictures, 'WINDOW_PX', 32)  # several windows, the last of which are cut
    write(tmp_path / 'a.tif', random_bands, **UTM)
    whole, unreadable = picture(tmp_path / 'a.tif', 0)
    assert unreadable == 0
    assert (whole == np.dstack([*random_bands, np.full((90, 130), 255)])).all()
    for level in (1, 2, 3):
        factor = 2**level
        found, _ = picture(tmp_path / 'a.tif', level)
        assert found.shape == (-(-90 // factor), -(-130 // factor), 4)
        inside = np.s_[: 90 // factor, : 130 // factor]
        assert np.abs(found[inside][..., :3] - means(random_bands, factor)[inside]).max() <= 1
        assert (found[inside][..., 3] == 255).all()
        assert found[..., 3].min() > 0


def test_overviews_of_the_file_are_read_where_there_are_some(tmp_path, random_bands):
    write(tmp_path / 'a.tif', random_bands, tiled=True, blockxsize=64, blockysize=64, **UTM)
    with rasterio.open(tmp_path / 'a.tif', 'r+') as out:
        out.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    with rasterio.open(tmp_path / 'a.tif', overview_level=1) as reduced:
        stored = reduced.read().transpose(1, 2, 0)
    assert (picture(tmp_path / 'a.tif', 2)[0][..., :3] == stored).all()
    assert picture(tmp_path / 'a.tif', 3)[0].shape == (12, 17, 4)
    assert (
        np.abs(picture(tmp_path / 'a.tif', 3)[0][:11, :16, :3] - means(stored.transpose(2, 0, 1), 2)[:11, :16]).max()
        <= 1
    )


def test_what_has_no_data_is_transparent_and_colours_nothing_beside_it(tmp_path, random_bands):
    random_bands[:, :, :65] = 0
    write(tmp_path / 'a.tif', random_bands, nodata=0, **UTM)
    for level in (0, 1):
        found, _ = picture(tmp_path / 'a.tif', level)
        edge = 65 >> level
        assert not found[:, :edge, 3].any()
        assert (found[: 90 >> level, edge + 1 :, 3] == 255).all()
    half, _ = picture(tmp_path / 'a.tif', 1)
    expected = random_bands[:, 0:2, 65].mean(axis=1)  # column 64 of the block has no data
    assert half[0, 32, 3] == pytest.approx(128, abs=1)
    assert half[0, 32, :3] == pytest.approx(expected, abs=2)


def test_one_band_of_16_bits_is_stretched_as_everywhere(tmp_path):
    ramp = np.linspace(0, 4000, 100 * 80).reshape(1, 80, 100).astype(np.uint16)
    write(tmp_path / 'a.tif', ramp)
    found, _ = picture(tmp_path / 'a.tif', 0)
    low, high = np.percentile(ramp, (2, 98))
    expected = ((ramp[0] - low) / (high - low)).clip(0, 1) * 255
    assert (found[..., 0] == found[..., 2]).all()
    assert np.abs(found[..., 0] - expected).max() <= 1


def test_windows_that_cannot_be_read_are_counted_and_transparent(tmp_path, random_bands, monkeypatch):
    big = np.tile(random_bands, (1, 8, 8))
    write(tmp_path / 'a.tif', big, tiled=True, blockxsize=256, blockysize=256, compress='deflate', **UTM)
    content = bytearray((tmp_path / 'a.tif').read_bytes())
    content[len(content) * 3 // 4 :] = bytes(len(content) - len(content) * 3 // 4)
    (tmp_path / 'a.tif').write_bytes(content)
    monkeypatch.setattr(raster_pictures, 'WINDOW_PX', 256)
    found, unreadable = picture(tmp_path / 'a.tif', 0)
    assert 0 < unreadable < 15
    assert 0.1 < (found[..., 3] == 0).mean() < 0.5
    assert (found[:256, :256, :3] == big[:, :256, :256].transpose(1, 2, 0)).all()


def test_layers_of_predictions_are_read_by_their_overviews(tmp_path):
    layer = RasterLayer('uint8', ('probability',))
    values = np.random.default_rng(0).integers(0, 255, (1, 600, 700)).astype(np.uint8)
    valid = np.ones((600, 700), bool)
    valid[:, :300] = False
    with create_strip(tmp_path / 'strip.tif', layer, 700, 600) as strip:
        strip.write(0, 0, values, valid)
    join_strips(
        tmp_path / 'a.tif', layer, RasterGrid(700, 600), [(0, tmp_path / 'strip.tif')], True, {}, lambda _: None
    )
    found, has_data = read_layer(tmp_path / 'a.tif', 0)
    assert (found[valid] == values[0][valid]).all()
    assert (has_data == valid).all()
    found, has_data = read_layer(tmp_path / 'a.tif', 1)
    assert found.shape == has_data.shape == (300, 350)
    assert (has_data == valid[::2, ::2]).all()
    blocks = values[0].reshape(300, 2, 350, 2).mean(axis=(1, 3))
    assert np.abs(found[has_data] - blocks[has_data]).max() <= 1


def interpolated(degrees, column, row, size):
    """As the page does it."""
    u, v = column / size[0] * (PLACES - 1), row / size[1] * (PLACES - 1)
    j, i = min(int(u), PLACES - 2), min(int(v), PLACES - 2)
    u, v = u - j, v - i
    upper = (1 - u) * degrees[i, j] + u * degrees[i, j + 1]
    return (1 - v) * upper + v * ((1 - u) * degrees[i + 1, j] + u * degrees[i + 1, j + 1])


def test_longitude_and_latitude_between_known_places_are_right_to_half_a_pixel(tmp_path):
    transform = rasterio.Affine(0.3, 0, 650_000, 0, -0.3, 6_300_000)
    path, size = tmp_path / 'a.vrt', (30_000, 30_000)
    write(tmp_path / 'a.tif', np.full((1, 30, 30), 7, np.uint8), crs='EPSG:32633', transform=transform)
    with (
        rasterio.open(tmp_path / 'a.tif') as small,
        rasterio.vrt.WarpedVRT(small, crs='EPSG:32633', transform=transform, width=size[0], height=size[1]) as large,
    ):
        rasterio.shutil.copy(large, path, driver='VRT')
    with open_raster(path, as_stored=True) as raster:
        place = place_of(raster)
    assert place.crs == 'EPSG:32633'
    assert place.meters_per_px == pytest.approx(0.3, rel=1e-3)
    to_meters = Transformer.from_crs('EPSG:4326', 'EPSG:32633', always_xy=True)
    for column, row in np.random.default_rng(0).uniform(0, 30_000, (200, 2)):
        x, y = to_meters.transform(*interpolated(place.degrees, column, row, size))
        assert (x, y) == pytest.approx(transform @ (column, row), abs=0.15)


@pytest.mark.parametrize(
    ('profile', 'crs', 'scale', 'has_degrees', 'is_geographic'),
    [
        ({'crs': 'EPSG:3857', 'transform': rasterio.Affine(1, 0, 0, 0, -1, 8399737.9)}, 'EPSG:3857', 0.5, True, False),
        ({'crs': 'EPSG:4326', 'transform': rasterio.Affine(1e-5, 0, 15, 0, -1e-5, 0)}, 'EPSG:4326', 1.11, True, True),
        ({'crs': 'EPSG:32633', 'transform': rasterio.Affine(0, 2, 5e5, 2, 0, 5e6)}, 'EPSG:32633', 2.0, True, False),
        ({'transform': rasterio.Affine(2, 0, 7, 0, -2, 9)}, '', None, False, False),
    ],
)
def test_where_a_raster_lies(tmp_path, profile, crs, scale, has_degrees, is_geographic):
    write(tmp_path / 'a.tif', np.full((1, 40, 60), 9, np.uint8), **profile)
    with open_raster(tmp_path / 'a.tif', as_stored=True) as raster:
        place = place_of(raster)
    assert (place.crs, place.is_geographic) == (crs, is_geographic)
    assert place.transform == tuple(profile['transform'][:6])
    assert place.meters_per_px == (scale if scale is None else pytest.approx(scale, rel=0.01))
    assert (place.degrees is not None) == has_degrees


def test_a_raster_that_says_nothing_has_no_place(tmp_path):
    write(tmp_path / 'a.tif', np.full((1, 40, 60), 9, np.uint8))
    with open_raster(tmp_path / 'a.tif', as_stored=True) as raster:
        assert place_of(raster) is None


def test_polygons_come_into_pixels_by_any_transform():
    for transform in (rasterio.Affine(0.5, 0, 100, 0, -0.5, 200), rasterio.Affine(0, 2, 10, 3, 0, 20)):
        square = shapely.box(1, 2, 5, 9)
        a, b, c, d, e, f = transform[:6]
        placed = shapely.transform(
            square, lambda xy, t=(a, b, c, d, e, f): xy @ [[t[0], t[3]], [t[1], t[4]]] + [t[2], t[5]]
        )
        assert shapely.equals_exact(to_pixels(np.array([placed]), transform)[0], square, 1e-9)
