"""What is claimed of displaced labels is true, has its interval, and is not claimed where it cannot be told."""

import cv2
import numpy as np
import pytest
import shapely
from shapely import affinity

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.misalignment.fit import fit_trend
from projects.building_extraction.misalignment.lean import Trend
from projects.building_extraction.misalignment.matching import VectorReference
from projects.building_extraction.misalignment.measurement import (
    MisalignmentSettings,
    measure_against_mask,
    measure_against_polygons,
)
from projects.building_extraction.misalignment.report import as_text, summary
from projects.building_extraction.misalignment.spread import find_spread
from projects.building_extraction.preparation.label_displacement import Displacement, displace
from projects.geodata.polygonal import translate
from projects.geodata.raster_files import open_band, rasterize, write_geotiff
from projects.geodata.vector_files import geopandas

GSD_M = 0.5
SETTINGS = MisalignmentSettings(30, GSD_M)


def city(count=100, seed=0, height_m=None):
    """L-shaped houses in streets, with towers in the middle, as a city of real heights; places repeat by no grid."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    polygons, heights_m = [], []
    for i in range(count):
        half = rng.uniform(4, 12, 2)
        shape = shapely.Polygon(np.array([[-1, -1], [1, -1], [1, 0.2], [0.2, 0.2], [0.2, 1], [-1, 1]]) * half)
        middle = np.array([i % side, i // side]) * 45 + rng.uniform(-9, 9, 2)
        shape = affinity.rotate(shape, rng.choice([8, 98]) + rng.normal(0, 3))
        polygons.append(affinity.translate(shape, *(middle + np.array([500000, 5_000_000]))))
        distance = np.linalg.norm(middle / (45 * side) - 0.5)
        heights_m.append(np.clip(rng.lognormal(np.log(6 + 40 * np.exp(-10 * distance**2)), 0.4), 3, 70))
    columns = {'height_m': np.array(heights_m) if height_m is None else np.full(count, height_m)}
    return geopandas.GeoDataFrame(columns | {'structure': np.arange(count)}, geometry=polygons, crs='EPSG:32633')


def moved(buildings, change):
    return buildings.set_geometry(geopandas.GeoSeries(change(buildings.geometry.to_numpy()), crs=buildings.crs))


def turned(buildings, rotation_deg=0.0, scale=1.0, shift_m=(0.0, 0.0)):
    """About the median centroid."""
    middle = np.median(shapely.get_coordinates(shapely.centroid(buildings.geometry.to_numpy())), axis=0)
    angle = np.radians(rotation_deg)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return moved(
        buildings, lambda shapes: shapely.transform(shapes, lambda xy: (xy - middle) @ matrix.T + middle + shift_m)
    )


def kept(buildings, share, seed):
    return buildings[np.random.default_rng(seed).random(len(buildings)) < share].reset_index(drop=True)


def measure(labels, reference, tmp_path, kind, change=lambda mask: mask):
    if kind == 'polygons':
        return measure_against_polygons(labels, reference, SETTINGS)
    west, south, east, north = reference.total_bounds
    transform = (GSD_M, 0, west - 50, 0, -GSD_M, north + 50)
    shapes = reference.geometry.to_numpy()
    size = int((east - west + 100) / GSD_M), int((north - south + 100) / GSD_M)
    mask = change(rasterize(shapes, np.full(len(shapes), 255), size, transform, np.uint8))
    write_geotiff(tmp_path / 'mask.tif', mask, transform, reference.crs)
    with open_band(tmp_path / 'mask.tif') as raster:
        return measure_against_mask(labels, raster, SETTINGS)


def text(result):
    return as_text(result, HeightClasses())


both_references = pytest.mark.parametrize('kind', ['polygons', 'mask'])


# ------------------------------------------------------------------------------------------------ what is not claimed


@both_references
def test_labels_farther_off_than_is_searched_lean_nowhere_and_the_way_is_told(tmp_path, kind):
    clean = city()
    result = measure(displace(clean, Displacement((200, -20))), clean, tmp_path, kind)
    assert (result.trend, result.lean, result.spread) == (None, None, None)
    assert result.statistics(HeightClasses())['all']['unmatched_share'] == 1
    assert 'no displacement is claimed' in result.notes[0]
    assert 'reached its radius of 30 m: a shift of about 200 m east, -20 m north agrees better' in result.notes[1]
    assert '--max-shift-m 241' in result.notes[1]
    assert 'off nadir' not in text(result)
    if kind == 'polygons':  # as the note says
        found = measure_against_polygons(
            displace(clean, Displacement((200, -20))), clean, MisalignmentSettings(241, GSD_M)
        )
        np.testing.assert_allclose(found.trend.shift_m, (200, -20), atol=0.05)


def test_another_city_agrees_on_nothing():
    other = moved(city(seed=6), lambda shapes: translate(shapes, np.tile((13, 21), (100, 1))))
    result = measure_against_polygons(city(seed=5), other, SETTINGS)
    assert (result.trend, result.spread) == (None, None)
    assert result.notes[1].startswith('the search reached its radius of 30 m; check that both show the same buildings')


def test_of_houses_that_repeat_the_other_shift_is_named():
    houses = shapely.box(*(np.indices((8, 8)).reshape(2, -1) * 15.0), *(np.indices((8, 8)).reshape(2, -1) * 15.0 + 6))
    clean = geopandas.GeoDataFrame({'height_m': np.full(64, np.nan)}, geometry=houses, crs='EPSG:32633')
    result = measure_against_polygons(displace(clean, Displacement((2, 0))), clean, SETTINGS)
    np.testing.assert_allclose(result.trend.shift_m, (2, 0), atol=0.01)
    (note,) = result.notes
    assert 'the buildings repeat: a shift of about ' in note
    assert not measure_against_polygons(displace(city(), Displacement((2, 0))), city(), SETTINGS).notes


@both_references
def test_without_heights_a_lean_is_undetermined_and_high_buildings_are_not_lost(tmp_path, kind):
    clean, displacement = city(), Displacement((2, -1), 20, 300)
    labels = displace(clean, displacement)
    true_m = np.linalg.norm(displacement.offsets_m(clean['height_m'].to_numpy()), axis=1)
    result = measure(labels.assign(height_m=np.nan), clean, tmp_path, kind)
    row = result.statistics(HeightClasses())['all']
    assert row['unmatched_share'] <= 0.03
    assert row['mean_m'] == pytest.approx(true_m.mean(), rel=0.03)
    assert row['p90_m'] == pytest.approx(np.percentile(true_m, 90), rel=0.05)
    assert (result.trend, result.lean) == (None, None)
    assert result.spread.azimuth_deg == pytest.approx(120, abs=2)
    assert 'growth with height: not determined, since heights are unknown' in text(result)
    assert summary(result, HeightClasses())['spread']['inliers'] == result.spread.followers > 80


def test_displacements_in_all_directions_are_no_line():
    rng = np.random.default_rng(0)
    for number in (20, 100, 1000):
        assert find_spread(rng.normal(0, 4, (number, 2)), np.zeros(2), 1.0) is None
        assert find_spread(rng.uniform(-25, 25, (number, 2)), None, 1.0) is None


def test_a_lean_of_buildings_of_one_height_is_undetermined():
    clean = city(height_m=10.0)
    result = measure_against_polygons(displace(clean, Displacement((1, 1), 45, 90)), clean, SETTINGS)
    assert result.lean is None
    np.testing.assert_allclose(result.trend.shift_m, (11, 1), atol=0.01)  # 10 m * tan 45 degrees to the east
    assert 'growth with height: not determined; all are about as high (10.0 to 10.0 m)' in text(result)


@pytest.mark.parametrize('count', [1, 3, 5])
def test_few_labels_tell_a_shift_and_how_few_they_are(count):
    clean = city()
    labels = displace(clean.iloc[40 : 40 + count].reset_index(drop=True), Displacement((3, -4)))
    result = measure_against_polygons(labels, clean, SETTINGS)
    np.testing.assert_allclose(result.trend.shift_m, (3, -4), atol=0.01)
    assert (result.trend.followers, result.lean, result.trend.includes_rotation) == (count, None, False)
    assert f'{count} of {count} matched labels follow' in text(result)
    assert ('3.00 ± ' in text(result)) == (count > 1)


def test_labels_matched_by_chance_agree_on_nothing():
    rng = np.random.default_rng(0)
    claimed = 0
    for number in np.repeat([4, 6, 10, 30, 100], 10):
        angle, radius_m = rng.uniform(0, 2 * np.pi, number), 30 * np.sqrt(rng.uniform(0, 1, number))
        offsets_m = radius_m[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        claimed += fit_trend(offsets_m, rng.uniform(0, 500, (number, 2)), rng.uniform(3, 60, number), 30, 1) is not None
    assert claimed <= 1


# ---------------------------------------------------------------------------------------------------- what is claimed


@both_references
@pytest.mark.parametrize(('rotation_deg', 'scale'), [(1.0, 1.0), (0.0, 1.01), (-2.0, 0.99)])
def test_rotation_and_scale_are_no_lean(tmp_path, kind, rotation_deg, scale):
    clean = city(64)
    result = measure(turned(clean, rotation_deg, scale, (3, -2)), clean, tmp_path, kind)
    assert result.trend.rotation_deg == pytest.approx(rotation_deg, abs=0.02)
    assert result.trend.scale == pytest.approx(scale, abs=4e-4)
    np.testing.assert_allclose(result.trend.shift_m, (3, -2), atol=0.2)
    assert result.trend.has_rotation
    assert not result.lean.has_lean or result.lean.off_nadir_deg < 0.1
    assert result.trend.inlier_share > 0.95


def test_all_at_once_is_taken_apart():
    clean = city()
    labels = turned(displace(clean, Displacement((0, 0), 15, 250)), 1.5, 1.005, (4, 3))
    trend = measure_against_polygons(labels, clean, SETTINGS).lean
    assert trend.rotation_deg == pytest.approx(1.5, abs=0.01)
    assert trend.scale == pytest.approx(1.005, abs=1e-4)
    assert np.hypot(*trend.slope) == pytest.approx(1.005 * np.tan(np.radians(15)), abs=1e-3)
    assert trend.azimuth_deg == pytest.approx(250 - 1.5, abs=0.2)  # turned with the labels, counter-clockwise


def test_a_trend_predicts_what_was_worked_out_by_hand():
    fixed = (np.zeros(6), (0, 1, 2, 3, 4, 5), 8, 8, 0.0, 1.0)
    larger = Trend(np.array([100.0, 100.0]), np.array([1.0, 2.0, 0.1, 0.0, 0.0, 0.5]), *fixed)
    # at 10 m of height, a reference 50 m east of the middle: 1 + 0.1 * 50 east, and 2 + 0.5 * 10 north
    np.testing.assert_allclose(larger.predict_m(np.array([[156.0, 107.0]]), np.array([10.0])), [[6, 7]])
    quarter = Trend(np.zeros(2), np.array([0.0, 0.0, -1.0, 1.0, 0.0, 0.0]), *fixed)
    assert (quarter.rotation_deg, quarter.scale) == (90, 1)
    np.testing.assert_allclose(quarter.predict_m(np.array([[0.0, 10.0]]), np.array([np.nan])), [[-10, 10]], atol=1e-9)
    corner = shapely.Polygon([(0, 0), (0, 4), (-2, 4), (-2, 0)])  # of a box 4 m wide, turned by a quarter
    (straight,) = quarter.straighten(np.array([corner]))
    assert straight.bounds == pytest.approx((-3, 1, 1, 3))


def test_intervals_of_95_percent_hold_the_truth_about_that_often():
    rng = np.random.default_rng(0)
    true = np.array([3.0, -2.0, 0.002, -0.001, 0.2, 0.1])
    inside = []
    for _ in range(40):
        places_m, heights_m = rng.uniform(-300, 300, (60, 2)), rng.lognormal(2.5, 0.7, 60)
        middle_m = np.median(places_m, axis=0)
        exact = Trend(middle_m, true, np.zeros(6), (), 0, 1, 0.0, 0.0)
        offsets_m = exact.predict_m(places_m, heights_m) + rng.normal(0, 0.8, (60, 2))
        trend = fit_trend(offsets_m, places_m, heights_m, 30, 1.0)
        inside.append(np.abs(trend.coefficients - true) <= trend.half_widths)
    assert 0.88 < np.mean(inside) < 0.99


@pytest.mark.parametrize('shares', [(0.8, 0.8), (0.5, 0.5), (1.0, 0.5)])
def test_dropped_labels_and_rough_outlines_do_not_mislead(shares):
    clean, displacement = city(150), Displacement((2, -1), 20, 300)
    labels, reference = (kept(clean, share, seed) for seed, share in enumerate(shares))
    rng = np.random.default_rng(0)
    rough = [
        shapely.Polygon(shape.exterior.coords[:-1] + rng.normal(0, 0.3, (6, 2)))
        for shape in displace(labels, displacement).geometry
    ]
    labels = moved(labels, lambda _: shapely.buffer(rough, 0))
    result = measure_against_polygons(labels, reference, SETTINGS)
    low_deg, high_deg = result.lean.off_nadir_95_deg
    assert low_deg - 0.2 < 20 < high_deg + 0.2
    assert high_deg - low_deg < 1
    assert result.lean.azimuth_deg == pytest.approx(300, abs=1)
    np.testing.assert_allclose(result.lean.shift_m, (2, -1), atol=0.3)
    there = np.isin(labels['structure'], reference['structure'])
    matched = np.isfinite(result.offsets_m[:, 0])
    assert matched[there].mean() > 0.95
    assert matched[~there].mean() < 0.1


def test_a_reference_answers_for_one_label():
    house = shapely.box(0, 0, 10, 10)
    near, far = (affinity.translate(house, *place) for place in ((3, 0), (16, 2)))  # the far one's house is gone
    reference = VectorReference(np.array([house]))
    offsets_m, agreements = reference.match(np.array([near, far]), np.zeros((2, 2)), 30)
    np.testing.assert_allclose(offsets_m, [[3, 0], [np.nan, np.nan]], atol=0.01)
    np.testing.assert_allclose(agreements, [1, 0], atol=0.01)
    offsets_m, _ = reference.match(np.array([near, far, near]), np.zeros((3, 2)), 30)
    np.testing.assert_allclose(offsets_m, [[3, 0], [np.nan, np.nan], [3, 0]], atol=0.01)


@pytest.mark.parametrize('pixels', [-2, 2, 3])
def test_masks_that_are_too_wide_or_too_narrow_do_not_draw_labels_to_where_they_are_expected(tmp_path, pixels):
    square = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    change = (lambda mask: cv2.dilate(mask, square)) if pixels > 0 else (lambda mask: cv2.erode(mask, square))
    clean, displacement = city(64), Displacement((2, -1), 20, 300)
    result = measure(displace(clean, displacement), clean, tmp_path, 'mask', change)
    assert result.lean.off_nadir_deg == pytest.approx(20, abs=0.3)
    np.testing.assert_allclose(result.lean.shift_m, (2, -1), atol=0.25)
    errors_m = result.offsets_m - displacement.offsets_m(clean['height_m'].to_numpy())
    assert np.abs(np.nanmean(errors_m, axis=0)).max() < 0.1


def test_labels_where_the_mask_has_no_data_are_unmatched_and_do_not_mislead(tmp_path):
    clean = city()
    columns = clean.total_bounds[0] + 200, clean.total_bounds[0] + 230
    with_gap = clean.cx[slice(*columns), :].index

    def gap(mask):
        values = mask.astype(np.float32)
        values[:, 2 * 250 : 2 * 280] = np.nan
        return values

    labels = displace(clean, Displacement((3, 4)))
    result = measure(labels, clean, tmp_path, 'mask', gap)
    assert len(with_gap)
    assert np.isnan(result.offsets_m[:, 0]).sum() >= len(with_gap) / 2
    np.testing.assert_allclose(result.trend.shift_m, (3, 4), atol=0.05)
    np.testing.assert_allclose(np.nanmean(result.offsets_m, axis=0), (3, 4), atol=0.1)
