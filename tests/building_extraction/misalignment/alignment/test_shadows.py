"""Heights from shadows, on pictures of which everything is known."""

import numpy as np
import pytest
import shapely

from projects.building_extraction.misalignment.alignment.aligned_labels import CONTRADICTION, _seen_heights
from projects.building_extraction.misalignment.alignment.shadows import shadow_heights, shadow_per_m
from projects.geodata.polygonal import translate
from projects.geodata.raster_writing import rasterize

SIDE_PX = 300
HEIGHTS_M = np.array([4.0, 9.0, 20.0, 33.0])
FOOTPRINTS_M = shapely.box(*np.array([(10, 20, 22, 32), (40, 15, 60, 35), (10, 70, 30, 95), (60, 70, 80, 90)], float).T)


def picture(per_m, lean_per_m, gsd_m, footprints=FOOTPRINTS_M, heights_m=HEIGHTS_M, shade=0.5, seed=0):
    """Ground of two materials, shadows and bright roofs; metres are right and down. Returns it and the roofs (px)."""
    swept = [
        shapely.union_all([
            shapely.convex_hull(shapely.union(translate(np.array([one]), (h * per_m)[None])[0], one))
            for one, h in zip(footprints, heights_m, strict=True)
        ])
    ]  # fmt: skip
    roofs = translate(footprints, heights_m[:, None] * lean_per_m)
    paint = lambda shapes: rasterize(  # noqa: E731
        np.array(shapes), np.ones(len(shapes), np.uint8), (SIDE_PX, SIDE_PX), (gsd_m, 0, 0, 0, gsd_m, 0), np.uint8
    )
    ground = np.full((SIDE_PX, SIDE_PX), 130.0)
    ground[:, SIDE_PX // 2 :] = 110
    ground *= np.where(paint(swept), shade, 1)
    ground[paint(roofs) > 0] = 200
    noisy = ground + np.random.default_rng(seed).normal(0, 4, ground.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), shapely.transform(roofs, lambda xy: xy / gsd_m)


def heights(per_m, lean_per_m, gsd_m, **picture_options):
    image, roofs_px = picture(per_m, lean_per_m, gsd_m, **picture_options)
    moved_px = (per_m - lean_per_m) / gsd_m
    return shadow_heights(image, np.ones(image.shape, bool), roofs_px, moved_px, gsd_m, 40.0)


def test_shadows_fall_away_from_the_sun():
    np.testing.assert_allclose(shadow_per_m(45, 180), (0, 1), atol=1e-12)  # at noon in the northern hemisphere
    np.testing.assert_allclose(shadow_per_m(np.degrees(np.arctan(0.5)), 90), (-2, 0), atol=1e-12)


@pytest.mark.parametrize('gsd_m', [0.4, 0.5])
@pytest.mark.parametrize('lean_per_m', [(0.0, 0.0), (-0.3, 0.2)], ids=['nadir', 'off nadir'])
def test_heights_are_read_where_shadows_end(gsd_m, lean_per_m):
    found = heights(np.array([0.8, 0.3]), np.array(lean_per_m), gsd_m)
    np.testing.assert_allclose(found.heights_m, HEIGHTS_M, atol=2 * gsd_m)
    assert (np.abs(found.heights_m - HEIGHTS_M) <= 2 * found.deviations_m).all()


def test_nothing_is_read_without_shadows():
    assert np.isnan(heights(np.array([0.8, 0.3]), np.zeros(2), 0.4, shade=1.0).heights_m).all()


def test_nothing_is_read_where_the_view_looks_along_the_shadows():
    found = heights(np.array([0.5, 0.2]), np.array([0.4, 0.1]), 0.4)
    assert np.isnan(found.heights_m).all()


def test_a_building_whose_shadow_falls_on_the_next_one_is_left_out():
    beside = np.append(FOOTPRINTS_M, shapely.box(80, 70, 100, 90))  # wall to wall with the last one
    found = heights(np.array([0.8, 0.0]), np.zeros(2), 0.4, footprints=beside, heights_m=np.append(HEIGHTS_M, 6.0))
    assert np.isnan(found.heights_m[3])
    assert np.isfinite(found.heights_m[:3]).all()


def test_no_buildings_no_heights():
    none = shadow_heights(np.zeros((9, 9), np.uint8), np.ones((9, 9), bool), FOOTPRINTS_M[:0], np.ones(2), 0.5, 40.0)
    assert len(none.heights_m) == 0


def test_leans_and_shadows_are_weighted_by_their_variances():
    nan = np.nan
    found_m, deviations_m, sources = _seen_heights(
        np.array([10.0, nan, 8.0, 10.0, nan]),
        np.array([1.0, nan, 2.0, 1.0, nan]),
        np.array([13.0, 7.0, nan, 20.0, nan]),
        np.array([2.0, 0.5, nan, 1.0, nan]),
    )
    np.testing.assert_allclose(found_m, [10.6, 7.0, 8.0, nan, nan])  # (10 / 1 + 13 / 4) / (1 + 1 / 4)
    np.testing.assert_allclose(deviations_m[:3], [(1 + 1 / 4) ** -0.5, 0.5, 2.0])
    assert sources.tolist() == ['lean and shadow', 'shadow', 'lean', CONTRADICTION, '']
