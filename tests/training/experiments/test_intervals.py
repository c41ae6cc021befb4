"""Spreads, draws and intervals by hand; how often intervals are right is tested on the studies' own scores."""

import math

import numpy as np
import pytest

from projects.training.experiments.intervals import (
    Interval,
    Spread,
    draw_anew,
    mean_of_known,
    student_interval,
    summarize,
)


def test_mean_and_sample_standard_deviation_are_those_by_hand():
    assert summarize([80.0, None, 82.0, 87.0]) == Spread(3, 83.0, pytest.approx(math.sqrt(13)))
    assert summarize([80.0]) == Spread(1, 80.0, None)
    assert summarize([None]) == Spread(0, None, None)


def test_replicates_are_drawn_and_then_their_items():
    """Two replicates of two and of three items; each place of a draw has the first one half of the time."""
    (first, of_first), (second, of_second) = draw_anew([2, 3], draws=20_000)
    np.testing.assert_array_equal(first, ~second)
    assert first.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.02)
    assert np.corrcoef(first.T)[0, 1] == pytest.approx(0, abs=0.03)
    assert (of_first.shape, of_second.shape) == ((first.sum(), 2), (second.sum(), 3))
    assert set(of_first.sum(axis=1)) == {2}
    assert set(of_second.sum(axis=1)) == {3}
    assert [(of_first[:, 0] == often).mean() for often in range(3)] == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert (of_second == 1).all(axis=1).mean() == pytest.approx(6 / 27, abs=0.02)
    again = draw_anew([2, 3], draws=20_000)
    np.testing.assert_array_equal(of_second, again[1][1])
    assert not np.array_equal(of_second[:50], draw_anew([2, 3], draws=20_000, seed=1)[1][1][:50])


def test_the_interval_is_students_of_the_widened_standard_error_by_hand():
    drawn = np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 1.0], [3.0, 3.0]])  # every way to draw two of two
    found = student_interval(np.array([1.0, 3.0]), drawn)
    assert (found.n, found.mean) == (2, 2.0)
    error = np.std([1, 2, 2, 3], ddof=1) * math.sqrt(2)
    quantile = math.tan(math.pi * 0.475)  # of Cauchy's distribution, which Student's is of one degree of freedom
    assert (found.low, found.high) == pytest.approx((2 - quantile * error, 2 + quantile * error))
    assert found.p == pytest.approx(1 - 2 / math.pi * math.atan(2 / error))


def test_a_replicate_without_a_score_does_not_count():
    drawn = np.array([[1.0, np.nan, 3.0], [np.nan, 1.0, 1.0], [np.nan, np.nan, np.nan], [3.0, 3.0, np.nan]])
    np.testing.assert_array_equal(mean_of_known(drawn), [2, 1, 3])
    found = student_interval(np.array([1.0, 3.0, np.nan]), drawn)
    assert (found.n, found.mean) == (2, 2.0)
    assert found.high - 2 == pytest.approx(math.tan(math.pi * 0.475) * np.std([2, 1, 3], ddof=1) * math.sqrt(2))
    assert student_interval(np.full(3, np.nan), drawn) is None


def test_one_replicate_or_no_draws_tell_nothing():
    assert student_interval(np.array([0.5]), np.array([[2.0], [1.0]])) == Interval(1, 0.5)
    assert student_interval(np.array([0.5, 1.5]), np.empty((0, 2))) == Interval(2, 1.0)


def test_replicates_and_draws_that_agree_leave_no_doubt():
    assert student_interval(np.ones(3), np.ones((9, 3))) == Interval(3, 1.0, 1.0, 1.0, 0.0)
    assert student_interval(np.zeros(3), np.zeros((9, 3))) == Interval(3, 0.0, 0.0, 0.0, 1.0)


def test_better_is_said_where_the_interval_excludes_zero():
    told = [Interval(5, 2.0, *limits).verdict for limits in ((1.0, 3.0), (-1.0, 5.0), (0.0, 4.0), ())]
    assert told == ['better', *['not told apart'] * 3]
    assert Interval(5, -2.0, -3.0, -1.0).verdict == 'worse'
