import math

import numpy as np
import pytest

from projects.building_extraction.preparation.web_mercator import Tile, find_tiles, to_grid, to_lon_lat_deg


def lon_lat_bounds(tile):
    west, north, east, south = tile.bounds()
    (west, north), (east, south) = to_lon_lat_deg(np.array([[west, north], [east, south]]))
    return west, south, east, north


@pytest.mark.parametrize(
    ('tile', 'expected'),
    [
        (Tile(0, 0, 0), (-180, -85.0511287798066, 180, 85.0511287798066)),
        (Tile(1, 1, 0), (0, 0, 180, 85.0511287798066)),
        # published by mercantile: bounds(486, 332, 10)
        (Tile(10, 486, 332), (-9.140625, 53.120405283106564, -8.7890625, 53.33087298301705)),
        # 619212 / 2**20 * 360 - 180 = 32.58956909; so near the equator latitude is 180 * (1 - 2 y / 2**20) to 1e-5
        (Tile(20, 619212, 523272), (32.589569091796875, 0.348472, 32.589912414550781, 0.348816)),
    ],
)
def test_bounds(tile, expected):
    np.testing.assert_allclose(lon_lat_bounds(tile), expected, rtol=0, atol=2e-5 if tile.zoom == 20 else 1e-9)


def test_to_grid_inverts_to_lon_lat():
    lon_lat_deg = np.array([[-180.0, -85.0], [0.0, 0.0], [32.59, 0.3488], [179.9, 84.0]])
    np.testing.assert_allclose(to_lon_lat_deg(to_grid(lon_lat_deg)), lon_lat_deg, atol=1e-10)
    np.testing.assert_allclose(to_grid(np.array([[0.0, 0.0], [-180.0, 90.0]])), [[0.5, 0.5], [0.0, 0.0]], atol=1e-15)


def test_gsd_m():
    assert Tile(0, 0, 0).gsd_m(256) == pytest.approx(156543.03392804097)  # circumference of the equator / 256
    assert Tile(20, 619212, 523272).gsd_m(256) == pytest.approx(156543.03392804097 / 2**20, rel=3e-5)
    assert Tile(20, 619212, 523272).gsd_m(512) == Tile(20, 619212, 523272).gsd_m(256) / 2
    latitude_deg = (53.120405283106564 + 53.33087298301705) / 2
    expected = 156543.03392804097 * math.cos(math.radians(latitude_deg)) / 2**10
    assert Tile(10, 486, 332).gsd_m(256) == pytest.approx(expected, rel=1e-4)


def test_ancestor_covers_its_descendants():
    tile = Tile(21, 1238425, 1046547)
    assert tile.ancestor(20) == Tile(20, 619212, 523273)
    assert tile.ancestor(21) == tile
    assert tile.ancestor(0) == Tile(0, 0, 0)


def test_find_tiles_reads_all_layouts_and_lists_other_names(tmp_path):
    names = [
        '20-5-6.png',
        'part/20-5-7.JPG',
        '3/2/1.webp',
        'deep/er/3/2/2.tiff',
        'photo.png',
        '2-4-0.png',
        '20-5/8.png',
        'OAM-386690-220241-19.jpg',
        'part/OAM-7-9-4.png',
        'OAM-7-9-2.png',
    ]
    for name in [*names, 'notes.txt']:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    tiles, unnamed = find_tiles(tmp_path)
    oam = [Tile(4, 7, 9), Tile(19, 386690, 220241)]
    assert list(tiles) == [Tile(3, 2, 1), Tile(3, 2, 2), *oam, Tile(20, 5, 6), Tile(20, 5, 7)]
    assert tiles[Tile(20, 5, 7)] == tmp_path / 'part/20-5-7.JPG'
    others = [path.relative_to(tmp_path).as_posix() for path in unnamed]
    assert others == ['2-4-0.png', '20-5/8.png', 'OAM-7-9-2.png', 'photo.png']
    # Banepa's first tile, as GDAL's file beside it places it: 85.5190 E, 27.6343 N is its north-west corner
    corner = to_lon_lat_deg(np.array([Tile(19, 386690, 220241).bounds()[:2]]))
    assert corner[0] == pytest.approx([85.518951416015625, 27.634265475685620], abs=1e-9)


def test_find_tiles_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere does not exist'):
        find_tiles(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r'no images.*20-619212-523272\.png'):
        find_tiles(tmp_path)
    (tmp_path / 'photo.png').touch()
    with pytest.raises(ValueError, match=r'1 images with other names, such as photo\.png'):
        find_tiles(tmp_path)
    (tmp_path / '1-0-0.png').touch()
    (tmp_path / '1-0-0.jpg').touch()
    with pytest.raises(ValueError, match=r'two files for one tile.*1-0-0\.jpg.*1-0-0\.png'):
        find_tiles(tmp_path)
