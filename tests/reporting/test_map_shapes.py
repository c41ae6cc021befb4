import numpy as np
import pytest
import shapely

from projects.reporting.map_shapes import (
    GRID,
    MAX_SHAPES,
    MAX_TEXT,
    SCORES,
    Coloring,
    Ranges,
    Shapes,
    as_json,
    spread_out,
)


def squares(places, side=10.0):
    return np.array([shapely.box(x, y, x + side, y + side) for x, y in places], dtype=object)


def shapes(polygons, scores, **columns):
    scores = np.asarray(scores, dtype=float)
    return Shapes('roofs', polygons, {'score': scores, **columns}, (SCORES.coloring(scores),), scores)


def test_outlines_stand_in_the_page_as_whole_parts_of_pixels_without_what_nobody_sees():
    wavy = shapely.Polygon([(0, 0), (10, 0.2), (20, 0), (20, 20), (0, 20)], [[(5, 5), (5, 10), (10, 10), (10, 5)]])
    both = shapely.MultiPolygon([shapely.box(30, 30, 32.2, 32), shapely.box(40, 40, 44, 44)])
    found = shapes(np.array([wavy, both], dtype=object), [0.9, 0.8]).to_json((100, 100), 0, 1e6)
    assert found['unit'] == 1 / 8
    outer, hole = found['outlines'][0]
    assert set(zip(outer[::2], outer[1::2], strict=True)) == {(0, 0), (160, 0), (160, 160), (0, 160)}
    assert set(zip(hole[::2], hole[1::2], strict=True)) == {(40, 40), (40, 80), (80, 80), (80, 40)}
    assert [max(ring) for ring in found['outlines'][1]] == [258, 352]
    coarser = shapes(np.array([wavy], dtype=object), [0.9]).to_json((100, 100), 3, 1e6)
    assert coarser['unit'] == 1
    assert set(zip(*[iter(coarser['outlines'][0][0])] * 2, strict=True)) == {(0, 0), (20, 0), (20, 20), (0, 20)}


def test_of_too_many_the_surest_of_each_part_of_the_raster_are_kept():
    random = np.random.default_rng(0)
    crowd = random.uniform(0, 60, (500, 2))
    alone = np.array([[900.0, 900.0], [500.0, 100.0]])
    scores = np.concatenate([random.uniform(0.5, 1, 500), [0.3, 0.31]])
    polygons = squares(np.concatenate([crowd, alone]), 1.0)
    order = spread_out(polygons, scores, (1000, 1000))
    assert sorted(order.tolist()) == list(range(502))
    assert {500, 501} <= set(order[:4].tolist())  # one cell and these two: the best of each come first
    assert order[0] == scores.argmax()
    found = shapes(polygons, scores).to_json((1000, 1000), 0, 2500)
    shown = [row[0] for row in found['rows']]
    assert 0 < len(shown) < 502
    assert found['left_out'] == 502 - len(shown)
    assert shown == sorted(shown, reverse=True)
    assert {0.3, 0.31} <= set(shown)
    assert sum(int(key['count']) for key in found['colorings'][0]['keys']) == 502  # legends count all


def test_no_more_than_a_number_are_drawn_however_small_they_are():
    places = np.random.default_rng(0).uniform(0, 5000, (MAX_SHAPES + 7, 2))
    found = shapes(squares(places), np.linspace(0, 1, len(places))).to_json((5000, 5000), 0, 1e9)
    assert (len(found['rows']), found['left_out']) == (MAX_SHAPES, 7)
    middles = np.array([np.mean(np.reshape(rings[0], (-1, 2)), axis=0) for rings in found['outlines']]) / 8
    assert len(np.unique((middles / 5010 * GRID).astype(int), axis=0)) == GRID**2


def test_what_is_not_known_is_last_and_grey():
    scores = np.array([np.nan, 0.4, 0.95])
    found = shapes(squares([(0, 0), (20, 0), (40, 0)]), scores).to_json((100, 100), 0, 1e6)
    assert [row[0] for row in found['rows']] == [0.95, 0.4, None]
    assert found['colorings'][0]['colors'] == ['#0072B2', '#D55E00', '#999999']
    assert [(key['label'], key['count']) for key in found['colorings'][0]['keys']] == [
        ('below 0.5', '1'),
        ('0.9 and above', '1'),
        ('unknown', '1'),
    ]


def test_nothing_at_all_is_a_layer_too():
    found = shapes(np.zeros(0, dtype=object), []).to_json((100, 100), 0, 1e6)
    assert (found['rows'], found['outlines'], found['left_out']) == ([], [], 0)
    assert found['colorings'][0]['keys'] == []


def test_a_number_at_a_limit_belongs_to_the_upper_range():
    heights = Ranges('height', (12.0, 35.1), ('low', 'middle', 'high'), ('#111111', '#222222', '#333333'))
    assert heights.coloring([11.9, 12, np.float32(35.1), 35.09, np.nan]).groups.tolist() == [0, 1, 2, 1, 3]


def test_texts_have_the_colours_that_are_known():
    coloring = Coloring.by_value('class', ['b', 'a', 'c', 'b'], {'a': '#111111', 'b': '#222222'})
    assert [coloring.colors[group] for group in coloring.groups] == ['#222222', '#111111', '#999999', '#222222']
    assert [(key.label, key.count) for key in coloring.legend()] == [('a', '1'), ('b', '2'), ('unknown', '1')]


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (np.float32(0.1), 0.1),
        (1234.5678, 1234.57),
        (float('inf'), None),
        (np.nan, None),
        (np.int64(7), 7),
        (True, True),
        ('x' * 300, 'x' * MAX_TEXT + '…'),
        (np.datetime64('2026-11-30'), '2026-11-30'),
        (np.datetime64('NaT'), None),
        (['a'], "['a']"),
    ],
)
def test_attributes_become_what_json_holds(value, expected):
    assert as_json(value) == expected
