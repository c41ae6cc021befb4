"""Networks beside one another: which are better in one respect and worse in none, and by how much a front is better."""

from collections.abc import Sequence

import numpy as np

Pair = tuple[float, float]
"""A cost, the lower the better, and a utility, the higher the better."""


def pareto_ranks(pairs: Sequence[Pair]) -> list[int]:
    """Return the rank of each pair: 0 on the front, 1 on the front of the rest, and so on (non-dominated sorting).

    Equal pairs have equal ranks.

    Example:
        >>> pareto_ranks([(1, 1), (2, 3), (2, 2), (3, 3)])
        [0, 0, 1, 1]
    """
    costs, utilities = np.array(pairs, float).reshape(-1, 2).T
    no_worse = (costs[:, None] <= costs) & (utilities[:, None] >= utilities)
    better = no_worse & ((costs[:, None] < costs) | (utilities[:, None] > utilities))
    ranks = np.full(len(pairs), -1)
    left = np.arange(len(pairs))
    rank = 0
    while left.size:
        front = ~better[np.ix_(left, left)].any(axis=0)
        ranks[left[front]] = rank
        left, rank = left[~front], rank + 1
    return ranks.tolist()


def promoted(pairs: Sequence[Pair], number: int) -> list[int]:
    """Return the indices of the pairs that go on: half of them, rounded up, of the highest utility, others by rank.

    All pairs keep the budget, and the best of them is asked for, whatever it costs: by rank alone the places go to the
    cheapest of the front, which no longer training makes the best. By utility alone only the most costly go on, which
    short trainings are the least fair to.
    """
    ranks = pareto_ranks(pairs)
    by_utility = sorted(range(len(pairs)), key=lambda index: (-pairs[index][1], pairs[index][0]))
    by_rank = sorted(range(len(pairs)), key=lambda index: (ranks[index], -pairs[index][1], pairs[index][0]))
    return list(dict.fromkeys([*by_utility[: -(-number // 2)], *by_rank]))[:number]


def hypervolume(pairs: Sequence[Pair], most: float, least: float = 0.0) -> float:
    """Return the area that pairs dominate up to a reference.

    Args:
        pairs: Of a front, or with others.
        most: Cost of the reference; pairs that cost more add nothing.
        least: Utility of the reference.

    Example:
        >>> hypervolume([(1, 2), (2, 3)], most=4)
        8.0
    """
    area, height = 0.0, least
    inside = sorted(pair for pair in pairs if pair[0] <= most and pair[1] > least)
    for index in pareto_front(inside):
        cost, utility = inside[index]
        area += (most - cost) * (utility - height)
        height = utility
    return float(area)


def pareto_front(pairs: Sequence[Pair]) -> list[int]:
    """Return the indices of the pairs that none dominates, by rising cost; of equal pairs the first."""
    front: list[int] = []
    for index in sorted(range(len(pairs)), key=lambda index: (pairs[index][0], -pairs[index][1])):
        if not front or pairs[index][1] > pairs[front[-1]][1]:
            front.append(index)
    return front
