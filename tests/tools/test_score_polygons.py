"""The command: files in different systems, table, JSON, picture, refusals."""

import json

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image

from tools.score_polygons import main

UTM = 'EPSG:32755'
EAST, NORTH = 320_000.0, 5_812_000.0


def boxes(*corners):
    return [shapely.box(EAST + x, NORTH + y, EAST + x + w, NORTH + y + h) for x, y, w, h in corners]


def write(path, polygons, crs=UTM, **columns):
    geopandas.GeoDataFrame(columns, geometry=list(polygons), crs=UTM).to_crs(crs).to_file(path)
    return str(path)


@pytest.fixture
def truth(tmp_path):
    polygons = boxes((0, 0, 20, 20), (40, 0, 20, 20), (80, 0, 20, 20))
    return write(tmp_path / 'true.gpkg', polygons, height=[6.0, 50.0, np.nan])


def scores(folder):
    return json.loads((folder / 'polygon_scores.json').read_text())


def test_polygons_of_another_system_are_scored_in_metres(tmp_path, truth, capsys):
    found = write(tmp_path / 'found.geojson', boxes((1, 0, 20, 20), (40, 0, 20, 20), (60, 0, 8, 8)), 'EPSG:4326')
    main([found, truth, '--height-column', 'height', '--out', str(tmp_path / 'out' / 'new')])
    content = scores(tmp_path / 'out' / 'new')
    overall, low, high = (content['scores'][name] for name in ('overall', 'low-rise', 'high-rise'))
    assert (overall['labels'], overall['found'], overall['matched']) == (3, 3, 2)
    assert low['polis_m'] == pytest.approx(0.5, abs=0.001)  # UTM's metres are 0.9996 to 1.001 of the ground's
    assert high['polis_m'] == pytest.approx(0, abs=0.001)
    assert high['precision'] == 50  # the false alarm touches the high one
    assert overall['polis_m'] == pytest.approx(0.25, abs=0.001)
    assert overall['corner_ratio'] == 1
    assert overall['right_angles'] == 100
    assert content['scores']['unknown height']['recall'] == 0
    assert content['height_classes']['from'].startswith("column 'height'")
    with Image.open(tmp_path / 'out' / 'new' / 'polygon_scores.png') as picture:
        assert picture.width > 1000
    printed = capsys.readouterr().out
    assert 'Polygons in percent, matched one to one' in printed
    assert "height classes from column 'height'" in printed
    assert '100.0 % of 3 outlines are valid' in printed


def test_parts_of_a_feature_are_one_building_and_scores_are_read(tmp_path):
    pair = shapely.MultiPolygon(boxes((0, 0, 10, 10), (20, 0, 10, 10)))
    bow = shapely.Polygon(shapely.get_coordinates(boxes((50, 0, 10, 10))[0])[[0, 2, 1, 3, 0]])
    true = write(tmp_path / 'true.gpkg', [pair, *boxes((100, 0, 10, 10))])
    found = write(tmp_path / 'found.gpkg', [bow, pair, *boxes((100, 0, 10, 10))], score=[0.1, 0.9, None])
    main([found, true, '--out', str(tmp_path / 'out')])
    content = scores(tmp_path / 'out')
    overall = content['scores']['overall']
    assert (overall['labels'], overall['found'], overall['matched'], content['invalid']) == (2, 3, 2, 1)
    assert content['scores_from'] == "column 'score'"
    # precision 1, 1/2 and 2/3 in the order of scores, in which the unknown one is last
    assert overall['boundary_ap50'] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)


def test_holes_and_overlaps_are_reported(tmp_path):
    court = boxes((0, 0, 20, 20))[0].difference(boxes((5, 5, 10, 10))[0])
    true = write(tmp_path / 'true.gpkg', [court, *boxes((40, 0, 20, 20))])
    found = write(tmp_path / 'found.gpkg', [*boxes((0, 0, 20, 20), (40, 0, 20, 20), (50, 0, 20, 20))])
    main([found, true, '--out', str(tmp_path / 'out')])
    overall = scores(tmp_path / 'out')['scores']['overall']
    assert (overall['holes'], overall['holes_kept']) == (1, 0)
    assert overall['overlapping'] == pytest.approx(200 / 3)
    assert overall['corner_ratio'] == pytest.approx(8 / 12)


def test_nothing_found_is_a_score(tmp_path, truth):
    found = tmp_path / 'found.gpkg'
    geopandas.GeoDataFrame(geometry=geopandas.GeoSeries([], crs=UTM)).to_file(found, geometry_type='Polygon')
    main([str(found), truth, '--out', str(tmp_path / 'out')])
    overall = scores(tmp_path / 'out')['scores']['overall']
    assert (overall['recall'], overall['precision'], overall['polis_m']) == (0, None, None)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.gpkg'], 'absent.gpkg does not exist'),
        (['--height-column', 'storeys'], "has no column 'storeys'"),
        (['--score-column', 'name'], "the column 'name' holds something else than scores"),
        (['--score-column', 'sure'], "has no column 'sure'"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, truth, arguments, message):
    found = write(tmp_path / 'found.gpkg', boxes((0, 0, 20, 20)), name=['a'])
    given = [] if arguments[0].startswith('--') else [str(tmp_path / arguments.pop(0))]
    with pytest.raises(SystemExit, match='score_polygons: ') as error:
        main([*(given or [found]), truth, *arguments, '--out', str(tmp_path / 'out')])
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_files_of_different_places_are_refused(tmp_path, truth):
    found = write(tmp_path / 'found.gpkg', boxes((50_000, 0, 20, 20)))
    with pytest.raises(SystemExit, match=r'lies outside of .*--assume-crs'):
        main([found, truth, '--out', str(tmp_path / 'out')])


def test_polygons_beyond_the_true_ones_are_noted(tmp_path, truth, capsys):
    found = write(tmp_path / 'found.gpkg', boxes((0, 0, 20, 20), (500, 0, 20, 20)))
    main([found, truth, '--out', str(tmp_path / 'out')])
    assert 'NOTE: 1 polygons lie outside of the extent' in capsys.readouterr().out


@pytest.mark.parametrize('as_file', [True, False])
def test_only_what_belongs_to_an_area_counts(tmp_path, capsys, as_file):
    true = write(tmp_path / 'true.gpkg', boxes((0, 0, 20, 20), (40, 0, 20, 20), (44, 40, 20, 20), (80, 0, 20, 20)))
    found = write(
        tmp_path / 'found.gpkg',
        boxes(
            (0, 0, 20, 20),
            (45, 0, 20, 20),  # IoU 0.6 with the second, a quarter of it in the area: counts with that
            (80, 0, 20, 20),  # finds the fourth, which does not count
            (47, 40, 16, 20),  # finds the third, 7 of whose 20 m are inside: does not count
            (40, 80, 16, 20),  # a false alarm, 11 of 16 m inside
            (44, 110, 16, 20),  # a false alarm, 7 of 16 m inside: does not count
        ),
    )
    west, south, east, north = EAST - 10, NORTH - 10, EAST + 51, NORTH + 200
    bounds = ['--bounds', *map(str, (west, south, east, north))]
    area = ['--area', write(tmp_path / 'area.geojson', [shapely.box(west, south, east, north)], 'EPSG:4326')]
    main([found, true, '--out', str(tmp_path / 'out'), *(area if as_file else bounds)])
    content = scores(tmp_path / 'out')
    overall = content['scores']['overall']
    assert (overall['labels'], overall['found'], overall['matched']) == (2, 3, 2)
    assert overall['precision'] == pytest.approx(200 / 3)
    assert overall['recall'] == 100
    assert content['outside_of_the_area'] == {'found': 3, 'labels': 2}
    assert '2 true polygons lie outside of it, 3 that were found do' in capsys.readouterr().out


def test_an_area_without_true_polygons_is_refused(tmp_path, truth):
    found = write(tmp_path / 'found.gpkg', boxes((0, 0, 20, 20)))
    area = write(tmp_path / 'area.gpkg', boxes((500, 0, 20, 20)))
    with pytest.raises(SystemExit, match=r'no polygon of .* lies in .*area\.gpkg: there is nothing to score against'):
        main([found, truth, '--area', area, '--out', str(tmp_path / 'out')])
    with pytest.raises(SystemExit) as error:
        main([found, truth, '--bounds', '9', '0', '1', '1', '--out', str(tmp_path / 'out')])
    assert error.value.code == 2
