"""Renderer, annotations, displaced labels and measured lean agree on which way is east, north, right and down."""

import numpy as np
import pytest
import shapely

from projects.building_extraction.misalignment.measurement import MisalignmentSettings, measure_against_polygons
from projects.building_extraction.preparation.label_displacement import Displacement, displace
from projects.building_extraction.preparation.scenes.building_coco import annotate
from projects.city_scenes.buildings import Buildings
from projects.city_scenes.city import City
from projects.city_scenes.render import render_tile
from projects.city_scenes.sunlight import Sun
from projects.city_scenes.view import View
from projects.geodata.raster_files import rasterize
from projects.geodata.vector_files import geopandas

WEST, NORTH, GSD_M = 500000.0, 5_000_240.0, 0.5
HALF_M_PER_M_DEG = float(np.degrees(np.arctan(0.5)))
HEIGHTS_M = np.array([4.0, 8, 12, 16, 20, 24, 28, 32, 36])


@pytest.fixture(scope='module')
def footprints():
    """Nine buildings, 80 m apart, each of another size."""
    corners = np.array([(WEST + 30 + 80 * (n % 3), NORTH - 50 - 80 * (n // 3)) for n in range(9)])
    polygons = shapely.box(*corners.T, *(corners + [(10 + n, 20 - n) for n in range(9)]).T)
    columns = {'height_m': HEIGHTS_M, 'structure': np.arange(9)}
    return geopandas.GeoDataFrame(columns, geometry=polygons, crs='EPSG:32633')


@pytest.mark.parametrize(
    ('azimuth_deg', 'east', 'north'), [(0, 0, 1), (90, 1, 0), (180, 0, -1), (270, -1, 0), (45, 0.5**0.5, 0.5**0.5)]
)
def test_roofs_labels_annotations_and_measured_lean_point_the_same_way(footprints, azimuth_deg, east, north):
    expected_m = HEIGHTS_M[:, None] / 2 * (east, north)

    moved = displace(footprints, Displacement(off_nadir_deg=HALF_M_PER_M_DEG, azimuth_deg=azimuth_deg))
    centers = [shapely.get_coordinates(frame.centroid.to_numpy()) for frame in (footprints, moved)]
    np.testing.assert_allclose(centers[1] - centers[0], expected_m, atol=0.02)  # map metres are 0.9996 of the ground's

    city = City(Buildings(footprints.geometry.to_numpy(), HEIGHTS_M, np.arange(9)))
    view = View(GSD_M, HALF_M_PER_M_DEG, azimuth_deg)
    tile = render_tile(city, (WEST, NORTH), (480, 480), view, Sun(), seed=0)
    transform = (GSD_M, 0, WEST, 0, -GSD_M, NORTH)
    painted = rasterize(moved.geometry.to_numpy(), np.arange(1, 10), (480, 480), transform, np.int32)
    assert (painted == tile.roof_ids).mean() > 0.998
    offsets_px = [entry['offset'] for entry in annotate(tile.roof_ids, tile.roof_ids, tile.footprint_ids, tile.records)]
    np.testing.assert_allclose(offsets_px, expected_m * (1, -1) / GSD_M, atol=1e-3)

    lean = measure_against_polygons(moved, footprints, MisalignmentSettings(max_shift_m=30.0, gsd_m=GSD_M)).lean
    assert (lean.azimuth_deg - azimuth_deg + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
    assert lean.off_nadir_deg == pytest.approx(HALF_M_PER_M_DEG, abs=0.2)
