"""Logits of a graph at the size of its last map, resized outside of it: labels exactly, for a tenth of the time.

Resizing 150 maps of logits to the size of the image, to keep one label for each pixel, takes a runtime as long as the
network itself. Between four neighbouring logits bilinear interpolation is a weighted mean, so that

- a class that is the largest at all four is so everywhere between them: nothing is interpolated there;
- elsewhere only those classes can win whose largest value of the four is at least the greatest of all classes' least
  values, as some class is nowhere below the latter: few of them, which are interpolated.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from ..model_info import ModelInfo

try:
    import numba
except ImportError as error:
    raise ImportError(f"{error}; labels of logits need the extra 'deploy': pip install -e '.[deploy]'") from error

FEW = 256  # classes, whose labels are uint8
CERTAIN = 80.0  # a logit whose exponential float32 still holds


class FullSizeSession:
    """Gives `labels` of a graph that gives `logits`; of one with a single logit `probabilities`.

    Args:
        session: Images (B, H, W, 3) to `logits` (B, h, w, C) float32.
        info: Of the graph.
    """

    def __init__(self, session: Callable[..., dict[str, np.ndarray]], info: ModelInfo) -> None:
        self.session, self.divisor, self.is_one_logit = session, info.size_divisor, info.threshold is not None

    def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """`labels` (B, H, W), uint8 or beyond 256 classes int32, or `probabilities` (B, 1, H, W) float32."""
        logits = self.session(*inputs)['logits']
        height, width = inputs[0].shape[1:3]
        size = (height + -height % self.divisor, width + -width % self.divisor)
        if self.is_one_logit:
            return {'probabilities': np.stack([sigmoid_map(one, size)[None, :height, :width] for one in logits])}
        return {'labels': np.stack([label_map(one, size)[:height, :width] for one in logits])}


def sigmoid_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Probabilities (H, W) of logits (h, w, 1), resized bilinearly, corners not aligned, to `size`."""
    resized = cv2.resize(np.ascontiguousarray(logits[..., 0]), size[::-1], interpolation=cv2.INTER_LINEAR)
    np.clip(-resized, None, CERTAIN, out=resized)
    np.exp(resized, out=resized)
    resized += 1
    return np.reciprocal(resized, out=resized)


def label_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Index of the largest logit at each pixel, as `interpolate(logits, size, mode='bilinear').argmax` finds it.

    Args:
        logits: (h, w, C) float32.
        size: Height and width in pixels, at least those of the logits.

    Returns:
        (H, W), uint8, or beyond 256 classes int32; of equal logits the first.
    """
    height, width, number = logits.shape
    rows, columns = _places(size[0], height), _places(size[1], width)
    labels = np.empty(size, np.uint8 if number <= FEW else np.int32)
    _fill(np.ascontiguousarray(logits), *rows, *columns, labels)
    return labels


@cache
def _places(large: int, small: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels lie among samples: the first pixel after each sample, and the share of the next one.

    Returns:
        (small + 1,) int64: pixels between sample i and the next are `first[i]` up to `first[i + 1]`; and (large,).
    """
    places = np.clip((np.arange(large) + 0.5) * (small / large) - 0.5, 0, None)
    before = np.minimum(places.astype(np.int64), small - 1)
    shares = (places - before).astype(np.float32)
    return np.searchsorted(before, np.arange(small + 1)), shares


@numba.njit(parallel=True, cache=True, error_model='numpy')
def _fill(
    logits: np.ndarray,
    first_row: np.ndarray,
    row_shares: np.ndarray,
    first_column: np.ndarray,
    column_shares: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill `labels` cell by cell: the pixels between four samples."""
    height, width, number = logits.shape
    largest = np.empty((height, width), np.int32)
    for i in numba.prange(height):
        for j in range(width):
            largest[i, j] = np.argmax(logits[i, j])
    for i in numba.prange(height):
        below = min(i + 1, height - 1)
        top, bottom = first_row[i], first_row[i + 1]
        possible = np.empty(number, np.int32)
        for j in range(width):
            right = min(j + 1, width - 1)
            left_px, right_px = first_column[j], first_column[j + 1]
            label = largest[i, j]
            if label == largest[i, right] and label == largest[below, j] and label == largest[below, right]:
                labels[top:bottom, left_px:right_px] = label
                continue
            a, b, c, d = logits[i, j], logits[i, right], logits[below, j], logits[below, right]
            bound = -np.float32(np.inf)
            for k in range(number):
                bound = max(bound, min(min(a[k], b[k]), min(c[k], d[k])))
            count = 0
            for k in range(number):
                if max(max(a[k], b[k]), max(c[k], d[k])) >= bound:
                    possible[count] = k
                    count += 1
            for y in range(top, bottom):
                down = row_shares[y]
                for x in range(left_px, right_px):
                    across = column_shares[x]
                    best, label = -np.float32(np.inf), 0
                    for index in range(count):
                        k = possible[index]
                        above = a[k] * (1 - across) + b[k] * across
                        value = above * (1 - down) + (c[k] * (1 - across) + d[k] * across) * down
                        if value > best:
                            best, label = value, k
                    labels[y, x] = label
