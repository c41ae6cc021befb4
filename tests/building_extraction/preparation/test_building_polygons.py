import json

import numpy as np
import pytest
import shapely

from projects.building_extraction.preparation.building_polygons import read_building_polygons

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def write(path, geometries, **members):
    features = [{'type': 'Feature', 'properties': {}, 'geometry': geometry} for geometry in geometries]
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features, **members}))
    return path


def polygon(*rings):
    return {'type': 'Polygon', 'coordinates': rings}


def test_polygons_are_projected_counted_and_numbered(tmp_path):
    path = write(
        tmp_path / 'labels.geojson',
        [
            None,
            polygon(SQUARE),
            {'type': 'Point', 'coordinates': [0, 0]},
            {'type': 'MultiPolygon', 'coordinates': [[SQUARE], [[[2, 0], [3, 0], [3, 1], [2, 0]]]]},
            polygon([[0, 0], [1]]),
            polygon([[0, 0], [1, 0], [2, 0], [0, 0]]),
            {'type': 'Polygon', 'coordinates': []},
            polygon([[0, 0, 7], [1, 0, 7], [1, 1, 7], [0, 0, 7]]),
        ],
    )
    labels = read_building_polygons(path)
    assert labels.features.tolist() == [1, 3, 7]
    assert labels.counts == {
        'without geometry': 2,
        'not a polygon': 1,
        'malformed': 1,
        'without area': 1,
        'used': 3,
    }
    # one degree of longitude is 1/360 of the grid, as is one of latitude at the equator; y grows southward
    np.testing.assert_allclose(shapely.bounds(labels.polygons[0]), [0.5, 0.5 - 1 / 360, 0.5 + 1 / 360, 0.5], atol=2e-7)
    assert len(shapely.get_parts(labels.polygons[1])) == 2
    assert not shapely.has_z(labels.polygons).any()


def test_figure_of_eight_becomes_its_two_halves(tmp_path):
    path = write(tmp_path / 'labels.geojson', [polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]])])
    labels = read_building_polygons(path)
    assert labels.counts == {'repaired': 1, 'used': 1}
    assert shapely.is_valid(labels.polygons).all()
    # two triangles of base 1° and height 0.5°
    assert shapely.area(labels.polygons[0]) * 360**2 == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    'name',
    ['urn:ogc:def:crs:OGC:1.3:CRS84', 'urn:ogc:def:crs:EPSG::4326', 'EPSG:4326', 'epsg:4326', 'WGS 84',
     'http://www.opengis.net/def/crs/OGC/1.3/CRS84'],
)  # fmt: skip
def test_wgs84_names_are_accepted(tmp_path, name):
    crs = {'type': 'name', 'properties': {'name': name}}
    assert read_building_polygons(write(tmp_path / 'a.geojson', [polygon(SQUARE)], crs=crs)).counts == {'used': 1}


@pytest.mark.parametrize(
    ('crs', 'named'),
    [
        ({'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::3857'}}, 'urn:ogc:def:crs:EPSG::3857'),
        ({'type': 'name', 'properties': {'name': 'EPSG:14326'}}, 'EPSG:14326'),
        ({'type': 'link', 'properties': {'href': 'http://x/y'}}, 'None'),
        ('EPSG:3857', 'EPSG:3857'),
    ],
)
def test_other_coordinate_systems_are_refused(tmp_path, crs, named):
    with pytest.raises(ValueError, match=rf'coordinate system .*{named}.*ogr2ogr -t_srs EPSG:4326'):
        read_building_polygons(write(tmp_path / 'a.geojson', [polygon(SQUARE)], crs=crs))


@pytest.mark.parametrize('place', [0, 1, -1, slice(0, 5)])
def test_a_hole_with_nan_is_left_out_alone_wherever_the_nan_stands(tmp_path, place):
    hole = np.array([[0.2, 0.2], [0.4, 0.2], [0.4, 0.4], [0.2, 0.4], [0.2, 0.2]])
    hole[place] = np.nan
    geometries = [polygon(SQUARE), polygon(SQUARE, hole.tolist())]
    labels = read_building_polygons(write(tmp_path / 'a.geojson', geometries))
    assert labels.features.tolist() == [0, 1]
    assert shapely.equals(*labels.polygons)
    assert labels.counts == {'holes with NaN or infinite coordinates': 1, 'used': 2}


def test_features_that_cannot_be_used_are_left_out_for_themselves_alone(tmp_path):
    nan, inf = float('nan'), float('inf')
    geometries = [
        polygon(SQUARE),
        polygon(SQUARE[:-1]),  # not closed
        polygon([SQUARE[0], [nan, nan], *SQUARE[2:]]),
        polygon([[inf, 0], *SQUARE[1:-1], [inf, 0]]),
        polygon([[nan, 0], *SQUARE[1:-1], [nan, 0]]),
        polygon([[nan, nan], *SQUARE[1:-1]]),  # nor closed
        polygon([[3627000.5, 0], [0, 1], [1, 1], [3627000.5, 0]]),
        {'type': 'GeometryCollection', 'geometries': [polygon(SQUARE), {'type': 'Point', 'coordinates': [0, 0]}]},
        {'type': 'Foo'},
        {'type': 'LineString', 'coordinates': SQUARE},
    ]
    labels = read_building_polygons(write(tmp_path / 'a.geojson', geometries))
    assert labels.features.tolist() == [0, 1, 7]
    assert shapely.equals(labels.polygons[[1, 2]], labels.polygons[0]).all()
    assert labels.counts == {
        'malformed': 1,
        'with NaN or infinite coordinates': 4,
        'not a polygon': 1,
        'beyond longitude and latitude': 1,
        'used': 3,
    }


@pytest.mark.parametrize(
    ('x', 'y', 'reason'),
    [
        (3627000.5, 5e6, 'probably in a projected system. Convert it first'),
        (-37.8, 144.9, 'latitude .* before longitude'),
    ],
)
def test_files_in_another_system_are_refused(tmp_path, x, y, reason):
    path = write(tmp_path / 'a.geojson', [polygon([[x + dx, y + dy] for dx, dy in SQUARE])])
    with pytest.raises(ValueError, match=rf'a\.geojson: coordinates such as \({x}, {y}.* are no degrees .*{reason}'):
        read_building_polygons(path)


def test_longitudes_beyond_180_are_those_on_the_other_side(tmp_path):
    east = [[x + 190, y] for x, y in SQUARE]
    line = [[179.5, 0], [-179.5, 0], [-179.5, 1], [179.5, 1], [179.5, 0]]
    beyond, crossing = read_building_polygons(write(tmp_path / 'a.geojson', [polygon(east), polygon(line)])).polygons
    np.testing.assert_allclose(shapely.bounds(beyond)[[0, 2]], [10 / 360, 11 / 360])
    np.testing.assert_allclose(shapely.bounds(crossing)[[0, 2]], [359.5 / 360, 360.5 / 360])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is empty'),
        (' \n', 'is empty'),
        ('{"type": "Feat', 'is not JSON'),
        ('\udcff', 'is not JSON'),
        ('[]', "not a GeoJSON FeatureCollection .*'list'"),
        ('{"type": "Feature"}', "not a GeoJSON FeatureCollection .*'Feature'"),
        ('{"type": "FeatureCollection", "features": []}', 'holds no polygon: it has no features'),
        ('{"type": "FeatureCollection", "features": [{"geometry": null}, 3]}', "'malformed': 1, 'without geometry': 1"),
    ],
)
def test_unfit_files_are_named(tmp_path, text, message):
    path = tmp_path / 'labels.geojson'
    path.write_bytes(text.encode(errors='surrogateescape'))
    with pytest.raises(ValueError, match=rf'labels\.geojson.*{message}'):
        read_building_polygons(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'labels\.geojson does not exist'):
        read_building_polygons(tmp_path / 'labels.geojson')


def test_byte_order_mark_is_read(tmp_path):
    path = write(tmp_path / 'a.geojson', [polygon(SQUARE)])
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    assert read_building_polygons(path).counts == {'used': 1}
