import numpy as np
import pytest

from projects.geodata.heights import read_heights

FOOT_M = 0.3048


def heights(values, column='height'):
    return read_heights(values, column, 'a.gpkg').tolist()


@pytest.mark.parametrize(
    ('text', 'height_m'),
    [
        ('12.5', 12.5), ('12,5', 12.5), (' 12 m', 12), ('12m', 12), ('12 M.', 12), ('+7', 7), ('.5', 0.5), ('5.', 5),
        ('1.25e1', 12.5), ('12\u00a0m', 12), ('１２', 12), ('~12', 12), ('ca. 12 m', 12), ('12 m (est.)', 12),
        ('1 234.5', 1234.5), ('1,234.5', 1234.5), ('1.234,5', 1234.5), ('850 cm', 8.5), ('12,345', 12.345),
        ('0,500', 0.5), ('1,234 ft', 1234 * FOOT_M), ('3 storeys', 9), ('3 Floors', 9), ('1 level', 3),
        ('40 ft', 12.192), ('40ft.', 12.192), ("40'", 12.192), ('40 feet', 12.192), ('40’', 12.192),
        ('22\'6"', 6.858), ('22\' 6"', 6.858), ('22’6”', 6.858), ('22′ 6″', 6.858), ("22'6''", 6.858),
        ('22 ft 6 in', 6.858), ('22ft6in', 6.858), ('22\'-6"', 6.858), ('999 ft', 999 * FOOT_M),
    ],
)  # fmt: skip
def test_text_becomes_meters(text, height_m):
    assert heights([text, '3']) == pytest.approx([height_m, 3])


def test_what_is_no_height_is_unknown_and_counted_with_examples(logged):
    values = [
        '10',
        'n/a',
        'unknown',
        'n/a',
        '',
        None,
        '0',
        '-9999',
        '9999',
        999.0,
        np.inf,
        '10-12',
        '12;15',
        '7 dogs',
        '999 m',
    ]
    found = heights(values)
    np.testing.assert_array_equal(found, [10] + [np.nan] * 14)
    (said,) = logged
    for text in ('1 known, 14 unknown', '6 not understood', '2 empty', '2 zero or negative', '4 a mark', "'n/a'"):
        assert text in said


def test_a_column_of_marks_alone_is_unknown_and_one_of_other_text_is_refused():
    np.testing.assert_array_equal(heights(['n/a', '', 'Unknown']), [np.nan] * 3)
    with pytest.raises(ValueError, match=r"a\.gpkg: the column 'name' holds .*'Town hall'"):
        heights(['Town hall', 'n/a'], 'name')
    with pytest.raises(ValueError, match='something else than heights'):
        heights([True, False], 'flag')


def test_a_comma_groups_thousands_where_the_column_has_decimal_points():
    assert heights(['1,234', '7.5']) == [1234, 7.5]
    assert heights(['1,234', '7,500']) == [1.234, 7.5]


@pytest.mark.parametrize(
    ('column', 'unit_m'),
    [
        ('height', 1), ('HEIGHT_M', 1), ('height_ft', FOOT_M), ('HeightFt', FOOT_M), ('ROOF_FEET', FOOT_M),
        ('building:levels', 3), ('num_floors', 3), ('floor_height', 1), ('height_of_floors', 1), ('height_cm', 0.01),
    ],
)  # fmt: skip
def test_a_column_may_say_what_its_numbers_are(column, unit_m):
    assert heights([10, '20', '5 m', np.float32(8), None], column)[:4] == pytest.approx(
        [10 * unit_m, 20 * unit_m, 5, 8 * unit_m]
    )


def test_unusual_heights_are_noticed(logged):
    heights([850, 1200, 990])
    assert 'half of the heights exceed 990 m' in '\n'.join(logged)
