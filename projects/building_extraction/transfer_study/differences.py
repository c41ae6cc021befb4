"""By how much F1 two methods differ over replicates and tiles, and p-values of several claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from projects.training.experiments.intervals import draw_anew, student_interval

DRAWS = 4000


@dataclass(frozen=True)
class Difference:
    """By how many points of F1 a method is above another on the same replicates and tiles.

    Attributes:
        method: The one.
        other: The other; 'a and b' is the mean F1 of two.
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
    """F1 of each replicate, and of each one that `draw_anew` draws, with its tiles drawn anew.

    All methods and classes see the same draws, so that differences are paired.

    Args:
        counts: For each replicate (T, ..., 3) true positives, false positives and false negatives of each tile; T may
            differ between replicates, the rest may not.
        draws: How often.
        seed: Of the draws.

    Returns:
        (R, ...) F1 in percent of the tiles that there are; (draws, R, ...) of each drawn replicate. NaN where nothing
        is labelled.
    """
    flat = [np.asarray(each, float).reshape(len(each), -1) for each in counts]
    drawn = np.empty((draws, len(counts), flat[0].shape[1]))
    for tiles, (places, often) in zip(flat, draw_anew([*map(len, flat)], draws, seed), strict=True):
        drawn[places] = often @ tiles
    observed = np.stack([each.sum(axis=0) for each in counts])
    return f1_percent(observed), f1_percent(drawn.reshape(draws, *observed.shape))


def compare(
    method: str,
    other: str,
    height_class: str,
    ours: tuple[np.ndarray, np.ndarray],
    theirs: tuple[np.ndarray, np.ndarray],
) -> Difference | None:
    """How far a method is above another, by `student_interval`.

    Args:
        method: The one's name.
        other: The other's.
        height_class: Of the buildings.
        ours: (R,) and (draws, R) of `bootstrap_f1`, of the one.
        theirs: Of the other, from the same draws.

    Returns:
        The difference; None if no replicate has an F1 of both.
    """
    interval = student_interval(ours[0] - theirs[0], ours[1] - theirs[1])
    return None if interval is None else Difference(method, other, height_class, *interval)


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
