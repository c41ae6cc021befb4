"""Values that mean no data though the file does not say so: marks far from the picture, and fill along its border."""

import numpy as np

HUGE = 1e15  # marks such as the lowest float32 and 1e20 lie beyond, no radiance or reflectance does
EDGE_SHARE = 0.05  # of an image's outermost pixels, that a fill value along its border covers at least
NEGATIVE_MARKS = (-999, -9999, -99999, -32768, -32767)
POSITIVE_MARKS = (9999, 99999)


def holds(values: np.ndarray, value: float) -> np.ndarray:
    """Which pixels of (B, ...) hold a value that means no data: in any band if it is negative, else in all."""
    same = values == values.dtype.type(value)
    return same.any(axis=0) if value < 0 else same.all(axis=0)


def is_number(values: np.ndarray) -> np.ndarray:
    """Which pixels of (B, ...) hold numbers in all bands: neither NaN nor infinite nor beyond `HUGE`."""
    if values.dtype.kind != 'f':
        return np.ones(values.shape[1:], dtype=bool)
    return (np.abs(values) < HUGE).all(axis=0)


def find_undeclared(values: np.ndarray, valid: np.ndarray, is_edge: np.ndarray) -> list[float]:
    """The values of an image that mean no data, by what the others are.

    A value is one if it lies farther from all others than those from one another and is a usual mark or a negative
    whole number; or if it is 0 or the type's largest, lies apart from all others, and covers some of the border. Of 8
    bits none is one: black and white may be a picture.

    Args:
        values: (B, N) Pixels of the image.
        valid: (N,) Which are known to have data.
        is_edge: (N,) Which lie on its border.
    """
    found: list[float] = []
    while (value := _next(values, valid, is_edge)) is not None and value not in found:
        found.append(value)
        valid = valid & ~holds(values, value)
    return found


def _next(values: np.ndarray, valid: np.ndarray, is_edge: np.ndarray) -> float | None:
    kind, seen = values.dtype, values[:, valid]
    if not seen.size or kind.itemsize == 1:
        return None
    largest = float(np.iinfo(kind).max) if kind.kind in 'iu' else np.inf
    for value, is_low in ((float(seen.min()), True), (float(seen.max()), False)):
        rest = seen[seen != kind.type(value)]
        if not rest.size:
            continue
        spread = float(rest.max()) - float(rest.min())
        gap = float(rest.min()) - value if is_low else value - float(rest.max())
        is_mark = value in (NEGATIVE_MARKS if is_low else (*POSITIVE_MARKS, largest))
        if gap > spread and is_mark and (spread > 0 or value < 0):  # a mask of 0 and the largest is a picture
            return value
        if gap > spread > 0 > value and is_low and value.is_integer():
            return value
        border = (holds(values, value) & valid)[is_edge]
        fills = border.size > 0 and border.mean() >= EDGE_SHARE
        if fills and value == (0 if is_low else largest) and gap > spread / 10 > 0:
            return value
    return None
