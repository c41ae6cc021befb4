"""Pixels that are not 8 bits deep, as 8 bits: one rule for images of training and of prediction, and for rasters.

Eight bits are kept. Of all others the percentiles `PERCENTILES` of an image's bands together become 0 and 255, whatever
its type may hold: 12 bits in 16, numbers with a sign, and fractions of 1 all come out alike.
"""

from collections.abc import Iterator

import numpy as np

from projects.undeclared_data import find_undeclared, holds, is_number

PERCENTILES = (2.0, 98.0)
SAMPLE_GRID, SAMPLE_PX = 16, 64  # windows of 64 x 64 pixels, 16 x 16 of them, from which percentiles are taken


def sample_windows(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Column, row, width and height of the windows to sample: all pixels of a small image, else a regular grid."""
    for row in _starts(height):
        for column in _starts(width):
            yield column, row, min(SAMPLE_PX, width - column), min(SAMPLE_PX, height - row)


def _starts(length: int) -> list[int]:
    if length <= SAMPLE_GRID * SAMPLE_PX:
        return list(range(0, length, SAMPLE_PX))
    return np.linspace(0, length - SAMPLE_PX, SAMPLE_GRID).astype(int).tolist()


def value_limits(sample: np.ndarray) -> tuple[float, float]:
    """Values that become 0 and 255.

    Args:
        sample: Values with data, of any shape; of none the limits are 0 and 1.
    """
    low, high = np.percentile(sample, PERCENTILES).tolist() if sample.size else (0.0, 1.0)
    return low, high if high > low else low + 1


def eight_bits(values: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Scale values linearly, so that `low` becomes 0 and `high` 255; NaN becomes 0.

    Args:
        values: Of any shape and type.
        low: Number, or an array to broadcast.
        high: Likewise.

    Returns:
        uint8 of the same shape.
    """
    with np.errstate(over='ignore'):  # of values that mean no data, such as the lowest float32
        scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(np.subtract(high, low))
    return (np.nan_to_num(scaled).clip(0, 1) * 255).round().astype(np.uint8)


def image_in_eight_bits(image: np.ndarray) -> np.ndarray:
    """A whole image, (H, W, C), by the rule of this module; pixels without data become 0."""
    height, width, channels = image.shape
    places = np.zeros((height, width), dtype=bool)
    places[[0, -1]] = places[:, [0, -1]] = True
    windows = [np.s_[row : row + h, column : column + w] for column, row, w, h in sample_windows(width, height)]
    values = np.concatenate([image[window].reshape(-1, channels) for window in windows]).T
    valid = is_number(values)
    undeclared = find_undeclared(values, valid, np.concatenate([places[window].ravel() for window in windows]))
    for value in undeclared:
        valid &= ~holds(values, value)
    scaled = eight_bits(image, *value_limits(values[:, valid]))
    bands = np.moveaxis(image, -1, 0)
    scaled[~is_number(bands) | np.any([holds(bands, value) for value in undeclared], axis=0)] = 0
    return scaled
