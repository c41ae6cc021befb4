"""What scores come to over seeds, and whether one method beats another by more than the seeds' spread."""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from scipy.stats import t as student_t

CLEAR_STANDARD_ERRORS = 2
WIN, LOSS, WITHIN, ONE_SEED, NO_SEED = 'clear win', 'clear loss', 'within the spread', 'one seed only', 'no common seed'
JUDGED = (WIN, LOSS, WITHIN)


def summarise(values: Iterable[float | None]) -> dict[str, Any]:
    """Return `n`, `mean` and `std`, the sample standard deviation (n - 1), of the values that are not None.

    `mean` is None without values, `std` is None with fewer than two.
    """
    known = [value for value in values if value is not None]
    return {
        'n': len(known),
        'mean': statistics.fmean(known) if known else None,
        'std': statistics.stdev(known) if len(known) > 1 else None,
    }


def compare(scores: Mapping[int, float], others: Mapping[int, float]) -> dict[str, Any]:
    """Judge how much better one method scores than another on the seeds that both have.

    A difference is clear if it exceeds `CLEAR_STANDARD_ERRORS` standard errors, std / sqrt(n), of the paired
    differences; the rule says nothing about fewer than two seeds.

    Args:
        scores: The method's score by seed.
        others: The other method's score by seed.

    Returns:
        `differences` by seed, their `n`, `mean`, `std`, `standard_error`, and `outcome` as seen by the first method.
    """
    differences = {seed: scores[seed] - others[seed] for seed in sorted(scores.keys() & others.keys())}
    summary = summarise(differences.values())
    n, mean, std = summary['n'], summary['mean'], summary['std']
    error = None if std is None else std / math.sqrt(n)
    if n == 0:
        outcome = NO_SEED
    elif error is None:
        outcome = ONE_SEED
    elif abs(mean) > CLEAR_STANDARD_ERRORS * error:
        outcome = WIN if mean > 0 else LOSS
    else:
        outcome = WITHIN
    return {'differences': differences, **summary, 'standard_error': error, 'outcome': outcome}


def chance_of_clear(n: int) -> float:
    """Return how often chance alone makes a difference clear where there is none.

    Twice the tail of Student's t-distribution with n - 1 degrees of freedom beyond `CLEAR_STANDARD_ERRORS`, if the
    paired differences are normal: 0.30 for 2 seeds, 0.18 for 3, 0.12 for 5.

    Args:
        n: Seeds, at least 2.

    Raises:
        ValueError: If there are fewer seeds.
    """
    if n < 2:
        raise ValueError(f'n is {n}; differences have a standard error from 2 seeds on.')
    return 2 * float(student_t.sf(CLEAR_STANDARD_ERRORS, n - 1))
