"""Differences of candidates over trainings, calibration sets and images, with intervals."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .records import Cell, Score

LEVELS = (2.5, 97.5)  # percentiles: an interval of 95 %


class Interval(NamedTuple):
    """A mean difference and where it may lie.

    Attributes:
        difference: In the unit of the scores.
        low: 2.5 % of the draws lie below.
        high: 2.5 % lie above.
        cells: Number of trainings and calibration sets that it stands on.
    """

    difference: float
    low: float
    high: float
    cells: int

    @property
    def verdict(self) -> str:
        """'better' or 'worse' if the interval excludes 0, else 'not told apart'."""
        return 'better' if self.low > 0 else 'worse' if self.high < 0 else 'not told apart'


def paired_interval(scores: Mapping[Cell, Score], others: Mapping[Cell, Score], seed: int = 0) -> Interval | None:
    """How much better one candidate is than another in the cells that both were measured in.

    A hierarchical bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): each draw takes
    trainings, for each of them calibration sets, and images, all with replacement; both candidates see the same draw.

    Args:
        scores: Of the one.
        others: Of the other, from the same draws of images.
        seed: Of the drawing.

    Returns:
        None if no cell has both.
    """
    cells = [cell for cell in scores if cell in others]
    if not cells:
        return None
    value = float(np.mean([scores[cell].value - others[cell].value for cell in cells]))
    differences = {
        cell: np.subtract(scores[cell].resampled, others[cell].resampled) for cell in cells
    }  # by draw of images
    draws = _draw(cells, differences, np.random.default_rng(seed))
    draws = draws[~np.isnan(draws)]
    low, high = np.percentile(draws, LEVELS) if len(draws) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), len(cells))


def _draw(cells: Sequence[Cell], differences: Mapping[Cell, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    by_seed: dict[int, list[Cell]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(cell)
    seeds = list(by_seed)
    means = []
    for draw in range(len(differences[cells[0]])):
        drawn = []
        for seed in rng.choice(len(seeds), len(seeds)):
            group = by_seed[seeds[seed]]
            drawn += [differences[group[index]][draw] for index in rng.choice(len(group), len(group))]
        means.append(np.mean(drawn))
    return np.array(means)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of some values, and their sample standard deviation if there are several."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
