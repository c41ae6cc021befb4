import json
import math
import resource
import sqlite3
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import shapely

from projects.geodata.heights import CLASS_NAMES
from projects.geodata.qgis_style import qgis_style
from projects.geodata.vector_files import (
    FORMATS,
    PIXEL,
    NothingToWriteError,
    geopandas,
    read_buildings,
    write_layers,
    write_polygons,
)
from projects.reporting.palette import BLUE, GRAY, VERMILLION, rgb

pyarrow = pytest.importorskip('pyarrow', reason="needs the extra 'parquet'")
geoparquet = pytest.importorskip('projects.geodata.geoparquet')
UTM = 'EPSG:32633'
LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'
COLUMNS = ['score', 'count', 'class', 'flat']


def box(x, y=0.0, side=10.0):
    return shapely.box(500_000 + x, 5_000_000 + y, 500_000 + x + side, 5_000_000 + y + side)


def buildings(crs=UTM):
    columns = {
        'score': [0.5, 0.125, 0.9],
        'count': [1, 2**40, 3],
        'class': ['Gebäude', None, 'c'],
        'flat': [True, False, True],
        'height_m': [3.5, np.nan, 40.0],
    }
    shapes = [box(0).difference(box(3, 3, 2)), box(20), shapely.MultiPolygon([box(40), box(60)])]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs)


@pytest.mark.parametrize('suffix', [name for name in FORMATS if name != '.pmtiles'])
def test_what_is_written_is_read_as_labels_with_its_types(tmp_path, suffix):
    write_polygons(buildings(), tmp_path / f'a{suffix}')
    read = read_buildings(tmp_path / f'a{suffix}', 'height_m', crs=UTM, columns=COLUMNS, with_features=True)
    assert read.crs == UTM
    order = read.sort_values('score', kind='stable').index  # FlatGeobuf has an order of its own
    read = read.loc[[*order[1:2], order[0], *order[2:]]].reset_index(drop=True)
    assert read['score'].tolist() == [0.5, 0.125, 0.9, 0.9]
    assert read['count'].tolist() == [1, 2**40, 3, 3]
    assert read['count'].dtype == np.int64
    assert read['flat'].dtype == bool
    assert read['flat'].tolist() == [True, False, True, True]
    assert [None if value != value else value for value in read['class']] == ['Gebäude', None, 'c', 'c']
    np.testing.assert_array_equal(read['height_m'], [3.5, np.nan, 40, 40])
    assert read['feature'].nunique() == 3
    tolerance = 1e-3 if suffix == '.geojson' else 0
    expected = [box(0).difference(box(3, 3, 2)), box(20), box(40), box(60)]
    assert all(one.hausdorff_distance(other) <= tolerance for one, other in zip(read.geometry, expected, strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {f'a{suffix}', 'a.qml'}


@pytest.mark.parametrize('suffix', ['.gpkg', '.fgb', '.parquet'])
def test_local_systems_and_frames_without_rows_stay_what_they_are(tmp_path, suffix):
    write_polygons(buildings(LOCAL), tmp_path / f'a{suffix}')
    assert read_buildings(tmp_path / f'a{suffix}').crs.name == 'site'
    write_polygons(buildings().iloc[:0], tmp_path / f'b{suffix}')
    none = read_buildings(tmp_path / f'b{suffix}', 'height_m')
    assert (len(none), none.crs) == (0, UTM)


def test_formats_of_the_whole_earth_refuse_local_systems(tmp_path):
    for suffix in ('.geojson', '.pmtiles'):
        with pytest.raises(ValueError, match=r"'site' is a local system; choose \.gpkg"):
            write_polygons(buildings(LOCAL), tmp_path / f'a{suffix}')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    write_polygons(buildings(), path)
    before = path.read_bytes()
    many = geopandas.GeoDataFrame(
        {'score': np.random.default_rng(0).random(3000)}, geometry=[box(20 * i) for i in range(3000)], crs=UTM
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises((OSError, RuntimeError)):
            write_polygons(many, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert {left.name for left in tmp_path.iterdir()} == {path.name, 'a.qml'}


@pytest.mark.parametrize('suffix', ['.fgb', '.parquet'])
def test_labels_of_an_area_are_found_by_their_boxes(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(geoparquet, 'ROWS_PER_GROUP', 10)
    rows = geopandas.GeoDataFrame({'n': np.arange(100)}, geometry=[box(20 * i) for i in range(100)], crs=UTM)
    write_polygons(rows, tmp_path / f'a{suffix}')
    near = geopandas.GeoSeries([box(905, side=30)], crs=UTM).to_crs(3857)
    options = {'crs': 'EPSG:3857', 'bounds': tuple(near.total_bounds), 'columns': ['n'], 'with_features': True}
    read = read_buildings(tmp_path / f'a{suffix}', **options)
    assert sorted(read['n']) == [45, 46]
    if suffix == '.parquet':
        assert read['feature'].tolist() == [45, 46]
        file, read_groups = geoparquet.GeoParquet(tmp_path / 'a.parquet'), []
        read_group = file._file.read_row_group
        monkeypatch.setattr(
            file._file, 'read_row_group', lambda n, columns: read_groups.append(n) or read_group(n, columns)
        )
        assert file.read(['n'], box(905, side=30).bounds)[1]['n'].tolist() == [45, 46]
        assert read_groups == [4]


def write_parquet(path, column, table=None, key=b'geo'):
    encoded = shapely.to_wkb([shapely.force_3d(box(0)), None, box(20)]).tolist()
    words = pyarrow.array(['a', None, 'b']).dictionary_encode()
    table = pyarrow.table({'shape': encoded, 'kind': words, 'tall': [3, None, 5]})
    geo = {'version': '1.0.0', 'primary_column': 'shape', 'columns': {'shape': column}}
    pyarrow.parquet.write_table(table.replace_schema_metadata({key: json.dumps(geo)}), path)
    return path


def test_parquet_of_other_programs(tmp_path):
    bare = {'encoding': 'WKB', 'geometry_types': []}
    path = write_parquet(tmp_path / 'a.parquet', bare)
    with pytest.raises(ValueError, match='are no degrees'):  # without a system the format means longitude and latitude
        read_buildings(path)
    read = read_buildings(path, 'tall', 'kind', assume_crs=UTM)
    assert read['height_m'].tolist() == [3, 5]
    assert read['structure'].tolist() == [0, 1]
    assert not read.has_z.any()
    unknown = write_parquet(tmp_path / 'b.parquet', bare | {'crs': None})
    with pytest.raises(ValueError, match='states no coordinate system'):
        read_buildings(unknown)
    for name, column, key, message in (
        ('c', bare | {'encoding': 'polygon'}, b'geo', "encoded as 'polygon', not as WKB"),
        ('d', bare, b'other', 'no metadata "geo"'),
        ('e', {}, b'geo', "lacks 'encoding'"),
        ('f', bare | {'geometry_types': ['Point']}, b'geo', 'no layer of polygons, but Point'),
    ):
        with pytest.raises(ValueError, match=message) as error:
            read_buildings(write_parquet(tmp_path / f'{name}.parquet', column, key=key))
        assert '\n' not in str(error.value)
    (tmp_path / 'g.parquet').write_bytes(b'PAR1 and nothing more')
    with pytest.raises(ValueError, match=r'g\.parquet is no GeoParquet') as error:
        read_buildings(tmp_path / 'g.parquet')
    assert '\n' not in str(error.value)


def test_tiles_keep_a_quarter_of_a_pixel_and_all_attributes(tmp_path):
    frame = buildings()
    frame.attrs[PIXEL] = 0.5
    path = tmp_path / 'a.pmtiles'
    write_polygons(frame, path)
    info = pyogrio.read_info(path)
    stated = info['dataset_metadata']
    unit_m = 2 * math.pi * 6378137 / 2 ** int(stated['maxzoom']) / 4096 * math.cos(math.radians(45.15))
    assert 0.5 / 8 < unit_m <= 0.5 / 4
    assert int(stated['maxzoom']) - int(stated['minzoom']) == 5
    assert info['crs'] == 'EPSG:3857'
    read = geopandas.read_file(path)
    read = read.dissolve('count', sort=False).reset_index().to_crs(UTM)  # tiles cut polygons
    assert len(read) == 3
    for row, geometry, count in zip(read.itertuples(), frame.geometry, frame['count'], strict=True):
        assert row.geometry.hausdorff_distance(geometry) < unit_m
        assert row.count == count
    assert read['score'].tolist() == [0.5, 0.125, 0.9]
    assert read['class'].iloc[0] == 'Gebäude'
    np.testing.assert_array_equal(read['height_m'], [3.5, np.nan, 40])
    with pytest.raises(ValueError, match='tiles cut buildings in parts'):
        read_buildings(path)
    with pytest.raises(NothingToWriteError, match='no polygon'):
        write_polygons(frame.iloc[:0], tmp_path / 'b.pmtiles')


def symbols_of(renderer):
    """Colour of the fill of each symbol, by name, as `QgsSymbolLayerUtils::loadSymbols` finds them."""
    found = {}
    for symbol in renderer.find('symbols').findall('symbol'):
        assert symbol.get('type') == 'fill'
        options = symbol.find('layer[@class="SimpleFill"]/Option[@type="Map"]').findall('Option')
        found[symbol.get('name')] = {option.get('name'): option.get('value') for option in options}
    return found


def test_scores_are_ranges_that_qgis_reads():
    text = qgis_style(['area_m2', 'score', 'geometry'])
    assert text.startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>")
    renderer = ElementTree.fromstring(text).find('renderer-v2')
    assert renderer.attrib == {'type': 'graduatedSymbol', 'attr': 'score', 'graduatedMethod': 'GraduatedColor'}
    ranges = renderer.find('ranges').findall('range')
    limits = [(float(one.get('lower')), float(one.get('upper'))) for one in ranges]
    assert limits == [(0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1)]
    symbols = symbols_of(renderer)
    colors = [symbols[one.get('symbol')]['color'].split(',')[:3] for one in ranges]
    assert colors[0] == list(map(str, rgb(VERMILLION)))
    assert colors[-1] == list(map(str, rgb(BLUE)))
    assert qgis_style(['area_m2', 'geometry']) is None


def test_heights_are_classes_that_qgis_reads():
    renderer = ElementTree.fromstring(qgis_style(['score', 'height_m'])).find('renderer-v2')
    assert renderer.get('type') == 'categorizedSymbol'
    categories = {one.get('value'): one.get('symbol') for one in renderer.find('categories').findall('category')}
    assert list(categories) == [*CLASS_NAMES, 'unknown height']
    symbols = symbols_of(renderer)
    assert symbols[categories['unknown height']]['color'].startswith('{},{},{},'.format(*rgb(GRAY)))
    assert len({symbols[name]['color'] for name in categories.values()}) == 5
    heights = [0, 11.9, 12, 35, 99, 100, 400, None]
    with sqlite3.connect(':memory:') as base:  # which reads such expressions as QGIS does
        base.execute('CREATE TABLE t (height_m REAL)')
        base.executemany('INSERT INTO t VALUES (?)', [(height,) for height in heights])
        found = [row[0] for row in base.execute(f'SELECT {renderer.get("attr")} FROM t')]
    low, mid, high, sky = CLASS_NAMES
    assert found == [low, low, mid, high, high, sky, sky, 'unknown height']
    named = ElementTree.fromstring(qgis_style(['score', 'height_m', 'height_class'])).find('renderer-v2')
    assert named.get('attr') == 'height_class'


def test_a_file_of_several_layers_holds_their_styles(tmp_path):
    path = tmp_path / 'a.gpkg'
    write_layers({'roofs': buildings(), 'plain': buildings()[['geometry']]}, path)
    assert pyogrio.list_layers(path)[:, 0].tolist() == ['roofs', 'plain', 'layer_styles']
    table = pyogrio.read_dataframe(path, layer='layer_styles')
    assert table['f_table_name'].tolist() == ['roofs']
    assert table['f_geometry_column'].tolist() == ['geom']
    assert table['styleQML'].tolist() == [qgis_style(['height_m'])]
    assert table['useAsDefault'].tolist() == [True]
    assert len(read_buildings(path, layer='plain')) == 4
