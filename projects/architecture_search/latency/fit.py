"""Lines through latencies, by relative errors."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import lsq_linear


def fit_line(
    features: Sequence[Sequence[float]],
    values: Sequence[float],
    least: Sequence[float] | float = 0.0,
    most: Sequence[float] | float = math.inf,
) -> np.ndarray:
    """Coefficients of the least sum of squared relative errors.

    Args:
        features: (N, F).
        values: (N,), above 0.
        least: What coefficients are not below, (F,) or one for all.
        most: What they are not above.

    Returns:
        (F,).

    Raises:
        ValueError: There is nothing to fit.
    """
    rows, target = np.asarray(features, float), np.asarray(values, float)
    if not len(target):
        raise ValueError('there are no values to fit a line to')
    rows = rows / target[:, None]
    scale = np.abs(rows).max(axis=0)  # channels of maps are millions, where ms are few
    scale[scale == 0] = 1.0
    bounds = (np.asarray(least) * scale, np.asarray(most) * scale)
    return lsq_linear(rows / scale, np.ones(len(target)), bounds, tol=1e-14).x / scale
