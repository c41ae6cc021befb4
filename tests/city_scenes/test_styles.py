"""Looks of regions: what they change, and that they change nothing else."""

import hashlib

import numpy as np
import pytest
import shapely

from projects.city_scenes.camera import Camera
from projects.city_scenes.domains import Domain
from projects.city_scenes.procedural_city import procedural_city
from projects.city_scenes.render import render_tile
from projects.city_scenes.styles import STYLES, Style, style
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View


@pytest.fixture(scope='module')
def city():
    return procedural_city(600, 3)


def tile(city, look=None, gsd_m=0.15):
    return render_tile(city, (300.0, 300.0), (160, 160), View(gsd_m, 5, 70), Sun(40, 30), 4, look)


def test_scenes_of_a_seed_stay_what_they_were_before_there_were_styles(city):
    digest = hashlib.sha256()
    for corner in ((100.0, 400.0), (300.0, 300.0)):
        for gsd_m, angle in ((0.5, 25), (0.15, 5)):
            digest.update(render_tile(city, corner, (160, 160), View(gsd_m, angle, 70), Sun(40, 30), 4).image.tobytes())
    assert digest.hexdigest()[:16] == '5d70c2da8408852e'


@pytest.mark.parametrize('name', STYLES)
def test_a_style_changes_the_picture_and_no_label(city, name):
    plain, styled = tile(city), tile(city, style(name))
    assert np.array_equal(plain.image, styled.image) == (name == 'plain')
    for part in ('roof_ids', 'facade_ids', 'footprint_ids', 'height_map_m'):
        assert np.array_equal(getattr(plain, part), getattr(styled, part))


def test_bare_ground_is_warmer_than_asphalt_and_has_no_lines(city):
    perfect = Camera(blur_px=0, noise=0, haze=0, variation=0)
    ground = tile(city).height_map_m == 0
    paved, bare = (
        tile(city, Style(camera=perfect, ground=STYLES[name].ground, markings=STYLES[name].markings)).image[ground]
        for name in ('plain', 'unpaved')
    )
    warmth = [float(np.median(pixels[:, 0].astype(int) - pixels[:, 2])) for pixels in (paved, bare)]
    assert warmth[1] > warmth[0] + 10
    assert (bare.min(axis=1) > 180).mean() < (paved.min(axis=1) > 180).mean() / 2


def test_a_file_that_was_compressed_differs_little_and_keeps_its_colours():
    gradient = np.stack([np.tile(np.linspace(low, 200, 64, dtype=np.float32), (64, 1)) for low in (180, 90, 20)])
    plain, pressed = (
        Camera(blur_px=0, noise=0, haze=0, variation=0, jpeg_quality=quality).expose(gradient, 0).astype(int)
        for quality in (None, 60)
    )
    difference = np.abs(plain - pressed)
    assert 0 < difference.mean() < 4
    assert pressed[5, 5, 0] > pressed[5, 5, 1] > pressed[5, 5, 2]


def test_an_unknown_style_is_refused_before_anything_is_rendered():
    with pytest.raises(ValueError, match="style is 'gothic'; expected one of plain, drone, unpaved, dense"):
        Domain(3, style='gothic')


def test_a_dense_quarter_is_low_and_full():
    dense = procedural_city(400, 1, 'dense')
    assert np.quantile(dense.buildings.heights_m, 0.95) < 20
    built = shapely.union_all(dense.buildings.polygons).area / 400**2
    assert 0.35 < built < 0.75
    assert np.median(shapely.area(dense.structure_outlines)) < 120
    with pytest.raises(ValueError, match="pattern is 'sparse'; expected 'districts' or 'dense'"):
        procedural_city(400, 1, 'sparse')
