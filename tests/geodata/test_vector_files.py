import json

import numpy as np
import pytest
import shapely

from projects.geodata.vector_files import column_names, geopandas, read_buildings, write_polygons

UTM = 'EPSG:32633'


def frame(geometry, crs=UTM, **columns):
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs)


def box(x, y=0.0, side=10.0):
    return shapely.box(500000 + x, 5_000_000 + y, 500000 + x + side, 5_000_000 + y + side)


@pytest.mark.parametrize('suffix', ['gpkg', 'geojson', 'shp'])
def test_every_format_gives_the_same_buildings(tmp_path, suffix):
    path = tmp_path / f'labels.{suffix}'
    table = frame([box(0), box(20)], height=[3.5, None], block=['b', 'a'])
    (table.to_crs(4326) if suffix == 'geojson' else table).to_file(path)
    read = read_buildings(path, 'height', 'block', crs=UTM)
    assert read.crs == UTM
    assert list(read.columns) == ['height_m', 'structure', 'geometry']
    assert read['height_m'][0] == 3.5
    assert np.isnan(read['height_m'][1])
    assert read['structure'].tolist() == [0, 1]
    assert shapely.hausdorff_distance(read.geometry[1], box(20)) < 0.01


def test_polygons_are_repaired_and_taken_apart_and_other_geometry_is_left_out(tmp_path):
    eight = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    several = shapely.MultiPolygon([box(100), box(200)])
    hole = box(300).difference(box(303, 3, 2))
    geometry = [eight, several, shapely.Point(0, 0), None, hole]
    frame(geometry, h=[1.0, 2.0, 3.0, 4.0, 5.0]).to_file(tmp_path / 'a.gpkg')
    read = read_buildings(tmp_path / 'a.gpkg', 'h')
    assert read.geom_type.unique().tolist() == ['Polygon']
    assert read.is_valid.all()
    assert read['height_m'].tolist() == [1, 1, 2, 2, 5]
    assert read['structure'].tolist() == [0, 0, 1, 1, 2]
    assert read.area.tolist() == [1, 1, 100, 100, 96]


def test_heights_as_text_become_numbers_and_marks_for_unknown_become_nan(tmp_path):
    heights = [' 12.5', '7,25', '9 m', '3m ', '', None, '-9999', '0']
    frame([box(20 * i) for i in range(8)], h=heights).to_file(tmp_path / 'a.gpkg')
    read = read_buildings(tmp_path / 'a.gpkg', 'h')
    np.testing.assert_array_equal(read['height_m'], [12.5, 7.25, 9, 3, *[np.nan] * 4])
    frame([box(0)], h=['tall']).to_file(tmp_path / 'b.gpkg')
    with pytest.raises(ValueError, match=r"'h' holds something else than heights.*tall"):
        read_buildings(tmp_path / 'b.gpkg', 'h')


def test_parts_of_one_structure_share_a_number_and_missing_ones_stand_alone(tmp_path):
    frame([box(20 * i) for i in range(5)], s=[7, None, 7, 3, None]).to_file(tmp_path / 'a.gpkg')
    assert read_buildings(tmp_path / 'a.gpkg', structure_column='s')['structure'].tolist() == [0, 1, 0, 2, 3]


def test_parts_of_one_feature_without_structure_stay_together_and_blank_ones_apart(tmp_path):
    geometry = [shapely.MultiPolygon([box(0), box(20)]), box(40), box(60), box(80)]
    frame(geometry, s=['', ' ', None, 'a']).to_file(tmp_path / 'a.gpkg')
    assert read_buildings(tmp_path / 'a.gpkg', structure_column='s')['structure'].tolist() == [0, 0, 1, 2, 3]


def test_only_what_meets_the_bounds_is_read_in_whatever_system_they_are(tmp_path):
    frame([box(20 * i) for i in range(50)], h=np.arange(50.0)).to_file(tmp_path / 'a.gpkg')
    near = frame([box(205, side=30)])
    read = read_buildings(tmp_path / 'a.gpkg', 'h', bounds=tuple(near.total_bounds))
    assert read['height_m'].tolist() == [10, 11]
    assert read['structure'].tolist() == [0, 1]
    web = near.to_crs(3857)
    read = read_buildings(tmp_path / 'a.gpkg', 'h', crs='EPSG:3857', bounds=tuple(web.total_bounds))
    assert read['height_m'].tolist() == [10, 11]


def test_a_file_without_coordinate_system_says_how_to_give_one(tmp_path):
    frame([box(0)], crs=None).to_file(tmp_path / 'a.shp')
    with pytest.raises(ValueError, match=r'states no coordinate system.*--assume-crs'):
        read_buildings(tmp_path / 'a.shp')
    assert read_buildings(tmp_path / 'a.shp', assume_crs=UTM).crs == UTM


def test_projected_coordinates_called_degrees_are_refused(tmp_path):
    feature = {'type': 'Feature', 'properties': {}, 'geometry': shapely.geometry.mapping(box(0))}
    path = tmp_path / 'a.geojson'
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': [feature]}))
    with pytest.raises(ValueError, match='are no degrees'):
        read_buildings(path, crs=UTM)
    assert read_buildings(path, assume_crs=UTM).area.tolist() == [100]


def test_columns_are_named_without_the_geometry(tmp_path):
    frame([box(0)], h=[1.0], s=[2]).to_file(tmp_path / 'a.gpkg')
    assert column_names(tmp_path / 'a.gpkg') == ['h', 's']
    with pytest.raises(FileNotFoundError, match='nowhere'):
        column_names(tmp_path / 'nowhere.gpkg')


def test_errors_name_what_is_there(tmp_path):
    frame([box(0)], floors=[3]).to_file(tmp_path / 'a.gpkg')
    with pytest.raises(ValueError, match=r"no column 'height'; its columns are 'floors'"):
        read_buildings(tmp_path / 'a.gpkg', 'height')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_buildings(tmp_path / 'b.gpkg')
    (tmp_path / 'c.gpkg').write_text('no data base')
    with pytest.raises(ValueError, match='no vector file'):
        read_buildings(tmp_path / 'c.gpkg')


def test_written_polygons_are_read_again(tmp_path):
    polygons = frame([box(0).difference(box(3, 3, 2)), box(20)], score=[0.5, 0.25])
    write_polygons(polygons, tmp_path / 'a.gpkg')
    write_polygons(polygons, tmp_path / 'a.gpkg')
    read = geopandas.read_file(tmp_path / 'a.gpkg')
    assert read.crs == UTM
    assert read['score'].tolist() == [0.5, 0.25]
    assert read.geom_equals(polygons).all()
    write_polygons(polygons, tmp_path / 'a.geojson')
    collection = json.loads((tmp_path / 'a.geojson').read_text())
    assert 'crs' not in collection
    assert collection['features'][0]['geometry']['coordinates'][0][0][0] == pytest.approx(15, abs=0.01)
    assert {path.name for path in tmp_path.iterdir()} == {'a.gpkg', 'a.geojson', 'a.qml'}


def test_unfit_polygons_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r'ends in \.gpkg, .* or \.pmtiles'):
        write_polygons(frame([box(0)]), tmp_path / 'a.shp')
    with pytest.raises(ValueError, match='have no coordinate system'):
        write_polygons(frame([box(0)], crs=None), tmp_path / 'a.gpkg')
    assert not list(tmp_path.iterdir())


def write_geojson(path, geometries, **members):
    features = [{'type': 'Feature', 'properties': {'h': 5}, 'geometry': geometry} for geometry in geometries]
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features, **members}))
    return path


def polygon(*rings):
    return {'type': 'Polygon', 'coordinates': rings}


def square(x, y, side=0.001):
    return polygon([[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]])


def utm(x, y=0.0):
    return shapely.geometry.mapping(box(x, y))


UTM_MEMBER = {'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}}


def test_one_bad_feature_never_ends_the_others(tmp_path, logged):
    ring = [[500000, 5000000], [500010, 5000000], [500010, 5000010], [500000, 5000010]]
    nested = {
        'type': 'GeometryCollection',
        'geometries': [utm(60), {'type': 'Point', 'coordinates': [500000, 5000000]}],
    }
    geometries = [
        polygon(ring),  # not closed
        polygon([*ring[:1], [float('nan')] * 2, *ring[2:], ring[0]]),
        polygon([*ring[:1], [float('inf'), 5e6], *ring[2:], ring[0]]),
        None,
        {'type': 'Polygon', 'coordinates': []},
        {'type': 'Foo'},
        {'type': 'Point', 'coordinates': [500000, 5000000]},
        polygon([ring[0], ring[1], ring[0]]),
        {'type': 'GeometryCollection', 'geometries': [nested, utm(80)]},
        polygon([[x, y, 3, 4] for x, y in [*ring, ring[0]]]),
    ]
    path = write_geojson(tmp_path / 'a.geojson', geometries, **UTM_MEMBER)
    for options in ({}, {'crs': 'EPSG:3857'}, {'bounds': (499000.0, 4999000.0, 501000.0, 5001000.0)}):
        logged.clear()
        found = read_buildings(path, 'h', **options)
        assert found['structure'].tolist() == [0, 1, 1, 2]
        assert not found.has_z.any()
        assert found.to_crs(UTM).area.tolist() == pytest.approx([100] * 4)
        if 'bounds' in options:  # by which GDAL reads none without geometry
            assert ' features in the area (of 10), 0 repaired, ' in '\n'.join(logged)
        else:
            assert '10 features, 0 repaired, 7 left out (3 without geometry, 2 with NaN or infinite' in '\n'.join(
                logged
            )


def test_curves_measures_and_heights_of_vertices_become_plain_polygons(tmp_path):
    circle = 'CURVEPOLYGON(CIRCULARSTRING(0 0,10 10,20 0,10 -10,0 0))'
    rows = [
        circle,
        f'MULTISURFACE({circle})',
        'POLYGON M ((0 0 5,3 0 5,3 4 5,0 0 5))',
        'POLYGON ZM ((0 0 1 5,3 0 1 5,3 4 1 5,0 0 1 5))',
    ]
    (tmp_path / 'a.csv').write_text('h,WKT\n' + ''.join(f'3,"{row}"\n' for row in rows))
    read = read_buildings(tmp_path / 'a.csv', 'h', assume_crs=UTM)
    assert read.area.tolist() == pytest.approx([np.pi * 100, np.pi * 100, 6, 6], rel=0.01)


def test_the_only_layer_of_polygons_is_read_else_one_must_be_named(tmp_path):
    path = tmp_path / 'a.gpkg'
    frame([box(0, side=30)]).to_file(path, layer='parcels')
    frame([shapely.Point(500000, 5_000_000)]).to_file(path, layer='trees', mode='a')
    assert read_buildings(path).area.tolist() == [900]
    frame([box(0)], h=[3.0]).to_file(path, layer='buildings', mode='a')
    for reader in (read_buildings, column_names):
        with pytest.raises(ValueError, match=r"2 layers of polygons; .*--layer: 'parcels' \(Polygon\), 'trees'"):
            reader(path)
    assert column_names(path, 'buildings') == ['h']
    assert read_buildings(path, 'h', layer='buildings').area.tolist() == [100]
    with pytest.raises(ValueError, match=r"no layer 'houses'; its layers are 'parcels'"):
        read_buildings(path, layer='houses')
    frame([shapely.Point(0, 0)]).to_file(tmp_path / 'b.gpkg', layer='trees')
    with pytest.raises(ValueError, match=r"b\.gpkg holds no layer of polygons; its layers are 'trees' \(Point\)"):
        read_buildings(tmp_path / 'b.gpkg')


def test_a_layer_without_features_is_no_choice(tmp_path):
    frame([box(0)]).iloc[:0].to_file(tmp_path / 'a.gpkg', layer='old')
    frame([box(0)]).to_file(tmp_path / 'a.gpkg', layer='new', mode='a')
    assert len(read_buildings(tmp_path / 'a.gpkg')) == 1


@pytest.mark.parametrize(('encoding', 'stated'), [('UTF-8', None), ('ISO-8859-1', None), ('ISO-8859-1', 'UTF-8')])
def test_shapefiles_are_read_in_any_encoding_and_with_a_wrong_one(tmp_path, encoding, stated):
    frame([box(0), box(20)], Höhe=[3.0, 4.0], Straße=['Größe', 'b']).to_file(tmp_path / 'a.shp', encoding=encoding)
    (tmp_path / 'a.cpg').unlink()
    if stated:
        (tmp_path / 'a.cpg').write_text(stated)
    assert read_buildings(tmp_path / 'a.shp', 'Höhe', 'Straße')['height_m'].tolist() == [3, 4]


def test_meters_called_degrees_are_said_to_be_so_with_a_bounding_box_too(tmp_path):
    path = write_geojson(tmp_path / 'a.geojson', [utm(0), utm(20)])
    bounds = (500000.0, 5000000.0, 500100.0, 5000100.0)
    for crs, hint in ((UTM, 'taken as EPSG:32633 they would lie where they should'), ('EPSG:3857', '--assume-crs')):
        with pytest.raises(ValueError, match=rf'a\.geojson: .* are no degrees .* a GeoJSON that states .*{hint}'):
            read_buildings(path, crs=crs, bounds=bounds)
    assert len(read_buildings(path, crs=UTM, bounds=bounds, assume_crs=UTM)) == 2


def test_a_stray_feature_does_not_make_a_file_wrong(tmp_path, logged):
    path = write_geojson(tmp_path / 'a.geojson', [square(15, 45), square(15.01, 45), utm(0)])
    assert len(read_buildings(path, bounds=(14.0, 44.0, 16.0, 46.0))) == 2
    assert '1 beyond longitude and latitude' in '\n'.join(logged)


def test_swapped_axes_are_noticed(tmp_path):
    melbourne = write_geojson(tmp_path / 'a.geojson', [square(-37.8, 144.9)])
    with pytest.raises(ValueError, match=r'no degrees .*; latitude seems to stand before longitude'):
        read_buildings(melbourne)
    kampala = write_geojson(tmp_path / 'b.geojson', [square(0.3, 32.6)])
    near = frame([shapely.box(32.5, 0.2, 32.7, 0.4)], 'EPSG:4326').to_crs('EPSG:32636')
    with pytest.raises(ValueError, match=r'no building .* lies in the area .*latitude seems to stand before longitude'):
        read_buildings(kampala, crs='EPSG:32636', bounds=tuple(near.total_bounds))


def test_degrees_called_meters_are_noticed(tmp_path):
    frame([shapely.box(15, 45, 15.0001, 45.0001)]).to_file(tmp_path / 'a.gpkg')
    with pytest.raises(ValueError, match=r'states EPSG:32633, .* look like degrees.*--assume-crs EPSG:4326'):
        read_buildings(tmp_path / 'a.gpkg')


def test_files_elsewhere_say_what_may_be_wrong(tmp_path):
    bounds = (500000.0, 5000000.0, 500100.0, 5000100.0)
    member = {'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}}
    degrees = write_geojson(tmp_path / 'degrees.geojson', [square(15, 45)], **member)
    frame([box(0)], 'EPSG:32634').to_file(tmp_path / 'zone.gpkg')
    frame([box(0)]).iloc[:0].to_file(tmp_path / 'empty.gpkg')
    frame([box(0)], 'LOCAL_CS["site",UNIT["metre",1]]').to_file(tmp_path / 'site.gpkg')
    for path, reason in (
        (degrees, 'look like degrees'),
        (tmp_path / 'zone.gpkg', 'taken as EPSG:32633 they would lie where they should'),
        (tmp_path / 'empty.gpkg', 'holds no features'),
        (tmp_path / 'site.gpkg', 'nothing ties .*--assume-crs'),
    ):
        with pytest.raises(ValueError, match=rf'{path.name}.*{reason}'):
            read_buildings(path, crs=UTM, bounds=bounds)
    assert read_buildings(tmp_path / 'site.gpkg', bounds=bounds).area.tolist() == [100]


@pytest.mark.parametrize('longitude', [-170.0, 190.0])
def test_longitudes_beyond_180_are_those_on_the_other_side(tmp_path, longitude):
    path = write_geojson(tmp_path / 'a.geojson', [square(longitude, -14)])
    near = frame([shapely.box(-170.01, -14.01, -169.99, -13.99)], 'EPSG:4326')
    assert len(read_buildings(path, bounds=tuple(near.total_bounds))) == 1
    beyond = read_buildings(path, bounds=(189.99, -14.01, 190.01, -13.99))
    np.testing.assert_allclose(beyond.total_bounds, [190, -14, 190.001, -13.999])
    utm_bounds = tuple(near.to_crs('EPSG:32702').total_bounds)
    assert read_buildings(path, crs='EPSG:32702', bounds=utm_bounds).area[0] == pytest.approx(11952, rel=0.01)


def test_a_building_on_the_date_line_is_no_belt_around_the_earth(tmp_path):
    west, east = 179.9995, -179.9995
    ring = [[west, -17], [east, -17], [east, -16.999], [west, -16.999], [west, -17]]
    path = write_geojson(tmp_path / 'a.geojson', [polygon(ring)])
    assert read_buildings(path, crs='EPSG:32760').area[0] == pytest.approx(11800, rel=0.02)


def test_files_without_anything_to_read_are_named(tmp_path):
    (tmp_path / 'zero.geojson').write_text('')
    with pytest.raises(ValueError, match=r'zero\.geojson is no vector file'):
        read_buildings(tmp_path / 'zero.geojson')
    assert len(read_buildings(write_geojson(tmp_path / 'none.geojson', []))) == 0
    for geometries in ([None], [polygon([[0, 0], [1, 0], [0, 0]])], [square(float('nan'), 0)]):
        path = write_geojson(tmp_path / 'bad.geojson', geometries)
        with pytest.raises(ValueError, match=r'bad\.geojson holds no polygon that can be used: 1 '):
            read_buildings(path)


def test_a_column_without_a_value_is_not_written(tmp_path):
    write_polygons(frame([box(0)], score=[0.5], height_m=[np.nan]), tmp_path / 'a.gpkg')
    assert column_names(tmp_path / 'a.gpkg') == ['score']


@pytest.mark.parametrize('place', [0, 1])
@pytest.mark.parametrize('options', [{}, {'crs': 'EPSG:3857'}])
def test_a_hole_with_nan_is_left_out_alone_and_told(tmp_path, logged, place, options):
    ring = np.array([[500000, 5000000], [500010, 5000000], [500010, 5000010], [500000, 5000010], [500000, 5000000.0]])
    hole, good = ((ring - ring[0]) * 0.2 + ring[0] + offset for offset in (1, 5))
    hole[place] = np.nan
    hole[-1] = hole[0]
    broken = polygon(ring.tolist(), hole.tolist(), good.tolist())
    outside = polygon(hole.tolist())
    path = write_geojson(tmp_path / 'a.geojson', [broken, outside], **UTM_MEMBER)
    read = read_buildings(path, **options)
    assert read.to_crs(UTM).area.tolist() == pytest.approx([96])
    (text,) = [text for text in logged if 'features' in text]
    assert '2 features, 0 repaired, 1 left out (1 with NaN or infinite coordinates); 1 holes with NaN' in text
