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
    with pytest.raises(ValueError, match=r"'h' holds something else than metres.*tall"):
        read_buildings(tmp_path / 'b.gpkg', 'h')


def test_parts_of_one_structure_share_a_number_and_missing_ones_stand_alone(tmp_path):
    frame([box(20 * i) for i in range(5)], s=[7, None, 7, 3, None]).to_file(tmp_path / 'a.gpkg')
    assert read_buildings(tmp_path / 'a.gpkg', structure_column='s')['structure'].tolist() == [0, 1, 0, 2, 3]


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
    assert {path.name for path in tmp_path.iterdir()} == {'a.gpkg', 'a.geojson'}


def test_unfit_polygons_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r'ends in \.gpkg or \.geojson'):
        write_polygons(frame([box(0)]), tmp_path / 'a.shp')
    with pytest.raises(ValueError, match='have no coordinate system'):
        write_polygons(frame([box(0)], crs=None), tmp_path / 'a.gpkg')
    assert not list(tmp_path.iterdir())
