"""The one direction in which everything tall leans, in an image that a far camera took."""

import numpy as np

NOISE = 0.01  # of the longest offset: what lies nearer to the line counts by its square
ROUNDS = 20  # until the direction stands


def common_direction(offsets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Direction of offsets that are multiples of one vector but for noise, which may be gross.

    A camera far away sees all heights along one line of sight: roof - footprint = length · u, with one u for the image.
    For equal noise the most likely u is the eigenvector of sum w o oᵀ with the larger eigenvalue, with the sign that
    sum w o · u >= 0 demands: long offsets, which know the direction better, weigh by their square. But offsets of
    buildings that others hide or the border cuts point elsewhere, and the longest of them would turn the line. So the
    distances from it count by their square up to `NOISE` and by themselves beyond (Huber): eigenvectors again, with
    weights divided by the distances. The eigenvector of a symmetric 2 x 2 matrix is in closed form: half the angle of
    (C_xx - C_yy, 2 C_xy).

    Args:
        offsets: (N, 2) in any unit, x and y; NaN is unknown and takes no part.
        weights: (N,) from 0 on, such as scores; None: equal.

    Returns:
        (2,) unit vector; (1, 0) if all offsets are zero or unknown.
    """
    offsets = np.asarray(offsets, dtype=float)
    known = np.isfinite(offsets).all(axis=1)
    given, weight = offsets[known], np.ones(known.sum()) if weights is None else np.asarray(weights, float)[known]
    direction = _first_eigenvector(given, weight)
    noise = NOISE * np.linalg.norm(given, axis=1).max(initial=0)
    for _ in range(ROUNDS if noise else 0):
        away = np.abs(given @ (-direction[1], direction[0]))
        direction = _first_eigenvector(given, weight / np.maximum(away, noise))
    return -direction if weight @ (given @ direction) < 0 else direction


def _first_eigenvector(offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(2,) of sum w o oᵀ, of either sign."""
    (xx, xy), (_, yy) = (weights[:, None] * offsets).T @ offsets
    angle = np.arctan2(2 * xy, xx - yy) / 2
    return np.array([np.cos(angle), np.sin(angle)])
