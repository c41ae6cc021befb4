"""Where images lie: control points, local systems, noise in the rotation, the antimeridian, the poles."""

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from projects.geodata.raster_files import UnplacedError, open_raster
from projects.geodata.raster_strips import RasterGrid, RasterLayer, join_strips
from tests.geodata.test_raster_files import PLACE, UTM, noise, read_all, write

LOCAL = 'LOCAL_CS["Site (m)",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
LOCAL_FEET = LOCAL.replace('"metre",1', '"foot",0.3048')
POINTS = [
    GroundControlPoint(row, column, 500_000 + column / 2, 5_000_000 - row / 2) for row in (0, 40) for column in (0, 60)
]
COEFFICIENTS = RPC(
    height_off=0, height_scale=100, lat_off=45, lat_scale=0.1, long_off=15, long_scale=0.1, line_off=20, line_scale=20,
    samp_off=30, samp_scale=30, line_num_coeff=[0, 0, -1] + [0] * 17, line_den_coeff=[1] + [0] * 19,
    samp_num_coeff=[0, 1] + [0] * 18, samp_den_coeff=[1] + [0] * 19, err_bias=None, err_rand=None,
)  # fmt: skip


def test_noise_in_the_rotation_is_none(tmp_path):
    bands = noise(3)
    for turn, fits in ((1e-12, True), (5e-4, True), (2e-3, False)):  # over 60 pixels of 0.5 m: 0.06 and 0.24 pixels
        path = write(tmp_path / 'a.tif', bands, transform=Affine(0.5, turn, 500000, -turn, -0.5, 5_000_000))
        if not fits:
            with pytest.raises(UnplacedError, match=r'not north-up.*gdalwarp'), open_raster(path):
                pass
            continue
        with open_raster(path) as raster:
            assert raster.transform == PLACE
            np.testing.assert_array_equal(raster.read(0, 0, 60, 40)[0], bands.transpose(1, 2, 0))
        with open_raster(path, as_stored=True) as raster:
            assert len(raster.notes) == 1


@pytest.mark.parametrize(
    ('placed', 'remedy'),
    [({'gcps': POINTS, 'crs': UTM}, 'gdalwarp -r'), ({'rpcs': COEFFICIENTS, 'crs': None}, 'gdalwarp -rpc -t_srs')],
    ids=['control points', 'RPC'],
)
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_control_points_and_coefficients_name_their_remedy_and_are_kept(tmp_path, placed, remedy):
    path = write(tmp_path / 'a.tif', noise(3), **{'transform': None} | placed)
    with pytest.raises(UnplacedError, match=rf'a\.tif is placed by .* alone; resample it first: {remedy}'):
        open_raster(path).__enter__()
    with open_raster(path, as_stored=True) as raster:
        assert remedy in raster.notes[1]
        grid = RasterGrid.of(raster.dataset)
    join_strips(tmp_path / 'b.tif', RasterLayer('uint8', ('x',)), grid, [(0, None)], False, {}, lambda rows: None)
    with rasterio.open(path) as before, rasterio.open(tmp_path / 'b.tif') as after:
        assert after.rpcs == before.rpcs
        assert after.gcps[1] == before.gcps[1]
        kept = [[(p.row, p.col, p.x, p.y) for p in one.gcps[0]] for one in (before, after)]
    assert kept[0] == kept[1]
    assert bool(kept[0]) == ('gcps' in placed)


def test_a_local_system_is_measured_in_its_units(tmp_path):
    for crs, gsd_m in ((LOCAL, 0.5), (LOCAL_FEET, 0.1524)):
        bands = noise(3)
        path = write(tmp_path / 'a.tif', bands, crs, Affine(0.5, 0, 1000, 0, -0.5, 2000))
        for options in ({}, {'as_stored': True}):
            with open_raster(path, **options) as raster:
                assert raster.gsd_m() == pytest.approx(gsd_m)
                np.testing.assert_array_equal(raster.read(0, 0, 60, 40)[0], bands.transpose(1, 2, 0))
        with open_raster(path, gsd_m=2 * gsd_m) as raster:
            assert raster.size_px == (30, 20)
            assert raster.gsd_m() == pytest.approx(2 * gsd_m)


@pytest.mark.parametrize('west', [179.9995, 359.9995 - 180, 190.0, -179.9, 359.0])
def test_longitudes_beyond_180_and_across_the_antimeridian(tmp_path, west):
    bands = np.repeat(np.repeat(noise(3, 8, 8), 16, axis=1), 16, axis=2)
    path = write(tmp_path / 'a.tif', bands, 'EPSG:4326', Affine(1e-5, 0, west, 0, -1e-5, 60.0))
    with open_raster(path) as raster:
        assert max(raster.size_px) < 200
        to_map = Transformer.from_crs('EPSG:4326', raster.crs, always_xy=True)
        column, row = (~raster.transform) @ to_map.transform(west + 72e-5, 60.0 - 24e-5)
        rgb, valid = raster.read(int(column), int(row), 1, 1)
    assert valid.all()
    np.testing.assert_allclose(rgb[0, 0].astype(int), bands[:, 24, 72], atol=1)


@pytest.mark.parametrize('latitude', [82.0, 86.0, -85.0])
def test_degrees_near_the_poles_become_meters(tmp_path, latitude):
    bands = np.full((3, 64, 64), 90, np.uint8)
    path = write(tmp_path / 'a.tif', bands, 'EPSG:4326', Affine(1e-5, 0, 15.0, 0, -1e-5, latitude))
    with open_raster(path, gsd_m=0.5) as raster:
        assert raster.gsd_m() == pytest.approx(0.5, rel=2e-3)
        rgb, valid = raster.read(0, 0, *raster.size_px)
    area_m2 = valid.sum() * 0.25
    side_m = 64e-5 * 111_700  # of latitude near a pole
    assert area_m2 == pytest.approx(side_m**2 * np.cos(np.radians(latitude)), rel=0.05)
    assert (rgb[valid] == 90).all()


def test_bands_of_several_types_are_scaled_each(tmp_path):
    red, rest = noise(1), noise(2, dtype='uint16', high=3000)
    files = [write(tmp_path / 'r.tif', red), write(tmp_path / 'gb.tif', rest)]
    sources = [('Byte', files[0], 1), ('UInt16', files[1], 1), ('UInt16', files[1], 2)]
    bands = ''.join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource><SourceFilename relativeToVRT="1">{path.name}'
        f'</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>'
        for n, (kind, path, band) in enumerate(sources, 1)
    )
    (tmp_path / 'a.vrt').write_text(
        '<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:32633</SRS><GeoTransform>500000,0.5,0,5000000,0,-0.5'
        f'</GeoTransform>{bands}</VRTDataset>'
    )
    rgb, valid = read_all(tmp_path / 'a.vrt')
    assert valid.all()
    for n, band in enumerate((*red, *rest)):
        low, high = np.percentile(band, (2, 98))
        np.testing.assert_allclose(rgb[..., n], ((band - low) / (high - low)).clip(0, 1) * 255, atol=0.6)
    with open_raster(tmp_path / 'a.vrt', gsd_m=1.0) as raster:
        assert 'band 1 (uint8)' in ' '.join(raster.notes)
        assert raster.read(2, 2, 20, 10)[0].std(axis=(0, 1)).min() > 20
