from pathlib import Path

import numpy as np
import pytest
import shapely

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.misalignment.fit import fit_trend
from projects.building_extraction.misalignment.measurement import (
    MisalignmentSettings,
    measure_against_mask,
    measure_against_polygons,
)
from projects.building_extraction.misalignment.report import as_text, summary, write_picture
from projects.building_extraction.preparation.label_displacement import Displacement, displace
from projects.geodata.raster_files import open_band, rasterize, write_geotiff
from projects.geodata.vector_files import geopandas, read_buildings

MELBOURNE = Path(__file__).parents[3] / '../shared/data/melbourne/buildings.gpkg'
GSD_M = 0.5
ORIGIN = {'EPSG:32633': (500000.0, 5_000_000.0), 'EPSG:3857': (1669792.0, 8399738.0)}


def town(crs='EPSG:32633', count=80, unit=1.0):
    """Houses and towers turned at random in a street grid with jitter, as a town of real heights."""
    rng = np.random.default_rng(3)
    side = int(np.ceil(np.sqrt(count)))
    polygons, heights_m = [], []
    for i in range(count):
        half = rng.uniform(4, 12, 2)
        corners = np.array([[-1, -1], [1, -1], [1, 0.2], [0.2, 0.2], [0.2, 1], [-1, 1]]) * half
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([i % side, i // side]) * 40 + rng.uniform(-4, 4, 2)
        polygons.append(shapely.Polygon((corners @ turn.T + middle) * unit + ORIGIN[crs]))
        heights_m.append(rng.choice([5.0, 9.0, 20.0, 60.0, 120.0]))
    columns = {'height_m': np.array(heights_m), 'structure': np.arange(count)}
    return geopandas.GeoDataFrame(columns, geometry=polygons, crs=crs)


def write_mask(path, buildings, gsd=GSD_M, values=255):
    west, south, east, north = buildings.total_bounds
    size = int((east - west) / gsd) + 200, int((north - south) / gsd) + 200
    transform = (gsd, 0, west - 100 * gsd, 0, -gsd, north + 100 * gsd)
    polygons = buildings.geometry.to_numpy()
    mask = rasterize(polygons, np.full(len(polygons), values), size, transform, np.uint8)
    write_geotiff(path, mask, transform, buildings.crs)


def errors_m(result, displacement):
    return np.linalg.norm(result.offsets_m - displacement.offsets_m(result.heights_m), axis=1)


SHIFTS = [(3.2, -1.7), (0.0, 0.0), (40.0, -35.0)]


@pytest.mark.parametrize('shift_m', SHIFTS)
def test_a_constant_shift_is_found_to_half_a_pixel_even_where_it_exceeds_the_building(tmp_path, shift_m):
    clean, displacement = town(), Displacement(shift_m)
    labels = displace(clean, displacement)
    settings = MisalignmentSettings(80, GSD_M)
    result = measure_against_polygons(labels, clean, settings)
    assert errors_m(result, displacement).max() < 0.01
    write_mask(tmp_path / 'mask.tif', clean)
    with open_band(tmp_path / 'mask.tif') as mask:
        result = measure_against_mask(labels, mask, settings)
    assert np.isfinite(result.offsets_m).all()
    assert np.percentile(errors_m(result, displacement), 95) < 0.5 * GSD_M
    np.testing.assert_allclose(result.offsets_m.mean(axis=0), shift_m, atol=0.1 * GSD_M)


@pytest.mark.parametrize('shift_m', SHIFTS)
def test_the_shift_common_to_all_is_found_to_a_cell_of_its_grid(shift_m):
    clean = town()
    result = measure_against_polygons(displace(clean, Displacement(shift_m)), clean, MisalignmentSettings(80, GSD_M))
    np.testing.assert_allclose(result.common_shift_m, shift_m, atol=80 / 64)


@pytest.mark.parametrize(('off_nadir_deg', 'azimuth_deg'), [(10, 200), (35, 60)])
def test_the_angles_that_labels_were_displaced_by_are_found(tmp_path, off_nadir_deg, azimuth_deg):
    clean, displacement = town(), Displacement((2, -1), off_nadir_deg, azimuth_deg)
    labels = displace(clean, displacement)
    write_mask(tmp_path / 'mask.tif', clean)
    with open_band(tmp_path / 'mask.tif') as mask:
        settings = MisalignmentSettings(90, GSD_M)
        results = (measure_against_polygons(labels, clean, settings), measure_against_mask(labels, mask, settings))
    for result, tolerance_deg, tolerance_m in zip(results, (0.01, 0.3), (0.01, 0.5 * GSD_M), strict=True):
        assert result.lean.off_nadir_deg == pytest.approx(off_nadir_deg, abs=tolerance_deg)
        assert result.lean.azimuth_deg == pytest.approx(azimuth_deg, abs=4 * tolerance_deg)
        assert result.lean.shift_m == pytest.approx((2, -1), abs=tolerance_m)
        assert np.nanmedian(errors_m(result, displacement)) < tolerance_m


def test_rough_outlines_and_missing_buildings_do_not_mislead():
    clean, displacement = town(), Displacement((2, -1), 20, 300)
    rng = np.random.default_rng(1)
    labels = displace(clean, displacement)[rng.random(len(clean)) > 0.2].reset_index(drop=True)
    labels.geometry = labels.buffer(0.7, join_style='mitre')
    reference = clean[rng.random(len(clean)) > 0.2]
    result = measure_against_polygons(labels, reference, MisalignmentSettings(60, GSD_M))
    assert np.nanmedian(errors_m(result, displacement)) < 0.5 * GSD_M
    assert result.lean.off_nadir_deg == pytest.approx(20, abs=0.5)
    assert result.lean.azimuth_deg == pytest.approx(300, abs=2)
    unmatched = np.isnan(result.offsets_m[:, 0]).mean()
    assert 0.05 < unmatched < 0.35


def test_lengths_are_meters_on_the_ground_in_web_mercator():
    clean, displacement = town('EPSG:3857', unit=2.0), Displacement((5, 3))
    result = measure_against_polygons(displace(clean, displacement), clean, MisalignmentSettings(30, GSD_M))
    np.testing.assert_allclose(result.offsets_m, np.tile([5, 3], (len(clean), 1)), atol=0.01)


def test_statistics_are_those_of_each_class():
    clean = town()
    clean.loc[clean.index[:4], 'height_m'] = np.nan
    displacement = Displacement((3, 4))
    reference = clean.iloc[1:]
    result = measure_against_polygons(displace(clean, displacement), reference, MisalignmentSettings(12, GSD_M))
    statistics = result.statistics(HeightClasses())
    counts = {name: row['labels'] for name, row in statistics.items()}
    assert counts['all'] == len(clean) == sum(counts.values()) - counts['all']
    assert counts['unknown height'] == 4
    assert counts['low-rise'] == (clean['height_m'] < 12).sum()
    for name, row in statistics.items():
        if row['matched']:
            assert row['median_m'] == pytest.approx(5, abs=0.01), name
            assert row['p90_px'] == pytest.approx(10, abs=0.02), name
            assert (row['mean_east_m'], row['mean_north_m']) == pytest.approx((3, 4), abs=0.01)
    assert statistics['unknown height']['unmatched_share'] == 0.25
    assert 'low-rise' in as_text(result, HeightClasses())


def test_labels_without_counterpart_are_unmatched_and_in_no_length():
    clean = town(count=20)
    elsewhere = clean.assign(geometry=clean.translate(5000))
    result = measure_against_polygons(elsewhere, clean, MisalignmentSettings(20, GSD_M))
    assert np.isnan(result.offsets_m).all()
    statistics = result.statistics(HeightClasses())['all']
    assert statistics['unmatched_share'] == 1
    assert 'median_m' not in statistics
    assert (result.trend, result.lean, result.spread) == (None, None, None)


def test_a_line_is_found_that_a_third_of_the_buildings_contradict():
    rng = np.random.default_rng(0)
    heights_m, places_m = rng.uniform(3, 100, 60), rng.uniform(0, 500, (60, 2))
    offsets_m = np.array([1.0, -2.0]) + heights_m[:, None] * np.array([0.3, 0.4])
    offsets_m[:20] = rng.uniform(-50, 50, (20, 2))
    offsets_m[20] = np.nan
    lean = fit_trend(offsets_m, places_m, heights_m, 50, 0.5)
    assert lean.has_lean
    assert lean.slope == pytest.approx((0.3, 0.4))
    assert lean.shift_m == pytest.approx((1, -2))
    assert lean.off_nadir_deg == pytest.approx(np.degrees(np.arctan(0.5)))
    assert lean.azimuth_deg == pytest.approx(36.87, abs=0.01)
    assert lean.inlier_share == pytest.approx(39 / 59, abs=0.02)
    assert not fit_trend(offsets_m[20:], places_m[20:], np.full(40, 9.0), 50, 0.5)
    assert not fit_trend(offsets_m[20:25], places_m[20:25], np.full(5, 9.0), 50, 0.5)


def test_bad_settings_and_systems_that_differ_are_errors():
    with pytest.raises(ValueError, match='max_shift_m = 0'):
        MisalignmentSettings(max_shift_m=0)
    with pytest.raises(ValueError, match='min_agreement'):
        MisalignmentSettings(min_agreement=1)
    clean = town(count=4)
    with pytest.raises(ValueError, match='read both in one system'):
        measure_against_polygons(clean, clean.to_crs(3857), MisalignmentSettings())
    with pytest.raises(ValueError, match='no label'):
        measure_against_polygons(clean.iloc[:0], clean, MisalignmentSettings())


def test_the_summary_and_the_picture_are_written(tmp_path):
    clean = town(count=20)
    result = measure_against_polygons(
        displace(clean, Displacement((1, 1), 20, 90)), clean, MisalignmentSettings(60, GSD_M)
    )
    write_picture(result, HeightClasses(), tmp_path / 'a.png')
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
    assert (tmp_path / 'a.png').stat().st_size > 10_000
    content = summary(result, HeightClasses())
    assert content['lean']['off_nadir_deg'] == pytest.approx(20, abs=0.01)
    assert list(content['classes']) == ['all', *HeightClasses().names_with_unknown]


@pytest.mark.skipif(not MELBOURNE.exists(), reason='the Melbourne footprints are not here')
def test_the_angles_are_found_on_melbourne():
    bounds = (320500, 5812800, 320900, 5813200)
    clean = read_buildings(MELBOURNE, 'structure_height_m', 'structure_id', bounds=bounds)
    displacement = Displacement((1.5, -2), 25, 300)
    result = measure_against_polygons(displace(clean, displacement), clean, MisalignmentSettings(100, 0.3))
    assert result.lean.off_nadir_deg == pytest.approx(25, abs=0.05)
    assert result.lean.azimuth_deg == pytest.approx(300, abs=0.2)
    assert np.nanpercentile(errors_m(result, displacement), 95) < 0.15
