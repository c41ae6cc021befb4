"""The one direction in which everything tall leans, in an image that a far camera took."""

import numpy as np


def common_direction(offsets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Direction of offsets that differ from multiples of one vector by equal noise, by maximum likelihood.

    A camera far away sees all heights along one line of sight: roof - footprint = length · u, with one u for the image.
    u is the eigenvector of sum w o oᵀ with the larger eigenvalue, with the sign that sum w o · u >= 0 demands; so long
    offsets, which know the direction better, weigh by their square. The eigenvector of a symmetric 2 x 2 matrix is
    in closed form: half the angle of (C_xx - C_yy, 2 C_xy).

    Args:
        offsets: (N, 2) in any unit, x and y; NaN is unknown and takes no part.
        weights: (N,) from 0 on, such as scores; None: equal.

    Returns:
        (2,) unit vector; (1, 0) if all offsets are zero or unknown.
    """
    offsets = np.asarray(offsets, dtype=float)
    known = np.isfinite(offsets).all(axis=1)
    given, weight = offsets[known], np.ones(known.sum()) if weights is None else np.asarray(weights, float)[known]
    (xx, xy), (_, yy) = (weight[:, None] * given).T @ given
    angle = np.arctan2(2 * xy, xx - yy) / 2
    direction = np.array([np.cos(angle), np.sin(angle)])
    return -direction if weight @ (given @ direction) < 0 else direction


def along_common_direction(offsets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Offsets projected onto `common_direction`, none of them backwards.

    The projection leaves what an offset says along the line, its length, and drops what it says across, which a far
    camera cannot see. Where the camera is near, as a drone's is, offsets point away from one point instead.

    Args:
        offsets: (N, 2), NaN is unknown and stays so.
        weights: (N,) from 0 on; None: equal.

    Returns:
        (N, 2) of the same type: max(o · u, 0) u.

    Example:
        >>> along_common_direction(np.array([[6.0, 8.0], [-0.3, -0.4]])).round(6).tolist()
        [[6.0, 8.0], [0.0, 0.0]]
    """
    direction = common_direction(offsets, weights)
    lengths = np.maximum(np.asarray(offsets, dtype=float) @ direction, 0)
    return (lengths[:, None] * direction).astype(offsets.dtype)
