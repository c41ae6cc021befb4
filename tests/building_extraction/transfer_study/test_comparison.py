import math

import pytest

from projects.building_extraction.transfer_study.comparison import (
    LOSS,
    NO_SEED,
    ONE_SEED,
    WIN,
    WITHIN,
    Spread,
    chance_of_clear,
    compare,
    summarize,
)


def test_mean_and_sample_standard_deviation_are_those_by_hand():
    assert summarize([80.0, 82.0, 87.0]) == Spread(3, 83.0, pytest.approx(math.sqrt(13)))


def test_undefined_scores_are_left_out_and_counted_so():
    assert summarize([80.0, None, 84.0]) == Spread(2, 82.0, pytest.approx(math.sqrt(8)))


def test_one_value_has_no_spread_and_none_has_no_mean():
    assert summarize([80.0]) == Spread(1, 80.0, None)
    assert summarize([None]) == Spread(0, None, None)


def test_differences_are_paired_by_seed_and_not_by_order():
    comparison = compare({2: 90.0, 0: 70.0}, {0: 69.0, 1: 10.0, 2: 87.0})
    assert comparison.differences == {0: 1.0, 2: 3.0}
    assert comparison.mean == 2.0
    assert comparison.std == pytest.approx(math.sqrt(2))
    assert comparison.standard_error == pytest.approx(1.0)


@pytest.mark.parametrize(
    ('differences', 'outcome'),
    [
        ((2.0, 3.0, 4.0), WIN),  # mean 3, standard error 1 / sqrt(3)
        ((-2.0, -3.0, -4.0), LOSS),
        ((-1.0, 1.0, 3.0), WITHIN),  # mean 1, standard error 2 / sqrt(3)
        ((1.0, 3.0), WITHIN),  # mean 2, standard error 1: exactly two, not more
        ((0.9, 2.9001), WITHIN),
        ((1.0, 2.9), WIN),
        ((0.0, 0.0), WITHIN),
        ((1.5, 1.5), WIN),
        ((5.0,), ONE_SEED),
        ((), NO_SEED),
    ],
)
def test_a_difference_is_clear_beyond_two_standard_errors(differences, outcome):
    scores = dict(enumerate(differences))
    assert compare(scores, dict.fromkeys(scores, 0.0)).outcome == outcome


def test_the_spread_that_seeds_share_does_not_hide_a_difference():
    assert compare({0: 60.0, 1: 80.0, 2: 70.0}, {0: 58.9, 1: 79.1, 2: 69.0}).outcome == WIN


def test_chance_is_the_tail_of_students_distribution():
    assert chance_of_clear(2) == pytest.approx(1 - 2 * math.atan(2) / math.pi, abs=1e-6)
    assert chance_of_clear(3) == pytest.approx(1 - 2 / math.sqrt(2 + 2**2), abs=1e-6)
    assert chance_of_clear(400) == pytest.approx(math.erfc(math.sqrt(2)), abs=1e-3)
    with pytest.raises(ValueError, match='n is 1'):
        chance_of_clear(1)
