"""What figures of a few replicates come to, and how sure a difference is: means, spreads, intervals, p-values."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """Of `n` values the mean, None without any, and the sample standard deviation (n - 1), None of fewer than two."""

    n: int = 0
    mean: float | None = None
    std: float | None = None


def summarize(values: Iterable[float | None]) -> Spread:
    """Return the spread of the values that are not None."""
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else None
    return Spread(len(known), mean, statistics.stdev(known) if len(known) > 1 else None)


class Interval(NamedTuple):
    """Where a mean difference, or another figure, may lie.

    Attributes:
        n: Replicates in which there is one.
        mean: Of them, or the figure.
        low: Of the interval of `LEVEL`; None where nothing tells.
        high: Likewise.
        p: Of no difference at all, two-sided; likewise.
    """

    n: int
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """'better' or 'worse' if the interval excludes 0, else 'not told apart'."""
        if self.low is None or self.high is None:
            return 'not told apart'
        return 'better' if self.low > 0 else 'worse' if self.high < 0 else 'not told apart'


def draw_anew(sizes: Sequence[int], draws: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """The hierarchical bootstrap: R replicates are drawn of R, and of each drawn one its items, all with replacement.

    After Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. A replicate that is drawn twice has
    other items each time.

    Args:
        sizes: Number of items of each replicate.
        draws: How often.
        seed: Of the draws.

    Returns:
        For each replicate, where it was drawn, (draws, R) bool, and how often each of its items was then,
        (times drawn, items), in the order of these places.
    """
    random = np.random.default_rng(seed)
    which = random.integers(len(sizes), size=(draws, len(sizes)))
    found = []
    for replicate, size in enumerate(sizes):
        places = which == replicate
        found.append((places, random.multinomial(size, np.full(size, 1 / size), size=int(places.sum()))))
    return found


def student_interval(observed: np.ndarray, drawn: np.ndarray) -> Interval | None:
    """The interval of a mean over few replicates, see `interval_about`.

    Args:
        observed: (R,) of each replicate; NaN where there is none.
        drawn: (draws, R) of each that was drawn, likewise.

    Returns:
        Without limits if there is but one replicate, or nothing was drawn; None if there is none.
    """
    observed = observed[~np.isnan(observed)]
    return interval_about(float(observed.mean()), mean_of_known(drawn), len(observed)) if len(observed) else None


def interval_about(figure: float, drawn: np.ndarray, n: int) -> Interval:
    """The interval of a figure of few replicates.

    It is that of Student's t with R - 1 degrees of freedom on the bootstrap's standard error, which is widened by
    sqrt(R / (R - 1)): a percentile interval of five replicates is too narrow (Hesterberg 2015, arXiv 1411.5279,
    sections 3 and 5: the bootstrap of a small sample divides by R instead of R - 1, and has normal instead of t
    quantiles).

    Args:
        figure: Of the replicates as they are.
        drawn: (draws,) Of those that `draw_anew` drew.
        n: Replicates, R.

    Returns:
        Without limits if there is but one replicate, or nothing was drawn.
    """
    if n < 2 or len(drawn) < 2:
        return Interval(n, figure)
    error = float(drawn.std(ddof=1)) * math.sqrt(n / (n - 1))
    half = error * float(student_t.ppf((1 + LEVEL) / 2, n - 1))
    p = float(2 * student_t.sf(abs(figure) / error, n - 1)) if error else float(figure == 0)
    return Interval(n, figure, figure - half, figure + half, p)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Means of the numbers in each row (rows, R); rows without any are left out."""
    known = ~np.isnan(values)
    there = known.any(axis=1)
    return np.where(known, values, 0).sum(axis=1)[there] / known.sum(axis=1)[there]
