"""Classes by height: limits, unknown heights, refusals."""

import numpy as np
import pytest

from projects.building_extraction.height_classes import HeightClasses


def test_a_height_equal_to_a_limit_belongs_to_the_upper_class():
    classes = HeightClasses()
    heights_m = [0, 11.99, 12, 34.99, 35, 99.99, 100, 828, np.nan]
    names = [classes.names_with_unknown[index] for index in classes.index(heights_m)]
    assert names == [
        *['low-rise'] * 2,
        *['mid-rise'] * 2,
        *['high-rise'] * 2,
        *['skyscraper'] * 2,
        'unknown height',
    ]


def test_limits_can_be_others():
    classes = HeightClasses((50.0,), ('low', 'high'))
    assert classes.index(np.array([[49.0, 50.0], [np.nan, 0.0]])).tolist() == [[0, 1], [2, 0]]


def test_the_shape_of_the_heights_is_kept():
    assert HeightClasses().index(np.full((2, 0, 3), 5.0)).shape == (2, 0, 3)
    assert HeightClasses().index(np.float32(50)) == 2


@pytest.mark.parametrize('limit_m', [3.3, 10.1, 0.7])
def test_the_precision_that_a_height_is_stored_in_does_not_change_its_class(limit_m):
    classes = HeightClasses((limit_m,), ('low', 'high'))
    assert classes.index(np.array([limit_m], np.float32)) == classes.index(np.array([limit_m])) == [1]


def test_one_class_needs_no_limit():
    assert HeightClasses((), ('all',)).index([3.0, np.nan]).tolist() == [0, 1]


@pytest.mark.parametrize('limits_m', [(35, 12, 100), (12, 12, 100), (12, 35, np.nan), (12, 35, np.inf)])
def test_limits_that_do_not_ascend_are_refused(limits_m):
    with pytest.raises(ValueError, match='expected ascending heights in metres'):
        HeightClasses(limits_m)


@pytest.mark.parametrize('names', [('low', 'high'), ('a', 'a', 'b', 'c'), ('a', 'b', 'c', 'unknown height')])
def test_names_that_do_not_fit_are_refused(names):
    with pytest.raises(ValueError, match="expected 4 different ones, and not 'unknown height'"):
        HeightClasses(names=names)
