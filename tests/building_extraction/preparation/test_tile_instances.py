from collections import Counter

import numpy as np
import pytest
import shapely
from PIL import Image
from pycocotools import mask as mask_api

from projects.building_extraction.preparation.tile_instances import (
    FILL_RGB,
    UnreadableTileError,
    annotate_tile,
    building_share,
    rasterize,
    read_tile,
)
from projects.building_extraction.preparation.web_mercator import Tile

TILE = Tile(20, 619212, 523272)


def in_grid(pixel_polygon, tile=TILE, size=256):
    """A polygon in a tile's pixels, placed in grid units."""
    origin = np.array([tile.x, tile.y])
    return shapely.transform(pixel_polygon, lambda pixels: (origin + pixels / size) / 2**tile.zoom)


def annotate(pixel_polygons, visible=None, tile=TILE, min_area_px=1, min_visible_share=0.5):
    visible = np.ones((256, 256), dtype=bool) if visible is None else visible
    left_out = Counter()
    annotations = annotate_tile(
        tile,
        np.array([in_grid(polygon) for polygon in pixel_polygons], dtype=object),
        np.arange(10, 10 + len(pixel_polygons)),
        visible,
        min_area_px=min_area_px,
        min_visible_share=min_visible_share,
        left_out=left_out,
    )
    return annotations, left_out


def mask_of(annotation, size=256):
    segmentation = annotation['segmentation']
    if isinstance(segmentation, list):
        segmentation = mask_api.merge(mask_api.frPyObjects(segmentation, size, size))
    return mask_api.decode(segmentation).astype(bool)


def test_square_has_the_pixels_counted_by_hand():
    (annotation,), left_out = annotate([shapely.box(20, 30, 60, 80)])
    expected = np.zeros((256, 256), dtype=bool)
    expected[30:80, 20:60] = True
    np.testing.assert_array_equal(mask_of(annotation), expected)
    assert annotation['area'] == 40 * 50
    assert annotation['bbox'] == [20, 30, 40, 50]
    assert annotation['category_id'] == 1
    assert annotation['iscrowd'] == 0
    assert annotation['feature'] == 10
    assert len(annotation['segmentation'][0]) == 8
    assert not left_out


def test_halves_on_both_sides_of_a_tile_border_sum_to_the_whole():
    roof = shapely.Polygon([(200, 40), (290, 70), (270, 130), (180, 100)])
    east = Tile(TILE.zoom, TILE.x + 1, TILE.y)
    (left,), _ = annotate([roof])
    (right,), _ = annotate([roof], tile=east)
    assert left['bbox'][0] + left['bbox'][2] == 256
    assert right['bbox'][0] == 0
    assert left['area'] + right['area'] == pytest.approx(roof.area, abs=0.5 * roof.length)  # half a pixel of outline
    assert min(left['area'], right['area']) > 1000


def test_the_same_roof_has_four_times_the_pixels_one_zoom_deeper():
    (coarse,), _ = annotate([shapely.box(10, 20, 50, 60)])
    (fine,), _ = annotate([shapely.box(10, 20, 50, 60)], tile=Tile(21, 2 * TILE.x, 2 * TILE.y))
    assert coarse['area'] == 1600
    assert fine['area'] == 6400
    assert fine['bbox'] == [20, 40, 80, 80]


def test_courtyard_is_cut_out_as_rle():
    courtyard = shapely.box(10, 10, 50, 50) - shapely.box(20, 20, 30, 40)
    (annotation,), _ = annotate([courtyard | shapely.box(100, 100, 110, 110)])
    assert isinstance(annotation['segmentation']['counts'], str)
    expected = np.zeros((256, 256), dtype=bool)
    expected[10:50, 10:50] = True
    expected[20:40, 20:30] = False
    expected[100:110, 100:110] = True
    np.testing.assert_array_equal(mask_of(annotation), expected)
    assert annotation['area'] == 1600 - 200 + 100
    assert annotation['bbox'] == [10, 10, 100, 100]


def test_an_island_in_a_courtyard_stays():
    ring = shapely.box(10, 10, 50, 50) - shapely.box(20, 20, 40, 40)
    segmentation, rle = rasterize(shapely.MultiPolygon([ring, shapely.box(25, 25, 35, 35)]), 64, 64)
    assert mask_api.area(rle) == 1600 - 400 + 100
    assert segmentation['size'] == [64, 64]


def test_multipolygon_and_a_shape_cut_into_parts_are_one_instance_with_several_rings():
    two = shapely.box(10, 10, 20, 20) | shapely.box(40, 10, 50, 20)
    prongs = shapely.box(-20, 100, 0, 150) | shapely.box(-5, 100, 30, 110) | shapely.box(-5, 140, 30, 150)
    (first, second), _ = annotate([two, prongs])
    assert [len(ring) for ring in first['segmentation']] == [8, 8]
    assert first['area'] == 200
    assert len(second['segmentation']) == 2
    assert second['area'] == 600
    assert second['bbox'] == [0, 100, 30, 50]


def test_slivers_are_left_out_and_counted_and_touching_is_nothing():
    annotations, left_out = annotate(
        [shapely.box(-50, 0, 1, 10), shapely.box(-50, 0, 2, 10), shapely.box(-50, 0, 0, 10)], min_area_px=16
    )
    assert [annotation['area'] for annotation in annotations] == [20]
    assert left_out == {'smaller than 16 px': 1}


def test_transparent_parts():
    visible = np.zeros((256, 256), dtype=bool)
    visible[:, :100] = True
    mostly, exactly, hardly, hidden = (shapely.box(x, 10, x + 10, 20) for x in (94, 95, 96, 150))
    annotations, left_out = annotate([mostly, exactly, hardly, hidden], visible)
    assert [annotation['iscrowd'] for annotation in annotations] == [0, 0, 1]
    assert [annotation['area'] for annotation in annotations] == [100, 100, 100]  # the outline stays whole
    assert left_out == {'wholly transparent': 1}
    # columns 94-99 of rows 10-19 are building, of 256 x 100 visible pixels
    assert building_share(annotations, visible) == pytest.approx(60 / 25600)
    assert building_share([], visible) == 0


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_transparency_of_every_kind_becomes_the_fill_color(tmp_path):
    pixels = np.full((8, 8, 4), (200, 100, 50, 255), dtype=np.uint8)
    pixels[:, 5:, 3] = 0
    rgba = Image.fromarray(pixels)
    palette = Image.new('P', (8, 8), 0)
    palette.putpalette([200, 100, 50, 1, 2, 3])
    palette.paste(1, (5, 0, 8, 8))
    keyed = rgba.convert('RGB')
    keyed.paste((9, 9, 9), (5, 0, 8, 8))
    paths = [
        save(rgba, tmp_path / 'a.png'),
        save(rgba, tmp_path / 'a.tif'),
        save(rgba, tmp_path / 'a.webp', lossless=True),
        save(palette, tmp_path / 'palette.png', transparency=1),
        save(keyed, tmp_path / 'keyed.png', transparency=(9, 9, 9)),
    ]
    for path in paths:
        rgb, visible = read_tile(path)
        assert rgb.mode == 'RGB'
        assert visible.tolist() == [[True] * 5 + [False] * 3] * 8, path
        assert np.unique(np.asarray(rgb)[:, :5].reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]], path
        assert np.unique(np.asarray(rgb)[:, 5:].reshape(-1, 3), axis=0).tolist() == [list(FILL_RGB)], path


def test_opaque_images_of_any_8_bit_mode(tmp_path):
    for mode in ('L', 'RGB', 'CMYK'):
        path = save(Image.new('RGB', (8, 8), (90, 90, 90)).convert(mode), tmp_path / f'{mode}.jpg')
        rgb, visible = read_tile(path)
        assert visible.all()
        assert abs(np.asarray(rgb).astype(int) - 90).max() <= 3


def test_unreadable_images_say_why(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    truncated = save(Image.fromarray(noise), tmp_path / 'truncated.jpg')
    truncated.write_bytes(truncated.read_bytes()[:1500])
    text = tmp_path / 'text.png'
    text.write_text('no image')
    for path, message in [
        (truncated, 'truncated'),
        (text, 'cannot identify image file'),
        (save(Image.new('RGB', (8, 9)), tmp_path / 'oblong.png'), '8x9 pixels; a tile is square'),
        (save(Image.new('I;16', (8, 8)), tmp_path / 'deep.png'), r'pixel format I;16; expected 8 bits'),
    ]:
        with pytest.raises(UnreadableTileError, match=message):
            read_tile(path)
