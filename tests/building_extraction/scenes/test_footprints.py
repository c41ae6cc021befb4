import json
from pathlib import Path

import numpy as np
import pytest
import shapely

pytest.importorskip('geopandas', reason="needs the extra 'geo'")

from projects.building_extraction.scenes.footprints import read_city

MELBOURNE = Path(__file__).parents[4] / 'shared/data/melbourne/buildings.gpkg'


def write(path, rows, crs='EPSG:32755'):
    """A GeoJSON of squares of 10 m: (x, y, properties)."""
    features = [
        {
            'type': 'Feature',
            'properties': properties,
            'geometry': shapely.geometry.mapping(shapely.box(x, y, x + 10, y + 10)),
        }
        for x, y, properties in rows
    ]
    name = f'urn:ogc:def:crs:{crs.replace(":", "::")}'
    crs_entry = {'type': 'name', 'properties': {'name': name}}
    path.write_text(json.dumps({'type': 'FeatureCollection', 'crs': crs_entry, 'features': features}))
    return path


def test_tiers_of_one_building_keep_their_heights_and_their_structure(tmp_path):
    rows = [
        (500000, 5800000, {'height': 10, 'structure_id': 'a'}),
        (500100, 5800000, {'height': 5, 'structure_id': 'b'}),
    ]
    rows.append((500002, 5800000, {'height': 40, 'structure_id': 'a'}))
    city = read_city(write(tmp_path / 'tiers.geojson', rows))
    assert city.buildings.structures.tolist() == [0, 1, 0]
    assert city.structure_heights_m.tolist() == [40, 5]
    assert city.buildings.crs == 'EPSG:32755'


def test_usual_names_of_heights_are_found_whatever_their_case(tmp_path):
    for name in ('HEIGHT', 'Building_Height', 'height_m'):
        path = write(tmp_path / f'{name}.geojson', [(500000, 5800000, {'tier': 3, name: 21})])
        assert read_city(path).buildings.heights_m.tolist() == [21]


def test_the_height_of_the_structure_goes_before_others(tmp_path):
    path = write(tmp_path / 'both.geojson', [(500000, 5800000, {'height': 3, 'structure_height_m': 30})])
    assert read_city(path).buildings.heights_m.tolist() == [30]
    assert read_city(path, 'height').buildings.heights_m.tolist() == [3]


def test_without_a_usual_name_the_columns_are_listed(tmp_path):
    path = write(tmp_path / 'odd.geojson', [(500000, 5800000, {'elevation': 3, 'floors': 2})])
    with pytest.raises(ValueError, match=r'elevation, floors.*--height-column'):
        read_city(path)
    with pytest.raises(ValueError, match='no column'):
        read_city(path, 'high')


def test_unknown_heights_are_kept_as_unknown(tmp_path):
    rows = [(500000, 5800000, {'height': None}), (500100, 5800000, {'height': 5})]
    city = read_city(write(tmp_path / 'some.geojson', rows))
    assert np.isnan(city.structure_heights_m[0])
    assert city.drawn_heights_m[0] > 0


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:3857'])
def test_degrees_and_stretched_metres_become_those_of_the_utm_zone(tmp_path, crs):
    geopandas = pytest.importorskip('geopandas')
    square = geopandas.GeoDataFrame({'height': [9.0]}, geometry=[shapely.box(320000, 5812000, 320100, 5812050)])
    square.set_crs('EPSG:32755').to_crs(crs).to_file(tmp_path / 'square.gpkg')
    city = read_city(tmp_path / 'square.gpkg')
    assert city.buildings.crs == 'EPSG:32755'
    assert city.bounds_m[0] == pytest.approx([320000, 5812000, 320100, 5812050], abs=0.01)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.gpkg'):
        read_city(tmp_path / 'nothing.gpkg')


@pytest.mark.skipif(not MELBOURNE.exists(), reason='needs the shared Melbourne footprints')
def test_melbourne_is_read_without_being_told_its_columns():
    city = read_city(MELBOURNE)
    assert city.buildings.crs == 'EPSG:28355'
    assert len(city.structure_heights_m) == 2404
    assert np.nanmax(city.structure_heights_m) == pytest.approx(297.5)
