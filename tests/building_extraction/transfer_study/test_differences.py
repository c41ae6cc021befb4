"""Differences and p-values: by hand, and how often intervals are right."""

import numpy as np
import pytest

from projects.building_extraction.transfer_study.differences import (
    Difference,
    bootstrap_f1,
    compare,
    f1_percent,
    holm,
)


def test_f1_is_of_summed_counts_and_undefined_without_buildings():
    counts = np.array([[3, 1, 2], [0, 0, 4], [0, 5, 0], [0, 0, 0]])
    np.testing.assert_allclose(f1_percent(counts), [200 * 3 / 9, 0, np.nan, np.nan])


def test_of_equal_tiles_every_draw_is_the_same():
    tiles = np.tile([4, 1, 1], (6, 1))
    observed, drawn = bootstrap_f1([tiles, tiles[:3]], draws=50)
    np.testing.assert_allclose(observed, 80)
    assert drawn.shape == (50, 2)
    np.testing.assert_allclose(drawn, 80)


def test_draws_are_of_replicates_and_of_the_tiles_of_each():
    """One replicate of F1 100, one of two tiles, of which one is found and one is not: 0, 66.7 or 100."""
    found, mixed = np.array([[1, 0, 0]] * 2), np.array([[1, 0, 0], [0, 0, 1]])
    observed, drawn = bootstrap_f1([found, mixed], draws=40_000)
    np.testing.assert_allclose(observed, [100, 200 / 3])
    shares = {value: float(np.isclose(drawn, value).mean()) for value in (0, 200 / 3, 100)}
    assert shares == pytest.approx({0: 1 / 8, 200 / 3: 1 / 4, 100: 5 / 8}, abs=0.01)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0, abs=0.02)  # a replicate that is drawn twice has other tiles


def test_the_same_draws_serve_all_methods_and_classes_and_are_repeatable():
    counts = np.random.default_rng(0).integers(1, 50, size=(12, 1, 1, 3)) * np.ones((1, 2, 3, 1), int)
    _, drawn = bootstrap_f1([counts, counts], draws=20)
    assert drawn.shape == (20, 2, 2, 3)
    np.testing.assert_array_equal(drawn, drawn[..., :1, :1] * np.ones((2, 3)))
    np.testing.assert_array_equal(drawn, bootstrap_f1([counts, counts], draws=20)[1])


def difference(ours, theirs):
    return compare('a', 'b', 'overall', ours, theirs)


def test_one_replicate_has_a_difference_and_no_interval():
    found = difference((np.array([2.0]), np.array([[2.0], [1.0]])), (np.array([1.5]), np.zeros((2, 1))))
    assert found == Difference('a', 'b', 'overall', 1, 0.5)
    assert found.reversed() == Difference('b', 'a', 'overall', 1, -0.5)


def test_a_difference_is_turned_round():
    found = Difference('a', 'b', 'overall', 3, 2.0, -1.0, 5.0, 0.1)
    assert found.reversed() == Difference('b', 'a', 'overall', 3, -2.0, -5.0, 1.0, 0.1)


def test_holms_adjustment_is_that_by_hand():
    adjusted = holm({'a': 0.01, 'b': 0.04, 'c': 0.03, 'd': 0.005})
    assert adjusted == pytest.approx({'d': 0.02, 'a': 0.03, 'c': 0.06, 'b': 0.06})
    assert holm({'a': 0.6, 'b': 0.9}) == {'a': 1.0, 'b': 1.0}
    assert holm({}) == {}


def simulate(random, replicates, tiles, effect, spread):
    """Counts of two methods that find a share of the building pixels of each tile; the share varies with all."""
    counts = []
    for _ in range(replicates):
        gain = effect + spread * random.standard_normal()
        buildings = random.integers(200, 4000, size=(tiles, 1))
        shares = 0.7 + 0.1 * random.standard_normal((tiles, 1)) + np.array([[gain, 0.0]])
        shares = shares + 0.03 * random.standard_normal((tiles, 2))
        tp = (np.clip(shares, 0.05, 1) * buildings).astype(int)
        counts.append(np.stack([tp, buildings // 5 + 0 * tp, buildings - tp], axis=-1))
    return counts


@pytest.mark.parametrize('spread', [0.0, 0.03])
def test_the_interval_of_five_replicates_covers_no_difference_and_it_is_seldom_called_one(spread):
    """Whether tiles vary alone or replicates do as well."""
    random, trials = np.random.default_rng(1), 300
    covered, called = 0, 0
    for _ in range(trials):
        observed, drawn = bootstrap_f1(simulate(random, 5, 20, 0.0, spread), draws=300)
        found = difference((observed[:, 0], drawn[..., 0]), (observed[:, 1], drawn[..., 1]))
        covered += found.low <= 0 <= found.high
        called += found.p < 0.05 and found.mean > 0
    assert covered / trials >= 0.92
    assert called / trials <= 0.06


def test_a_difference_that_is_there_is_found():
    random, found = np.random.default_rng(2), []
    for _ in range(20):
        observed, drawn = bootstrap_f1(simulate(random, 5, 20, 0.08, 0.01), draws=300)
        found.append(difference((observed[:, 0], drawn[..., 0]), (observed[:, 1], drawn[..., 1])).p)
    assert np.mean(np.array(found) < 0.005) > 0.8
