"""Polygons and run lengths of COCO annotations: whether they can be used, their boxes and areas."""

import math
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from .annotation_findings import (
    AS_TEXT,
    BAD_MASK,
    BAD_POLYGON,
    BAD_RINGS,
    NO_MASK,
    RLE_COUNTS,
    RLE_SIZE,
    Findings,
    Kind,
)

Size = tuple[int, int]
LONGEST_GROUP = 7  # characters of 5 bits of one run length: 32 bits in pycocotools


def as_numbers(values: Any) -> list[Any] | None:
    """The list itself if it holds numbers only, a list of numbers if some are written as text, else None."""
    if not isinstance(values, list):
        return None
    if set(map(type, values)) <= {int, float}:
        return values
    if any(isinstance(value, bool) or not isinstance(value, int | float | str) for value in values):
        return None
    try:
        return [float(value) for value in values]
    except (ValueError, OverflowError):
        return None


def check_mask(annotation: dict[str, Any], size: Size, findings: Findings) -> Kind | None:
    """Bring a segmentation into the form that COCO's tools read, in place.

    Args:
        annotation: Of the file.
        size: Of its image, (width, height).
        findings: Receives what is mended.

    Returns:
        Why it cannot be used; None if it can.
    """
    mask = annotation.get('segmentation')
    if not mask or (isinstance(mask, list) and not any(mask)):
        return NO_MASK
    if isinstance(mask, list) and len(mask) == 1 and isinstance(mask[0], dict):
        mask = annotation['segmentation'] = mask[0]
    if isinstance(mask, dict):
        return _check_run_lengths(mask, size)
    if not isinstance(mask, list):
        return BAD_MASK
    if not isinstance(mask[0], list):  # one ring that is not in a list of rings
        mask = [mask]
        annotation['segmentation'] = mask
    rings = [ring for ring in mask if encloses_area(ring)]
    if len(rings) < len(mask):
        rings = [read for ring in mask if (read := as_numbers(ring)) is not None and encloses_area(read)]
        if not rings:
            return BAD_POLYGON
        kind = AS_TEXT if len(rings) == len(mask) else BAD_RINGS
        findings.add(kind, f'annotation id {annotation.get("id")!r}')
        annotation['segmentation'] = rings
    return None


def encloses_area(ring: Any) -> bool:
    """Whether [x0, y0, x1, y1, …] is a polygon of finite points that do not all lie on one line."""
    try:
        if len(ring) < 6 or len(ring) % 2 or not math.isfinite(sum(ring)):
            return False
        x0, y0 = ring[:2]
        return any(  # most often the first triangle tells
            (ring[i] - x0) * (ring[i + 3] - y0) != (ring[i + 2] - x0) * (ring[i + 1] - y0)
            for i in range(2, len(ring) - 2, 2)
        )
    except (TypeError, OverflowError):
        return False


def _check_run_lengths(mask: dict[str, Any], size: Size) -> Kind | None:
    """As `check_mask`; a text of run lengths that ends too early makes pycocotools read beyond its end."""
    shape = as_numbers(mask.get('size'))
    counts = mask.get('counts')
    if shape is None or len(shape) != 2 or not isinstance(counts, list | str):
        return BAD_MASK
    if tuple(shape) != size[::-1]:
        return RLE_SIZE
    mask['size'] = [size[1], size[0]]
    if isinstance(counts, str):
        lengths = read_run_lengths(counts)
    else:
        numbers = as_numbers(counts)
        lengths = None if numbers is None else np.asarray(numbers, float)
        if lengths is not None and (lengths == lengths.round()).all():
            mask['counts'] = lengths.astype(int).tolist()
    if lengths is None or (lengths < 0).any() or (lengths != lengths.round()).any():
        return RLE_COUNTS
    if lengths.sum() != size[0] * size[1]:
        return RLE_COUNTS
    return None if lengths[1::2].any() else NO_MASK


def read_run_lengths(text: str) -> np.ndarray | None:
    """Run lengths of COCO's compressed form, background first.

    Each number is a group of characters of 5 bits, lowest first, from '0' on; a sixth bit says that the group goes on,
    and the highest bit of the last character is the sign. From the fourth number on they are differences to the last
    but one (`rleToString` of pycocotools, common/maskApi.c).

    Args:
        text: Of `counts`.

    Returns:
        (N,) int64; None if it is damaged.
    """
    if not text.isascii() or not text:
        return None
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    goes_on = (codes & 32) > 0
    if codes.min() < 0 or codes.max() > 63 or goes_on[-1]:
        return None
    first = np.flatnonzero(np.concatenate([[True], ~goes_on[:-1]]))  # of each group
    place = np.arange(len(codes)) - np.repeat(first, np.diff(first, append=len(codes)))
    if place.max() >= LONGEST_GROUP:
        return None
    numbers = np.add.reduceat((codes & 31) << 5 * place, first)
    last = np.append(first[1:], len(codes)) - 1
    numbers -= np.where(codes[last] & 16, np.int64(1) << 5 * (place[last] + 1), 0)
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


def run_lengths(mask: list | dict[str, Any], size: Size) -> Any:
    """Compressed run lengths of a mask that `check_mask` has passed.

    Args:
        mask: Polygons or run lengths.
        size: Of the image, (width, height).
    """
    if isinstance(mask, list):
        return mask_api.merge(mask_api.frPyObjects(mask, size[1], size[0]))
    if isinstance(mask['counts'], list):
        return mask_api.frPyObjects(mask, size[1], size[0])
    return mask


def mask_box(mask: list | dict[str, Any], size: Size) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a mask that `check_mask` has passed, in pixels."""
    if isinstance(mask, list):
        x = [value for ring in mask for value in ring[::2]]
        y = [value for ring in mask for value in ring[1::2]]
        return min(x), min(y), max(x), max(y)
    left, top, width, height = mask_api.toBbox(run_lengths(mask, size)).tolist()
    return left, top, left + width, top + height
