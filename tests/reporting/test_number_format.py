import math

import numpy as np
import pytest

from projects.reporting.number_format import (
    NOTHING,
    counted,
    file_size,
    finite_or_none,
    fixed,
    plain,
    three_digits,
    with_range,
    with_spread,
)


@pytest.mark.parametrize(
    ('value', 'options', 'text'),
    [
        (81.25, {}, '81.2'),
        (81.25, {'digits': 0}, '81'),
        (3.14159, {'digits': 3}, '3.142'),
        (2, {'signed': True}, '+2.0'),
        (-2, {'signed': True}, '-2.0'),
        (-0.04, {}, '0.0'),
        (-0.04, {'signed': True}, '+0.0'),
        (np.float32(0.5), {'digits': 2}, '0.50'),
        (None, {}, NOTHING),
        (math.nan, {'signed': True}, NOTHING),
    ],
)
def test_decimals(value, options, text):
    assert fixed(value, **options) == text


@pytest.mark.parametrize(
    ('value', 'spread', 'options', 'text'),
    [
        (81.24, 0.449, {}, '81.2 ± 0.4'),
        (1.5, 0.7071, {'digits': 2}, '1.50 ± 0.71'),
        (3.2, 0.5, {'signed': True}, '+3.2 ± 0.5'),  # the spread has no sign
        (3.2, 0.0, {}, '3.2 ± 0.0'),
        (3.2, None, {}, '3.2'),
        (3.2, math.nan, {}, '3.2'),
        (3.2, math.inf, {}, '3.2'),
        (None, 0.5, {}, NOTHING),
        (math.nan, 0.5, {}, NOTHING),
    ],
)
def test_a_spread_follows_where_it_is_known(value, spread, options, text):
    assert with_spread(value, spread, **options) == text


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (0.714, '0.71'),
        (4.8, '4.80'),
        (9.994, '9.99'),
        (9.996, '10.0'),
        (99.94, '99.9'),
        (99.96, '100'),
        (396.4, '396'),
        (None, NOTHING),
        (math.nan, NOTHING),
    ],
)
def test_three_digits(value, text):
    assert three_digits(value) == text


def test_a_range_stands_in_brackets():
    assert with_range(4.7, 4.81, 12.34) == '4.81 (4.70–12.3)'


def test_sizes_of_files():
    assert file_size(3 * 2**20) == '3.0 MiB'
    assert file_size(2**19) == '0.5 MiB'
    assert file_size(20 * 2**20 + 1, 0) == '20 MiB'


def test_counts_of_things():
    assert [counted(number, 'thread') for number in (0, 1, 2)] == ['0 threads', '1 thread', '2 threads']


def test_json_has_no_infinities():
    values = [0.0, -1.5, math.nan, math.inf, -math.inf]
    assert [finite_or_none(value) for value in values] == [0.0, -1.5, None, None, None]


@pytest.mark.parametrize(
    ('value', 'text'),
    [(1e-4, '0.0001'), (0.1 + 0.2, '0.3'), ([], '–'), ([[0, 1], 'x'], '0, 1, x'), (False, 'no'), (None, '–')],
)
def test_values_are_written_plainly(value, text):
    assert plain(value) == text
