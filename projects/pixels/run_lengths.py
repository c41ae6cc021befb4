"""Run-length codes of masks, from the part of each that its object takes."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

BITS, MORE, FIRST = 5, 32, 48  # of a character: bits of a number, a bit if others follow, the character of zero


def encode_masks(masks: np.ndarray) -> list[dict]:
    """Encode masks as COCO's run lengths, as pycocotools' `encode`, which first copies each whole mask, does.

    Args:
        masks: (N, H, W), bool, or integers that are 0 or 1.

    Returns:
        `size`, height and width, and `counts`, text, of each.
    """
    masks = np.ascontiguousarray(masks.view(np.uint8) if masks.dtype == bool else masks.astype(np.uint8))
    _, height, width = masks.shape
    step = math.gcd(width, 8)
    words = masks.view(f'u{step}')  # several columns at once: most are empty
    parts = []
    for mask, word, rows in zip(masks, words, np.bitwise_or.reduce(words, axis=2), strict=True):
        down = _extent(rows)
        across = _extent(np.bitwise_or.reduce(word[down], axis=0), step)
        parts.append((down, across, mask[down, across]))
    return encode_parts(parts, (height, width))


def _extent(values: np.ndarray, step: int = 1) -> slice:
    """From the first to the last that is not 0, times `step`."""
    used = values != 0
    start = int(used.argmax())
    return slice(step * start, step * (len(used) - int(used[::-1].argmax()))) if used[start] else slice(0, 0)


def encode_parts(parts: Sequence[tuple[slice, slice, np.ndarray]], size: tuple[int, int]) -> list[dict]:
    """Encode masks that are 0 outside of a part of them; see `encode_masks`.

    Args:
        parts: Rows and columns in the mask, and the (h, w) of 0 and 1 there, of each; may be empty.
        size: Height and width of the masks.
    """
    if not parts:
        return []
    counts, numbers = _run_lengths(parts, size)
    starts = np.cumsum(numbers) - numbers
    differences = counts.copy()
    differences[3:] -= counts[1:-2]  # as pycocotools, from the run before the last
    for place in range(3):
        first = starts[numbers > place] + place
        differences[first] = counts[first]
    return [{'size': [*size], 'counts': text} for text in _texts(differences, numbers)]


def _run_lengths(
    parts: Sequence[tuple[slice, slice, np.ndarray]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Runs of 0, 1, 0, … down the columns (https://github.com/cocodataset/cocoapi), and how many each mask has."""
    height, width = size
    tops = np.array([rows.start for rows, _, _ in parts])
    lefts = np.array([columns.start for _, columns, _ in parts])
    rows, columns = np.array([part.shape for _, _, part in parts]).T
    strides = np.where(rows == height, height, rows + 1)  # a 0 ends each column, but of whole ones, where runs go on
    starts = np.cumsum([1, *(columns * strides + 1)])  # and each mask
    flat = np.zeros(starts[-1], np.uint8)
    for (_, _, part), start, end, stride in zip(
        parts, starts.tolist(), (starts[1:] - 1).tolist(), strides.tolist(), strict=False
    ):
        if part.size:
            flat[start:end].reshape(-1, stride)[:, : len(part)] = cv2.transpose(part.astype(np.uint8, copy=False))
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    splits = np.searchsorted(edges, starts)
    numbers = np.diff(splits)
    edges -= np.repeat(starts[:-1], numbers)
    across = edges // np.repeat(strides, numbers)
    places = edges + across * np.repeat(height - strides, numbers) + np.repeat(lefts * height + tops, numbers)
    stops = np.insert(places, splits[1:], height * width)
    numbers += 1
    last = np.cumsum(numbers) - 1
    first = last - numbers + 1
    counts = np.diff(stops, prepend=0)
    counts[first] = stops[first]
    numbers -= counts[last] == 0
    return np.delete(counts, last[counts[last] == 0]), numbers


def _texts(values: np.ndarray, numbers: np.ndarray) -> list[str]:
    """Integers as characters of five bits each, the lowest first, of each mask."""
    longest = int(np.abs(values).max()).bit_length() + 1
    values = values.astype(np.int32 if longest <= 32 else np.int64, copy=False)
    groups = np.arange(-(-longest // BITS), dtype=values.dtype)[:, None]
    rest = values >> (BITS * groups + BITS - 1)  # its sign and what follows
    more = (rest != 0) & (rest != -1)
    bits = (values >> BITS * groups & MORE - 1).astype(np.uint8)
    used = np.ascontiguousarray(np.concatenate([np.ones_like(more[:1]), more[:-1]]).T)
    text = np.ascontiguousarray((bits + MORE * more.view(np.uint8) + FIRST).T)[used].tobytes().decode()
    ends = np.cumsum(used)[len(groups) * np.cumsum(numbers) - 1].tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
