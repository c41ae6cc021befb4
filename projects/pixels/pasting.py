"""Masks of regions brought into the image."""

import numpy as np


def paste_mask(
    mask: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float
) -> tuple[slice, slice, np.ndarray]:
    """Bring one instance's mask from RoI size into the image, bilinearly, as mmdet's `_do_paste_mask` does.

    The mask's outermost pixels fade to 0 half a mask pixel beyond the box.

    Args:
        mask: (h, w) probabilities inside of the box.
        box: (4,) left, top, right, bottom in pixels.
        size: Height and width of the image.
        threshold: A pixel belongs to the instance from this probability on.

    Returns:
        Rows and columns of the image that the box covers, and the boolean mask there.
    """
    height, width = size
    left, top = np.clip(np.floor(box[:2]) - 1, 0, None).astype(int)
    right, bottom = (np.minimum(np.ceil(box[2:]) + 1, (width, height))).astype(int)
    right, bottom = max(right, left), max(bottom, top)
    extent = np.maximum(box[2:] - box[:2], 1e-6)
    columns = ((np.arange(left, right) + 0.5 - box[0]) / extent[0] * mask.shape[1] - 0.5).astype(np.float32)
    rows = ((np.arange(top, bottom) + 0.5 - box[1]) / extent[1] * mask.shape[0] - 0.5).astype(np.float32)
    if not len(columns) or not len(rows):
        return slice(top, bottom), slice(left, right), np.zeros((len(rows), len(columns)), dtype=bool)
    across = interpolation(columns, mask.shape[1])
    down = interpolation(rows, mask.shape[0])
    return slice(top, bottom), slice(left, right), down @ mask @ across.T >= threshold


def interpolation(places: np.ndarray, size: int) -> np.ndarray:
    """(P, size) weights of linear interpolation at P places between `size` samples, with zeros beyond them."""
    return np.clip(1 - np.abs(places[:, None] - np.arange(size)), 0, None).astype(np.float32)
