import base64
import io

import numpy as np
import pytest
from PIL import Image

from projects.reporting.tile_pyramids import TILE_PX, build_pyramid, halved


def decoded(pyramid, level):
    """A level put together of its tiles; what is in none is transparent."""
    tiles = {name: tile for name, tile in pyramid.tiles.items() if name.startswith(f'{level}/')}
    places = [tuple(map(int, name.split('/')[1:])) for name in tiles]
    result = np.zeros(
        ((max(y for _, y in places) + 1) * TILE_PX, (max(x for x, _ in places) + 1) * TILE_PX, 4), np.uint8
    )
    for (x, y), tile in zip(places, tiles.values(), strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(tile))).convert('RGBA')
        assert picture.size == (TILE_PX, TILE_PX)
        result[y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX] = picture
    return result


@pytest.fixture
def smooth():
    """1100 x 700 pixels that tell where they are; the upper left corner is transparent."""
    rgba = np.zeros((700, 1100, 4), np.uint8)
    rgba[..., 0] = np.linspace(0, 250, 1100)
    rgba[..., 1] = np.linspace(0, 250, 700)[:, None]
    rgba[..., 2:] = 100, 255
    rgba[:200, :300] = 0
    return rgba


def test_tiles_put_together_are_the_picture_at_each_level(smooth):
    pyramid = build_pyramid(smooth, 3, 1e9)
    assert (pyramid.finest, pyramid.coarsest) == (3, 5)
    for level, expected in ((3, smooth), (4, smooth[::2, ::2]), (5, smooth[::4, ::4])):
        height, width = expected.shape[:2]
        found = decoded(pyramid, level)
        assert not found[height:, :, 3].any()
        inside = found[8:height, 8:width].astype(int)
        seen = (inside[..., 3] == 255) & (expected[8:, 8:, 3] == 255)
        assert seen.mean() > 0.9
        assert (
            np.abs(inside - expected[8:, 8:])[seen].max() < 40
        )  # beside the hole; WebP loses little of what is smooth
        assert np.abs(inside - expected[8:, 8:])[seen].mean() < 2
        assert not found[: 190 >> level - 3, : 290 >> level - 3, 3].any()


def test_a_pyramid_keeps_its_size_by_quality_first_then_by_leaving_out_fine_levels():
    noise = np.random.default_rng(0).integers(0, 255, (700, 1100, 4)).astype(np.uint8)
    noise[..., 3] = 255
    whole = build_pyramid(noise, 0, 1e9)
    assert whole.size_bytes == sum(map(len, whole.tiles.values()))
    worse = build_pyramid(noise, 0, whole.size_bytes - 1)
    assert (worse.finest, worse.coarsest) == (0, 2)
    assert worse.size_bytes < whole.size_bytes
    coarser = {name: tile for name, tile in whole.tiles.items() if not name.startswith('0/')}
    assert coarser.items() <= worse.tiles.items()  # these are as good as before
    smaller = build_pyramid(noise, 0, 1.2 * sum(map(len, coarser.values())))
    assert (smaller.finest, smaller.tiles) == (1, coarser)
    assert build_pyramid(noise, 0, 0).finest == 2  # something is always shown


def test_tiles_of_which_nothing_is_seen_are_left_out():
    rgba = np.zeros((TILE_PX, 3 * TILE_PX, 4), np.uint8)
    rgba[:, -5:] = 255
    pyramid = build_pyramid(rgba, 0, 1e9)
    assert sorted(pyramid.tiles) == ['0/2/0', '1/1/0', '2/0/0']
    assert build_pyramid(np.zeros((9, 9, 4), np.uint8), 0, 1e9).tiles == {}


def test_half_a_picture_is_the_mean_of_what_is_seen_of_it():
    rgba = np.zeros((3, 2, 4), np.uint8)
    rgba[0] = (200, 100, 0, 255), (9, 9, 9, 0)  # what is transparent has no colour
    rgba[1] = (100, 100, 0, 255), (9, 9, 9, 0)
    rgba[2] = (50, 60, 70, 255), (60, 60, 70, 255)
    assert halved(rgba).tolist() == [[[150, 100, 0, 128]], [[55, 60, 70, 255]]]
    odd = np.full((2049, 3, 4), 255, np.uint8)
    odd[:, 2, :3] = 40
    result = halved(odd)
    assert result.shape == (1025, 2, 4)
    assert (result[:, 0] == 255).all()
    assert (result[:, 1] == (40, 40, 40, 255)).all()
