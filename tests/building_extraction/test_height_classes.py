"""The limits between the classes."""

import numpy as np
import pytest

from projects.building_extraction.height_classes import HeightClasses


def test_a_limit_belongs_to_the_class_above_it_and_nan_to_the_unknown():
    heights_m = np.array([0.0, 11.999, 12.0, 34.9, 35.0, 99.9, 100.0, 828.0, np.nan])
    classes = HeightClasses()
    assert classes.index(heights_m).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert classes.names_with_unknown[classes.index(np.float32(20))] == 'mid-rise'
    assert classes.names_with_unknown[4] == 'unknown height'


def test_limits_can_be_others():
    classes = HeightClasses((50.0,), ('low', 'high'))
    assert classes.index(np.array([[49.0, 50.0], [np.nan, 0.0]])).tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    ('limits_m', 'names', 'message'),
    [
        ((35.0, 12.0), ('a', 'b', 'c'), 'ascending'),
        ((12.0, 12.0), ('a', 'b', 'c'), 'ascending'),
        ((12.0,), ('a',), 'expected 2 different ones'),
        ((12.0,), ('a', 'a'), 'expected 2 different ones'),
        ((12.0,), ('a', 'unknown height'), 'expected 2 different ones'),
    ],
)
def test_contradictory_classes_are_refused(limits_m, names, message):
    with pytest.raises(ValueError, match=message):
        HeightClasses(limits_m, names)
