"""What scores come to over replicates, and how sure a difference of two methods is: intervals and p-values."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.stats import t as student_t

DRAWS = 4000
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


@dataclass(frozen=True)
class Difference:
    """By how many points of F1 a method is above another on the same replicates and tiles.

    Attributes:
        method: The one.
        other: The other.
        height_class: Of the buildings.
        n: Replicates in which both have an F1.
        mean: Of the replicates' differences.
        low: Of the 95 % interval; None of fewer than two replicates.
        high: Likewise.
        p: Of no difference at all, two-sided; None of fewer than two replicates.
    """

    method: str
    other: str
    height_class: str
    n: int
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    def reversed(self) -> Self:
        """The other above the one."""
        low, high = (None if self.high is None else -self.high), (None if self.low is None else -self.low)
        return replace(self, method=self.other, other=self.method, mean=-self.mean, low=low, high=high)


def f1_percent(counts: np.ndarray) -> np.ndarray:
    """F1 of summed counts.

    Args:
        counts: (..., 3) true positives, false positives and false negatives.

    Returns:
        (...) percent; NaN where nothing is labelled: a class without buildings has no F1, whatever is found.
    """
    tp, fp, fn = np.moveaxis(np.asarray(counts, float), -1, 0)
    with np.errstate(invalid='ignore'):
        return np.where(tp + fn > 0, 200 * tp / (2 * tp + fp + fn), np.nan)


def bootstrap_f1(counts: Sequence[np.ndarray], draws: int = DRAWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """F1 of each replicate, and the mean F1 of replicates that are drawn anew, each with tiles that are drawn anew.

    The hierarchical bootstrap: of R replicates R are drawn with replacement, and of each drawn one with T tiles T, with
    replacement. All methods and classes see the same draws, so that differences are paired.

    Args:
        counts: For each replicate (T, ..., 3) true positives, false positives and false negatives of each tile; T may
            differ between replicates, the rest may not.
        draws: How often.
        seed: Of the draws.

    Returns:
        (R, ...) F1 in percent of the tiles that there are; (draws, R, ...) of each drawn replicate. NaN where nothing
        is labelled.
    """
    random = np.random.default_rng(seed)
    rest = counts[0].shape[1:]
    flat = [np.asarray(each, float).reshape(len(each), -1) for each in counts]
    which = random.integers(len(counts), size=(draws, len(counts)))
    drawn = np.empty((draws, len(counts), flat[0].shape[1]))
    for replicate, tiles in enumerate(flat):
        slots = which == replicate
        often = random.multinomial(len(tiles), np.full(len(tiles), 1 / len(tiles)), size=int(slots.sum()))
        drawn[slots] = often @ tiles
    return f1_percent(np.stack([each.sum(axis=0) for each in counts])), f1_percent(drawn.reshape(*which.shape, *rest))


def compare(
    method: str,
    other: str,
    height_class: str,
    ours: tuple[np.ndarray, np.ndarray],
    theirs: tuple[np.ndarray, np.ndarray],
) -> Difference | None:
    """How far a method is above another.

    The interval is that of Student's t with R - 1 degrees of freedom on the bootstrap's standard error, which is
    widened by sqrt(R / (R - 1)): a percentile interval of five replicates is too narrow (Hesterberg 2015,
    arXiv 1411.5279, sections 3 and 5: the bootstrap of a small sample divides by R instead of R - 1, and has normal
    instead of t quantiles).

    Args:
        method: The one's name.
        other: The other's.
        height_class: Of the buildings.
        ours: (R,) and (draws, R) of `bootstrap_f1`, of the one.
        theirs: Of the other, from the same draws.

    Returns:
        The difference; None if no replicate has an F1 of both.
    """
    observed, drawn = ours[0] - theirs[0], ours[1] - theirs[1]
    observed = observed[~np.isnan(observed)]
    n = len(observed)
    if not n:
        return None
    mean = float(observed.mean())
    if n < 2:
        return Difference(method, other, height_class, n, mean)
    known = ~np.isnan(drawn)
    means = np.where(known, drawn, 0).sum(axis=1)[known.any(axis=1)] / known.sum(axis=1)[known.any(axis=1)]
    error = float(means.std(ddof=1)) * math.sqrt(n / (n - 1))
    half = error * float(student_t.ppf((1 + LEVEL) / 2, n - 1))
    p = float(2 * student_t.sf(abs(mean) / error, n - 1)) if error else float(mean == 0)
    return Difference(method, other, height_class, n, mean, mean - half, mean + half, p)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for their number, by Holm's step-down method (Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: By the name of a hypothesis.

    Returns:
        Adjusted ones: those below 0.05 are all true discoveries in at least 95 % of studies.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
