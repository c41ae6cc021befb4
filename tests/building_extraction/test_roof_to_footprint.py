import numpy as np
import pytest
import shapely

from projects.building_extraction.roof_to_footprint import move_roofs_to_footprints
from projects.city_scenes.view import View
from projects.geodata.vector_files import geopandas

UTM = 'EPSG:32633'
SQUARE = shapely.box(0, 0, 10, 10) - shapely.box(4, 4, 6, 6)


def roofs(count, crs=UTM, at=(500_000, 5_000_000), **columns):
    polygons = [shapely.affinity.translate(SQUARE, at[0] + 100 * n, at[1]) for n in range(count)]
    return geopandas.GeoDataFrame(columns, geometry=polygons, crs=crs)


def test_moving_roofs_back_is_the_inverse_of_the_offset():
    heights_m = np.array([0, 3, 30, 297.0])
    view = View(0.3, 27, 130)
    footprints = roofs(4)
    offsets = view.offset_m(heights_m) * 0.9996  # central meridian
    seen = [shapely.affinity.translate(g, *offset) for g, offset in zip(footprints.geometry, offsets, strict=True)]
    found = move_roofs_to_footprints(footprints.set_geometry(seen, crs=UTM), 27, 130, heights_m)
    np.testing.assert_allclose(
        shapely.get_coordinates(found.geometry), shapely.get_coordinates(footprints.geometry), rtol=0, atol=1e-4
    )
    assert found['moved'].all()


def test_roofs_that_lean_east_move_west_by_the_height_at_45_degrees():
    frame = roofs(1)
    found = move_roofs_to_footprints(frame, 45, 90, [20])
    np.testing.assert_allclose(found.total_bounds - frame.total_bounds, [-20, 0, -20, 0], atol=0.01)


def test_meters_are_those_on_the_ground_in_web_mercator_and_degrees():
    mercator = roofs(1, 'EPSG:3857', at=(0, 8_399_738))  # 60 degrees north: 1 m is 2 units
    moved = move_roofs_to_footprints(mercator, 45, 0, [20]).total_bounds - mercator.total_bounds
    np.testing.assert_allclose(moved, [0, -40, 0, -40], atol=0.2)
    degrees = geopandas.GeoDataFrame(geometry=[shapely.box(15, 0, 15.001, 0.001)], crs='EPSG:4326')
    moved = move_roofs_to_footprints(degrees, 45, 270, [111.32]).total_bounds - degrees.total_bounds
    np.testing.assert_allclose(moved, [0.001, 0, 0.001, 0], atol=1e-6)


def test_roofs_of_unknown_height_stay_and_are_flagged():
    frame = roofs(4, height_m=[np.nan, np.nan, 10.0, 0.0])
    before = shapely.get_coordinates(frame.geometry)
    found = move_roofs_to_footprints(frame, 30, 0)
    assert found['moved'].tolist() == [False, False, True, True]
    np.testing.assert_array_equal(found['height_m'], [np.nan, np.nan, 10, 0])
    assert shapely.equals(found.geometry.to_numpy(), frame.geometry.to_numpy()).tolist() == [True, True, False, True]
    np.testing.assert_array_equal(shapely.get_coordinates(frame.geometry), before)


def test_no_roofs_are_no_footprints():
    found = move_roofs_to_footprints(roofs(0, height_m=np.zeros(0)), 30, 0)
    assert len(found) == 0
    assert found['moved'].dtype == bool


def test_missing_and_impossible_heights_are_refused():
    with pytest.raises(ValueError, match='no heights'):
        move_roofs_to_footprints(roofs(2), 30, 0)
    with pytest.raises(ValueError, match='one for each of 2 polygons'):
        move_roofs_to_footprints(roofs(2), 30, 0, [1, 2, 3])
    for wrong in ([1, -2], [1, np.inf]):
        with pytest.raises(ValueError, match='at least 0'):
            move_roofs_to_footprints(roofs(2), 30, 0, wrong)
