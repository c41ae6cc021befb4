from dataclasses import replace

import numpy as np
import pytest
import shapely
from shapely import box

from projects.sample_data.objects import KINDS, Layer
from projects.sample_data.scenes import (
    MIN_VISIBLE,
    Scene,
    SceneObject,
    aerial_background,
    compose,
    grain,
    paint,
    street_background,
)

STREET = {name: kind for name, kind in KINDS.items() if not kind.aerial}
AERIAL = {'building': KINDS['building']}


@pytest.mark.parametrize('kinds', [STREET, AERIAL])
@pytest.mark.parametrize('size', [(160, 160), (120, 260)])
def test_visible_parts(kinds, size):
    overlaps = left_out = 0
    for seed in range(20):
        scene = compose(np.random.default_rng(seed), size, kinds, num_objects=5, with_crowd=seed % 4 == 0)
        assert len(scene.objects) == len(scene.visible)
        left_out += 5 + (seed % 4 == 0) - len(scene.objects)
        frame = box(0, 0, size[1], size[0])
        for k, (scene_object, visible) in enumerate(zip(scene.objects, scene.visible, strict=True)):
            above = shapely.union_all([other.whole for other in scene.objects[k + 1 :]])
            expected = (scene_object.whole & frame) - above
            assert visible.symmetric_difference(expected).area < 1e-6
            assert visible.area >= MIN_VISIBLE * scene_object.whole.area
            assert not any(part.interiors for part in shapely.get_parts(visible))
            overlaps += scene_object.whole.intersects(above)
    assert (overlaps > 10) if kinds is STREET else (overlaps == 0)
    assert left_out == 0 if kinds is STREET else left_out < 10  # of 100: buildings need room


def test_sizes_and_kinds_vary():
    scenes = [compose(np.random.default_rng(seed), (160, 160), STREET, num_objects=4) for seed in range(30)]
    objects = [scene_object for scene in scenes for scene_object in scene.objects]
    counts = [sum(o.class_name == name for o in objects) for name in STREET]
    assert sum(counts) == 120
    assert min(counts) > 25
    areas = np.array([o.whole.area for o in objects])
    assert 0.1 < np.mean(areas < 40**2) < 0.9


def flat_scene(*shapes_and_colors):
    objects = [
        SceneObject('box', [Layer(shape, np.full(3, float(color)), opacity=opacity)], shape)
        for shape, color, opacity in shapes_and_colors
    ]
    return Scene((8, 10), np.array([1.0, 0.0]), objects, [o.whole for o in objects])


def test_paint_places_pixels():
    picture = paint(flat_scene((box(2, 1, 5, 7), 100, 1)), np.zeros((8, 10, 3)))
    expected = np.zeros((8, 10))
    expected[1:7, 2:5] = 100
    np.testing.assert_allclose(picture[..., 0], expected, atol=0.01)


def test_paint_blends_by_covered_share():
    picture = paint(flat_scene((box(2.25, 1, 4.5, 7), 100, 1)), np.zeros((8, 10, 3)))
    np.testing.assert_allclose(picture[3, 1:6, 0], [0, 75, 100, 50, 0], atol=8)


def test_paint_order_and_opacity():
    lower, upper, veil = (box(0, 0, 6, 8), 100, 1), (box(4, 0, 8, 8), 200, 1), (box(0, 0, 10, 4), 0, 0.5)
    picture = paint(flat_scene(lower, upper, veil), np.full((8, 10, 3), 40.0))
    np.testing.assert_allclose(picture[6, :, 1], [100] * 4 + [200] * 4 + [40] * 2, atol=0.01)
    np.testing.assert_allclose(picture[1, :, 1], [50] * 4 + [100] * 4 + [20] * 2, atol=0.01)


def test_paint_is_unbiased():
    disc = shapely.Point(30.3, 31.7).buffer(20)
    scene = Scene((64, 64), np.array([1.0, 0.0]), [SceneObject('disc', [Layer(disc, np.ones(3))], disc)], [disc])
    cover = paint(scene, np.zeros((64, 64, 3)))[..., 0]
    assert cover.sum() == pytest.approx(disc.area, rel=0.002)
    centers = np.arange(64) + 0.5
    assert (cover @ centers).sum() / cover.sum() == pytest.approx(30.3, abs=0.02)
    assert (cover.T @ centers).sum() / cover.sum() == pytest.approx(31.7, abs=0.02)


def test_shade_brightens_towards_the_light():
    shape = box(1, 1, 9, 7)
    layer = Layer(shape, np.full(3, 100.0), shade=0.5)
    scene = replace(flat_scene((shape, 0, 1)), objects=[SceneObject('box', [layer], shape)])
    row = paint(scene, np.zeros((8, 10, 3)))[4, 1:9, 0]
    np.testing.assert_allclose(row, 100 + 50 * (np.arange(8) - 3.5) / 4, atol=0.1)  # light comes from the right


@pytest.mark.parametrize('background', [street_background, aerial_background])
def test_backgrounds_are_textured_and_vary(background):
    scene = compose(np.random.default_rng(0), (96, 140), AERIAL, num_objects=2)
    pictures = [background(np.random.default_rng(seed), scene) for seed in range(6)]
    assert all(picture.shape == (96, 140, 3) and picture.std() > 8 for picture in pictures)
    assert np.std([picture.mean() for picture in pictures]) > 5
    assert grain(np.random.default_rng(0), (96, 140)).std() > 1
