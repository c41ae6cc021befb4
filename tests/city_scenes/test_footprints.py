import json
from pathlib import Path

import numpy as np
import pytest
import shapely

pytest.importorskip('geopandas', reason="needs the extra 'geo'")

from projects.city_scenes import outliers
from projects.city_scenes.footprints import latitude_deg, read_city
from projects.city_scenes.outliers import isolated

MELBOURNE = Path(__file__).parents[3] / 'shared/data/melbourne/buildings.gpkg'


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
def test_degrees_and_stretched_meters_become_those_of_the_utm_zone(tmp_path, crs):
    geopandas = pytest.importorskip('geopandas')
    square = geopandas.GeoDataFrame({'height': [9.0]}, geometry=[shapely.box(320000, 5812000, 320100, 5812050)])
    square.set_crs('EPSG:32755').to_crs(crs).to_file(tmp_path / 'square.gpkg')
    city = read_city(tmp_path / 'square.gpkg')
    assert city.buildings.crs == 'EPSG:32755'
    assert city.bounds_m[0] == pytest.approx([320000, 5812000, 320100, 5812050], abs=0.01)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.gpkg'):
        read_city(tmp_path / 'nothing.gpkg')


def test_misplaced_and_huge_outlines_are_left_out_and_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(outliers, 'print_log', lambda message, **_: said.append(message))
    rows = [(500000 + 20 * column, 5800000 + 20 * row, {'height': 5}) for column in range(6) for row in range(6)]
    rows.insert(3, (0, 0, {'height': 99}))
    path = write(tmp_path / 'far.geojson', rows)
    content = json.loads(path.read_text())
    border = shapely.geometry.mapping(shapely.box(400000, 5700000, 600000, 5900000))
    content['features'].append({'type': 'Feature', 'properties': {'height': 3}, 'geometry': border})
    path.write_text(json.dumps(content))
    city = read_city(path)
    assert city.structure_heights_m.tolist() == [5] * 36
    assert np.ptp(city.bounds_m, axis=0).max() <= 100
    huge, far = said
    assert 'far.geojson: 1 of 38 polygons are left out, longer than 5 km' in huge
    assert 'such as number 38' in huge
    assert 'such as number 4 at (5, 5), 5824 km from the middle' in far


def test_hamlets_and_two_towns_are_no_outliers():
    random = np.random.default_rng(0)
    town = random.uniform(0, 1000, (200, 2))
    hamlet = random.uniform(0, 200, (9, 2))
    for others in (town + np.array([40000, 0]), hamlet + np.array([9000, 0]), [[1900.0, 0]]):
        assert not isolated(np.vstack([town, others])).any()
    assert isolated(np.vstack([town, [[40000.0, 0]]])).nonzero()[0].tolist() == [200]


def test_roads_and_vegetation_come_from_their_files(tmp_path):
    footprints = write(tmp_path / 'houses.geojson', [(500000, 5800000, {'height': 5})])
    parks = write(tmp_path / 'parks.geojson', [(500020, 5800000, {}), (900000, 5800000, {})])
    roads = {
        'type': 'FeatureCollection',
        'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32755'}},
        'features': [
            {
                'type': 'Feature',
                'properties': {},
                'geometry': {'type': 'LineString', 'coordinates': [[499990, 5800020], [500090, 5800020]]},
            }
        ],
    }
    (tmp_path / 'roads.geojson').write_text(json.dumps(roads))
    city = read_city(footprints, roads=tmp_path / 'roads.geojson', vegetation=parks)
    assert len(city.roads) == len(city.vegetation) == 1
    assert city.files == {
        'footprints': str(footprints), 'roads': str(tmp_path / 'roads.geojson'), 'vegetation': str(parks)
    }  # fmt: skip
    assert city.vegetation[0].area == 100
    assert city.roads[0].area == pytest.approx(100 * 8 + 8**2 / 2**0.5, rel=0.01)  # round ends of 8 corners
    with pytest.raises(ValueError, match=r'nothing of .*far\.geojson'):
        read_city(footprints, vegetation=write(tmp_path / 'far.geojson', [(900000, 5800000, {})]))
    with pytest.raises(FileNotFoundError, match='absent'):
        read_city(footprints, roads=tmp_path / 'absent.gpkg')


def test_the_latitude_is_that_of_the_place(tmp_path):
    assert latitude_deg(read_city(write(tmp_path / 'a.geojson', [(500000, 5800000, {'height': 5})]))) == pytest.approx(
        -37.95, abs=0.05
    )


@pytest.mark.skipif(not MELBOURNE.exists(), reason='needs the shared Melbourne footprints')
def test_melbourne_is_read_without_being_told_its_columns():
    city = read_city(MELBOURNE)
    assert city.buildings.crs == 'EPSG:28355'
    assert len(city.structure_heights_m) == 2404
    assert np.nanmax(city.structure_heights_m) == pytest.approx(297.5)
