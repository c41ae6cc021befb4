"""Intervals by hand: of one cell, of cells that agree and of cells that do not."""

import numpy as np
import pytest

from projects.deployment.quantization_study.intervals import mean_and_spread, paired_interval
from projects.deployment.quantization_study.records import Cell, Score


def cells(seeds=3, sets=3):
    return [Cell('net', seed, calibration) for seed in range(seeds) for calibration in range(sets)]


def scores(of, values, shifts):
    return {cell: Score(value, tuple(value + shifts)) for cell, value in zip(of, values, strict=True)}


def test_what_both_share_cancels():
    """Images move both scores by 10, their difference by nothing: it is told exactly."""
    shifts = np.random.default_rng(0).normal(0, 10, 100)
    interval = paired_interval(scores(cells(), [70] * 9, shifts), scores(cells(), [69] * 9, shifts))
    assert interval.difference == interval.low == interval.high == pytest.approx(1)
    assert (interval.verdict, interval.cells) == ('better', 9)


def test_one_cell_has_the_interval_of_its_images():
    shifts = np.arange(-50, 51) / 10
    one, other = scores(cells(1, 1), [10], shifts), scores(cells(1, 1), [9], np.zeros(101))
    interval = paired_interval(one, other)
    assert (interval.low, interval.high) == pytest.approx((1 - 4.75, 1 + 4.75))
    assert interval.verdict == 'not told apart'


def test_trainings_that_disagree_widen_it():
    """Differences of -1, 0 and 4 by training: of 27 draws of three trainings, one has a mean of -1 and one of 4."""
    of, zeros = cells(3, 1), np.zeros(2000)
    interval = paired_interval(scores(of, [-1, 0, 4], zeros), scores(of, [0, 0, 0], zeros))
    assert interval.difference == pytest.approx(1)
    assert (interval.low, interval.high) == pytest.approx((-1, 4))
    reversed_ = paired_interval(scores(of, [0, 0, 0], zeros), scores(of, [-1, 0, 4], zeros))
    assert reversed_.difference == pytest.approx(-1)


def test_only_cells_that_both_have_count():
    of, zeros = cells(1, 3), np.zeros(10)
    interval = paired_interval(scores(of, [3, 3, 9], zeros), scores(of[:2], [5, 5], zeros))
    assert (interval.difference, interval.cells, interval.verdict) == (-2, 2, 'worse')
    assert paired_interval(scores(of[:1], [1], zeros), scores(of[1:2], [1], zeros)) is None


def test_spread_of_one_value_is_not_known():
    assert mean_and_spread([3.0]) == (3.0, None)
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
