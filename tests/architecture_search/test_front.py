import numpy as np
import pytest

from projects.architecture_search.front import hypervolume, pareto_front, pareto_ranks, promoted

# by hand: a and b on the front, c below a, d below a and b, e equal to b
PAIRS = {'a': (1.0, 3.0), 'b': (2.0, 5.0), 'c': (1.5, 2.0), 'd': (3.0, 2.5), 'e': (2.0, 5.0)}


def test_ranks_by_hand():
    assert pareto_ranks(list(PAIRS.values())) == [0, 0, 1, 1, 0]
    assert [list(PAIRS)[index] for index in pareto_front(list(PAIRS.values()))] == ['a', 'b']
    assert pareto_ranks([]) == []


def test_ranks_are_those_of_the_definition():
    pairs = [tuple(pair) for pair in np.random.default_rng(0).integers(0, 8, (60, 2)).astype(float)]
    ranks = pareto_ranks(pairs)
    for (cost, utility), rank in zip(pairs, ranks, strict=True):
        above = [
            ranks[index]
            for index, (other_cost, other_utility) in enumerate(pairs)
            if other_cost <= cost and other_utility >= utility and (other_cost, other_utility) != (cost, utility)
        ]
        assert rank == (max(above) + 1 if above else 0)


def test_promotion_keeps_the_best_ones_and_the_fast_ones():
    pairs = [(1.0, 1.0), (5.0, 9.0), (5.1, 8.9), (5.2, 8.8)]
    assert promoted(pairs, 1) == [1]
    assert promoted(pairs, 2) == [1, 0]  # by score alone, none but the slow ones would go on
    assert promoted(pairs, 4) == [1, 2, 0, 3]
    assert promoted(pairs, 9) == [1, 2, 3, 0]


def test_a_front_of_cheap_ones_does_not_take_all_places():
    # as measured: six of the front, most far below a budget of 15, and others nearly as good as the best
    front = [(3.3, 15.8), (3.9, 17.1), (4.0, 25.4), (4.1, 25.5), (5.3, 27.3), (10.2, 30.8)]
    near = [(14.7, 29.1), (11.1, 27.1)]
    assert {len(front), 4} <= set(promoted([*front, *near], 6))


def test_hypervolume_by_hand():
    assert hypervolume([(1, 2), (2, 3)], most=4) == 3 * 2 + 2 * 1
    assert hypervolume([(1, 2), (2, 3), (3, 1), (5, 9)], most=4) == 8  # dominated, and beyond the reference
    assert hypervolume([(1, 2), (2, 3)], most=4, least=1) == 3 + 2
    assert hypervolume([], most=4) == 0


@pytest.mark.parametrize('seed', range(5))
def test_hypervolume_is_the_area(seed):
    pairs = [tuple(pair) for pair in np.random.default_rng(seed).integers(0, 20, (15, 2)).astype(float)]
    x, y = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    covered = np.any([(x > cost) & (y < utility) for cost, utility in pairs], axis=0)
    assert hypervolume(pairs, most=20) == covered.sum()
