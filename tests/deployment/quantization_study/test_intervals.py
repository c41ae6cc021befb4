"""Intervals by hand: of one cell, of cells that agree and of cells that do not."""

import numpy as np
import pytest

from projects.deployment.quantization_study.intervals import paired_interval
from projects.deployment.quantization_study.records import Cell, Score


def cells(seeds=3, sets=3):
    return [Cell('net', seed, calibration) for seed in range(seeds) for calibration in range(sets)]


def scores(of, values, shifts):
    return {cell: Score(value, tuple(value + shifts)) for cell, value in zip(of, values, strict=True)}


def test_what_both_share_cancels():
    """Images move both scores by 10, their difference by nothing: it is told exactly."""
    shifts = np.random.default_rng(0).normal(0, 10, 100)
    interval = paired_interval(scores(cells(), [70] * 9, shifts), scores(cells(), [69] * 9, shifts))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((1, 1, 1))
    assert (interval.verdict, interval.n) == ('better', 3)


def test_one_cell_has_the_interval_of_its_images():
    shifts = np.arange(-50, 51) / 10
    one, other = scores(cells(1, 1), [10], shifts), scores(cells(1, 1), [9], np.zeros(101))
    interval = paired_interval(one, other)
    assert (interval.low, interval.high) == pytest.approx((1 - 4.75, 1 + 4.75))
    assert interval.verdict == 'not told apart'


def test_one_training_has_the_interval_of_its_calibration_sets():
    """Differences of 0 and 4 by set: of four draws of two sets, one has a mean of 0 and one of 4."""
    zeros = np.zeros(2000)
    interval = paired_interval(scores(cells(1, 2), [5, 9], zeros), scores(cells(1, 2), [5, 5], zeros))
    assert (interval.n, interval.mean, interval.low, interval.high) == (1, 2, 0, 4)


def test_trainings_that_disagree_widen_it():
    """Differences of -1, 0 and 4: Student's interval of two degrees of freedom, 1 +- 4.303 sqrt(7 / 3)."""
    of, zeros = cells(3, 1), np.zeros(20_000)
    interval = paired_interval(scores(of, [-1, 0, 4], zeros), scores(of, [0, 0, 0], zeros))
    assert (interval.n, interval.mean) == (3, pytest.approx(1))
    assert (interval.low, interval.high) == pytest.approx((1 - 6.572, 1 + 6.572), abs=0.1)
    reversed_ = paired_interval(scores(of, [0, 0, 0], zeros), scores(of, [-1, 0, 4], zeros))
    assert reversed_.mean == pytest.approx(-1)


def test_calibration_sets_of_a_training_and_images_widen_it_too():
    """Two trainings that agree, each with sets that differ by -2 and 2: of four draws of two, one has -2, one has 2.

    The variance of a training is 2, that of the mean of two 1; images add 9 at every place alike.
    """
    shifts = np.random.default_rng(0).choice([-3.0, 3.0], 20_000)
    interval = paired_interval(
        scores(cells(2, 2), [0, 4, 0, 4], shifts), scores(cells(2, 2), [2] * 4, np.zeros(20_000))
    )
    error = (interval.high - interval.low) / 2 / 12.706  # Student's quantile of one degree of freedom
    assert error**2 == pytest.approx(2 * (1 + 9), rel=0.05)


def test_a_training_with_more_sets_counts_no_more():
    of, zeros = [Cell('net', 0, 0), Cell('net', 0, 1), Cell('net', 1, 0)], np.zeros(10)
    assert paired_interval(scores(of, [1, 3, 8], zeros), scores(of, [0, 0, 0], zeros)).mean == 5


def test_only_cells_that_both_have_count():
    of, zeros = cells(1, 3), np.zeros(10)
    interval = paired_interval(scores(of, [3, 3, 9], zeros), scores(of[:2], [5, 5], zeros))
    assert (interval.n, interval.mean, interval.low, interval.high, interval.verdict) == (1, -2, -2, -2, 'worse')
    assert paired_interval(scores(of[:1], [1], zeros), scores(of[1:2], [1], zeros)) is None


@pytest.mark.parametrize('spread', [0.1, 1.0])
def test_the_interval_of_three_trainings_covers_the_truth(spread):
    """Whether images vary alone, nearly, or trainings and calibration sets do as well."""
    random, covered, images, draws = np.random.default_rng(1), 0, 60, 200
    weights = random.multinomial(images, np.full(images, 1 / images), size=draws) / images
    for _ in range(300):
        of_images = random.standard_normal(images)
        one, other = {}, {}
        for seed in range(3):
            training = spread * random.standard_normal()
            for calibration in range(3):
                shift = training + spread * random.standard_normal()
                each = of_images + shift + 0.1 * random.standard_normal(images)
                cell = Cell('net', seed, calibration)
                one[cell], other[cell] = Score(each.mean(), tuple(weights @ each)), Score(0, (0,) * draws)
        interval = paired_interval(one, other)
        covered += interval.low <= 0 <= interval.high
    assert covered / 300 >= 0.94
