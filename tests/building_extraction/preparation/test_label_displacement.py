import numpy as np
import pytest
import shapely

from projects.building_extraction.preparation.label_displacement import Displacement, displace
from projects.geodata.vector_files import geopandas


def buildings(heights_m, crs='EPSG:32633', x=500000.0, y=5_000_000.0, side=10.0):
    boxes = [shapely.box(x + 3 * side * i, y, x + side * (3 * i + 1), y + side) for i in range(len(heights_m))]
    columns = {'height_m': np.array(heights_m, dtype=float), 'structure': np.arange(len(heights_m))}
    return geopandas.GeoDataFrame(columns, geometry=boxes, crs=crs)


def moved_by(before, after):
    return shapely.get_coordinates(after.centroid) - shapely.get_coordinates(before.centroid)


def test_a_constant_shift_moves_all_alike_and_keeps_their_shape():
    clean = buildings([5, np.nan])
    moved = displace(clean, Displacement((3, -2)))
    np.testing.assert_allclose(moved_by(clean, moved), [[3, -2]] * 2, rtol=1e-3)
    np.testing.assert_allclose(moved.area, clean.area)
    assert moved['offset_east_m'].tolist() == [3, 3]
    assert moved['offset_north_m'].tolist() == [-2, -2]
    assert 'offset_east_m' not in clean


def test_labels_lean_by_height_times_the_tangent_along_the_azimuth():
    clean = buildings([10, 100, np.nan])
    moved = displace(clean, Displacement((1, 0), off_nadir_deg=45, azimuth_deg=90))
    np.testing.assert_allclose(moved_by(clean, moved), [[11, 0], [101, 0], [1, 0]], rtol=1e-3, atol=1e-6)
    moved = displace(clean, Displacement(off_nadir_deg=np.degrees(np.arctan(0.5)), azimuth_deg=180))
    np.testing.assert_allclose(moved_by(clean, moved), [[0, -5], [0, -50], [0, 0]], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('crs', ['EPSG:3857', 'EPSG:4326'])
def test_meters_are_those_of_the_ground_at_latitude_60_too(crs):
    place = {'EPSG:3857': (1669792.0, 8399738.0, 10.0), 'EPSG:4326': (15.0, 60.0, 1e-4)}[crs]
    clean = buildings([5], crs, *place)
    moved = displace(clean, Displacement((20, -10)))
    np.testing.assert_allclose(moved_by(clean.to_crs(32633), moved.to_crs(32633)), [[20, -10]], rtol=2e-3)
    if crs == 'EPSG:3857':
        np.testing.assert_allclose(moved_by(clean, moved), [[40, -20]], rtol=6e-3)


def test_an_angle_without_any_height_is_an_error():
    with pytest.raises(ValueError, match='--height-column'):
        displace(buildings([np.nan, np.nan]), Displacement(off_nadir_deg=20))
    with pytest.raises(ValueError, match='less than 90'):
        Displacement(off_nadir_deg=90)
    with pytest.raises(ValueError, match='shift_m'):
        Displacement((np.nan, 0))
