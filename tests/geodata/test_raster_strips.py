import resource
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from projects.geodata.raster_strips import RasterGrid, RasterLayer, create_strip, join_strips

PLACE = Affine(0.5, 0, 500000, 0, -0.5, 5_000_000)


@pytest.mark.parametrize('has_mask', [True, False])
def test_strips_of_any_height_become_one_raster(tmp_path, has_mask):
    layer = RasterLayer('float32', ('a', 'b'))
    values = np.random.default_rng(0).random((2, 700, 600)).astype(np.float32)
    valid = np.ones((700, 600), dtype=bool)
    if has_mask:
        valid[300:520] = False
        valid[:100, 50:60] = False
    values[:, ~valid] = 0
    rows = [0, 10, 300, 520, 700]
    strips = []
    for number, (top, bottom) in enumerate(pairwise(rows)):
        path = tmp_path / f'{number}.tif'
        if valid[top:bottom].any():
            with create_strip(path, layer, 600, bottom - top) as strip:
                for left, right in ((0, 250), (250, 600)):
                    place = np.s_[top:bottom, left:right]
                    strip.write(left, 0, values[:, place[0], place[1]], valid[place])
        strips.append((top, path if path.exists() else None))
    written = []
    grid = RasterGrid(600, 700, 'EPSG:32633', PLACE)
    join_strips(tmp_path / 'all.tif', layer, grid, strips, has_mask, {'KEY': 'value'}, written.append)
    with rasterio.open(tmp_path / 'all.tif') as out:
        np.testing.assert_array_equal(out.read(), values)
        np.testing.assert_array_equal(out.dataset_mask() > 0, valid)
        assert (out.descriptions, out.tags()['KEY']) == (('a', 'b'), 'value')
        assert (out.crs, out.transform) == ('EPSG:32633', PLACE)
        assert out.overviews(2) == [2, 4]
    assert sum(written) == 700


def test_overviews_of_labels_hold_labels(tmp_path):
    layer = RasterLayer('uint8', ('class',), 'mode', ((0, 0, 0), (255, 0, 0)))
    labels = np.zeros((1, 600, 600), dtype=np.uint8)
    labels[0, :, 3:] = 200  # of every second pair of columns three quarters or all
    with create_strip(tmp_path / 'a.tif', layer, 600, 600) as strip:
        strip.write(0, 0, labels, np.ones((600, 600), dtype=bool))
    join_strips(
        tmp_path / 'b.tif', layer, RasterGrid(600, 600), [(0, tmp_path / 'a.tif')], False, {}, lambda rows: None
    )
    with rasterio.open(tmp_path / 'b.tif', overview_level=0) as half:
        assert set(np.unique(half.read(1))) <= {0, 200}
        assert half.colormap(1)[1] == (255, 0, 0, 255)


@pytest.mark.parametrize('size_px', [200, 600])  # without and with overviews, which are written last
def test_what_does_not_fit_on_the_disk_is_not_called_written(tmp_path, size_px):
    layer, grid = RasterLayer('float32', ('a',)), RasterGrid(size_px, size_px)
    values = np.random.default_rng(0).random((1, size_px, size_px)).astype(np.float32)
    with create_strip(tmp_path / 'a.tif', layer, size_px, size_px) as strip:
        strip.write(0, 0, values, np.ones((size_px, size_px), dtype=bool))

    def join(name):
        join_strips(tmp_path / name, layer, grid, [(0, tmp_path / 'a.tif')], True, {}, lambda rows: None)

    join('whole.tif')
    whole = (tmp_path / 'whole.tif').stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for share in (0.3, 0.7, 0.9, 0.99):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * whole), limits[1]))  # as full a disk as tests may have
        try:
            with pytest.raises(OSError, match='disk full'):
                join(f'{share}.tif')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize('num_bands', [1, 5])
def test_what_is_written_lies_where_the_image_does_and_is_a_cloud_optimised_geotiff(tmp_path, num_bands):
    cogeo = pytest.importorskip('rio_cogeo', reason="needs the extra 'dev'")
    layer, values = RasterLayer('uint16', tuple('abcde'[:num_bands])), np.zeros((num_bands, 520, 700), np.uint16)
    values += np.arange(num_bands, dtype=np.uint16)[:, None, None] + 7
    with create_strip(tmp_path / 'a.tif', layer, 700, 520) as strip:
        strip.write(0, 0, values, np.eye(520, 700) > 0)
    points = [rasterio.control.GroundControlPoint(y, x, x + 500_000, y) for y, x in ((0, 0), (0, 9), (9, 3))]
    for name, place in {'grid': {'transform': PLACE}, 'points': {'gcps': points}}.items():
        path = tmp_path / f'{name}.tif'
        grid = RasterGrid(700, 520, 'EPSG:32633', **place)
        join_strips(path, layer, grid, [(0, tmp_path / 'a.tif')], True, {}, lambda rows: None)
        if num_bands == 1:
            assert cogeo.cog_validate(path, strict=True, quiet=True) == (True, [], [])
        with rasterio.open(path) as out:
            assert out.tags(ns='IMAGE_STRUCTURE').get('LAYOUT') == ('COG' if num_bands == 1 else None)
            assert num_bands == 1 or out.interleaving.name == 'band'
            np.testing.assert_array_equal(out.read(), values)
            np.testing.assert_array_equal(out.dataset_mask() > 0, np.eye(520, 700) > 0)
            assert out.overviews(1)
            assert out.transform == PLACE or [point.x for point in out.gcps[0]] == [500_000, 500_009, 500_003]
    assert {path.name for path in tmp_path.iterdir()} == {'a.tif', 'grid.tif', 'points.tif'}
