import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from projects.geodata.raster_files import open_band, open_raster
from tests.geodata.test_raster_files import noise, read_all, write

SIDE = 64
PLACE = {'north_up': {}, 'resampled': {'gsd_m': 1.0}}


def flagged(path, uses):
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = [getattr(ColorInterp, use) for use in uses]
    return path


@pytest.mark.parametrize('options', PLACE.values(), ids=PLACE)
def test_opacity_counts_wherever_it_is_and_by_its_own_maximum(tmp_path, options):
    expected = np.ones((SIDE, SIDE), bool)
    expected[:, : SIDE // 2] = False
    uses = ['red', 'green', 'blue', 'undefined', 'alpha']
    full_values = {'uint8': (255, 100, 1), 'uint16': (65535, 4095, 255), 'f4': (1,)}
    for kind, full in ((kind, full) for kind, values in full_values.items() for full in values):
        bands = noise(5, SIDE, SIDE).astype(kind)
        bands[4] = np.where(expected, full, 0)
        path = flagged(write(tmp_path / 'a.tif', bands, photometric='minisblack'), uses)
        with open_raster(path, **options) as raster:
            _, valid = raster.read(0, 0, *raster.size_px)
            assert '50.0% of the sampled pixels have no data' in raster.notes
        step = SIDE // len(valid)
        np.testing.assert_array_equal(valid[2:-2, 2:-2], expected[::step, ::step][2:-2, 2:-2], err_msg=f'{kind} {full}')


@pytest.mark.parametrize('options', PLACE.values(), ids=PLACE)
def test_near_infrared_is_not_opacity(tmp_path, options):
    infrared = np.full((SIDE, SIDE), 150, np.uint8)
    infrared[:20] = 70  # a third of the pixels, darker than half of 255
    many = noise(1, SIDE, SIDE, high=256)[0]
    for band in (infrared, np.where(infrared == 70, 70, 255).astype(np.uint8), many):
        bands = np.concatenate([noise(3, SIDE, SIDE), band[None]])
        path = write(tmp_path / 'a.tif', bands, photometric='rgb', alpha='yes')
        with open_raster(path, **options) as raster:
            rgb, valid = raster.read(0, 0, *raster.size_px)
            assert any('band 4 is called alpha, but holds values of a picture' in note for note in raster.notes)
        assert valid[2:-2, 2:-2].all()
        if not options:
            np.testing.assert_array_equal(rgb, bands[:3].transpose(1, 2, 0))
    untagged = write(tmp_path / 'b.tif', bands, photometric='minisblack')
    assert read_all(untagged, **options)[1][2:-2, 2:-2].all()


@pytest.mark.parametrize('options', PLACE.values(), ids=PLACE)
@pytest.mark.parametrize('fill', [0, 255])
def test_an_opacity_that_is_not_called_so_counts_where_it_covers_nothing_but_fill(tmp_path, options, fill):
    seen = np.ones((SIDE, SIDE), bool)
    seen[:, : SIDE // 2] = False
    bands = np.concatenate([noise(3, SIDE, SIDE), np.where(seen, 255, 0).astype(np.uint8)[None]])
    bands[:3, ~seen] = fill
    path = write(tmp_path / 'a.tif', bands, photometric='minisblack')
    with open_raster(path, **options) as raster:
        _, valid = raster.read(0, 0, *raster.size_px)
        assert sum('band 4 holds 0' in note and 'taken for opacity' in note for note in raster.notes) == 1
    step = SIDE // len(valid)
    np.testing.assert_array_equal(valid[2:-2, 2:-2], seen[::step, ::step][2:-2, 2:-2])


def test_a_mask_of_objects_as_a_fourth_band_hides_nothing(tmp_path):
    objects = np.zeros((SIDE, SIDE), np.uint8)
    objects[10:20, 10:20] = 255
    dark = noise(3, SIDE, SIDE)
    dark[:, objects == 0] //= 16
    black, blank = np.zeros_like(dark), np.zeros_like(objects)
    for picture, band in ((noise(3, SIDE, SIDE), objects), (dark, objects), (black, objects), (dark, blank)):
        path = write(tmp_path / 'a.tif', np.concatenate([picture, band[None]]), photometric='minisblack')
        assert read_all(path)[1].all()


def test_soft_edges_of_an_opacity_are_opaque_from_half_on(tmp_path):
    bands = np.concatenate([noise(3, SIDE, SIDE), np.full((1, SIDE, SIDE), 255, np.uint8)])
    bands[3, :10], bands[3, 10], bands[3, 11] = 0, 100, 200
    _, valid = read_all(write(tmp_path / 'a.tif', bands, photometric='rgb', alpha='yes'))
    assert not valid[:11].any()
    assert valid[11:].all()


UNDECLARED = {
    'float -9999': ('f4', -9999, (0.3, 0.8)),
    'lowest float': ('f4', np.finfo('f4').min, (0.3, 0.8)),
    'NaN': ('f4', np.nan, (0.3, 0.8)),
    'infinite': ('f4', np.inf, (0.3, 0.8)),
    'float 1e20': ('f8', 1e20, (0, 3000)),
    'float -1': ('f4', -1, (0.3, 0.8)),
    'int16 -32768': ('i2', -32768, (10, 3000)),
    'int16 -9999': ('i2', -9999, (10, 3000)),
    'int16 32767': ('i2', 32767, (10, 3000)),
    'uint16 65535': ('u2', 65535, (300, 4000)),
    'uint16 65535 near bright': ('u2', 65535, (300, 50000)),
    'uint16 0': ('u2', 0, (5000, 6000)),
}


@pytest.mark.parametrize('options', PLACE.values(), ids=PLACE)
@pytest.mark.parametrize(('kind', 'value', 'limits'), UNDECLARED.values(), ids=UNDECLARED)
def test_undeclared_no_data_is_noticed_and_does_not_blacken_the_rest(tmp_path, kind, value, limits, options):
    bands = np.random.default_rng(0).uniform(*limits, (3, SIDE, SIDE)).astype(kind)
    low, high = np.percentile(bands[..., SIDE // 4 :], (2, 98))
    bands[..., : SIDE // 4] = value
    path = write(tmp_path / 'a.tif', bands)
    with open_raster(path, **options) as raster:
        rgb, valid = raster.read(0, 0, *raster.size_px)
        assert raster.limits == pytest.approx((low, high), rel=1e-5)
        assert '25.0% of the sampled pixels have no data' in raster.notes
    edge = len(valid) // 4
    assert not valid[2:-2, : edge - 1].any()
    assert valid[2:-2, edge + 1 : -2].all()
    assert rgb[2:-2, edge + 1 : -2].std() > 20


def test_pictures_that_hold_no_undeclared_value_keep_all_their_pixels(tmp_path):
    checked = np.indices((SIDE, SIDE)).sum(0)[None] // 8 % 2
    dark = np.random.default_rng(0).gamma(1, 300, (3, SIDE, SIDE))
    saturated = np.random.default_rng(0).gamma(1, 20000, (3, SIDE, SIDE)).clip(0, 65535)
    for bands in (
        (checked * 65535).astype('u2'),
        (checked * 3000).astype('u2'),
        (checked * 0.7).astype('f4'),
        dark.astype('u2'),
        saturated.astype('u2'),
        (dark - 300).astype('i2'),
        np.random.default_rng(0).normal(0, 1, (3, SIDE, SIDE)).astype('f4'),
    ):
        path = write(tmp_path / 'a.tif', bands)
        assert read_all(path)[1].all()
        with open_raster(path) as raster:
            assert not any('no data' in note for note in raster.notes)


@pytest.mark.parametrize('kind', ['uint8', 'uint16', 'float32'])
def test_a_black_frame_is_said_and_kept(tmp_path, kind):
    bands = noise(3, SIDE, SIDE, kind)
    bands[..., :20] = 0
    with open_raster(write(tmp_path / 'a.tif', bands)) as raster:
        assert raster.read(0, 0, SIDE, SIDE)[1].all()
        assert any('gdal_edit.py -a_nodata 0' in note for note in raster.notes)


def test_no_data_that_one_band_alone_declares_counts(tmp_path):
    bands = noise(3, SIDE, SIDE, 'uint16', 3000)
    bands[:, :20] = 9
    path = write(tmp_path / 'b.tif', bands)
    xml = ''.join(
        f'<VRTRasterBand dataType="UInt16" band="{n}">{"<NoDataValue>9</NoDataValue>" if n == 3 else ""}<SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>{n}</SourceBand></SimpleSource>'
        '</VRTRasterBand>'
        for n in (1, 2, 3)
    )
    vrt = tmp_path / 'a.vrt'
    vrt.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32633</SRS>'
        f'<GeoTransform>500000,0.5,0,5000000,0,-0.5</GeoTransform>{xml}</VRTDataset>'
    )
    _, valid = read_all(vrt)
    assert not valid[:20].any()
    assert valid[20:].mean() > 0.99


def test_a_no_data_value_beyond_the_type_hides_nothing(tmp_path):
    path = write(tmp_path / 'a.tif', noise(3, SIDE, SIDE))
    for value in (-9999, 'nan'):
        vrt = tmp_path / 'a.vrt'
        rasterio.shutil.copy(path, vrt, driver='VRT')
        text = vrt.read_text().replace('<ColorInterp>', f'<NoDataValue>{value}</NoDataValue><ColorInterp>')
        vrt.write_text(text)
        assert read_all(vrt)[1].all()


def test_a_mask_holds_after_resampling(tmp_path):
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:, :32] = 0
    for kind in ('uint8', 'uint16', 'float32'):
        _, valid = read_all(write(tmp_path / 'a.tif', noise(3, SIDE, SIDE, kind), mask=mask), gsd_m=1.0)
        assert not valid[2:-2, :15].any()
        assert valid[2:-2, 17:-2].all()


def test_a_band_is_read_with_the_opacity_beside_it(tmp_path):
    bands = np.concatenate([noise(1, SIDE, SIDE, 'uint16', 4000), np.full((1, SIDE, SIDE), 4095, 'uint16')])
    bands[1, :5] = 0
    path = flagged(write(tmp_path / 'a.tif', bands), ['gray', 'alpha'])
    with open_band(path) as raster:
        _, values, valid = raster.read_values(0, 0, SIDE, SIDE)
    np.testing.assert_array_equal(values[0], bands[0])
    assert not valid[:5].any()
    assert valid[5:].all()
