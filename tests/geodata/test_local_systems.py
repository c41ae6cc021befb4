"""Coordinate systems of a site, that nothing ties to the Earth: everything works in their units, nothing guesses."""

import json

import geopandas
import numpy as np
import pytest
import shapely

from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize
from projects.geodata.vector_files import read_buildings, write_polygons
from tests.geodata.test_raster_placement import LOCAL, LOCAL_FEET

AREA = (1000, 1900, 1100, 2000)
BOX = shapely.box(1010, 1950, 1020, 1960)


def write_geojson(path, shape):
    features = [{'type': 'Feature', 'properties': {}, 'geometry': json.loads(shapely.to_geojson(shape))}]
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    return path


def test_outlines_that_state_no_system_are_in_the_local_one(tmp_path):
    read = read_buildings(write_geojson(tmp_path / 'a.geojson', BOX), crs=LOCAL, bounds=AREA)
    assert read.geometry[0].equals(BOX)
    with pytest.raises(ValueError, match=r'a\.geojson.*they lie at x 1010 to 1020, y 1950 to 1960'):
        read_buildings(tmp_path / 'a.geojson', crs=LOCAL, bounds=(0, 0, 1, 1))


def test_outlines_elsewhere_on_the_earth_are_refused_by_name(tmp_path):
    path = tmp_path / 'a.gpkg'
    geopandas.GeoDataFrame(geometry=[BOX], crs='EPSG:32633').to_file(path)
    with pytest.raises(ValueError, match=r"a\.gpkg is in .*'WGS 84 / UTM zone 33N', and is needed in 'Site \(m\)'"):
        read_buildings(path, crs=LOCAL, bounds=AREA)
    assert len(read_buildings(path, crs=LOCAL, bounds=AREA, assume_crs=LOCAL)) == 1


def test_a_local_system_of_another_name_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('projects.geodata.vector_places.print_log', lambda text, *_: said.append(text))
    for name in ('Site (m)', 'Yard'):
        geopandas.GeoDataFrame(geometry=[BOX], crs=LOCAL.replace('Site (m)', name)).to_file(tmp_path / 'a.gpkg')
        assert len(read_buildings(tmp_path / 'a.gpkg', crs=LOCAL, bounds=AREA)) == 1
    assert [text.split('a.gpkg ')[1] for text in said] == [
        "is in the local system 'Yard', and taken to be in 'Site (m)': check the names"
    ]


def test_areas_are_those_of_the_units(tmp_path):
    mask = np.zeros((20, 20), np.float32)
    mask[4:10, 2:12] = 1
    for crs, area_m2 in ((LOCAL, 15.0), (LOCAL_FEET, 15 * 0.3048**2)):
        settings = VectorizationSettings(simplify_m=0.0, min_area_m2=area_m2 - 0.1)
        polygons = vectorize(mask, (0.5, 0, 1000, 0, -0.5, 2000), crs, settings)
        assert polygons['area_m2'].tolist() == pytest.approx([area_m2])
        assert polygons.geometry[0].bounds == (1001, 1995, 1006, 1998)
    write_polygons(polygons, tmp_path / 'a.gpkg')
    assert geopandas.read_file(tmp_path / 'a.gpkg').geometry[0].equals(polygons.geometry[0])
    with pytest.raises(ValueError, match=r'cannot write a\.geojson: .* is a local system; choose \.gpkg'):
        write_polygons(polygons, tmp_path / 'a.geojson')
