"""Lines with coefficients of at least 0, by relative errors."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls


def fit_line(features: Sequence[Sequence[float]], values: Sequence[float]) -> np.ndarray:
    """Coefficients, none below 0, of the least sum of squared relative errors.

    Args:
        features: (N, F).
        values: (N,), above 0.

    Returns:
        (F,).

    Raises:
        ValueError: There is nothing to fit.
    """
    rows, target = np.asarray(features, float), np.asarray(values, float)
    if not len(target):
        raise ValueError('there are no values to fit a line to')
    rows = rows / target[:, None]
    scale = np.abs(rows).max(axis=0)
    scale[scale == 0] = 1.0
    coefficients, _ = nnls(rows / scale, np.ones(len(target)))
    return coefficients / scale
