"""Run-length codes of masks, from the part of each that its object takes."""

import itertools
import math

import cv2
import numpy as np
from pycocotools import mask as coco_masks


def encode_masks(masks: np.ndarray) -> list[dict]:
    """Encode masks as COCO's run lengths, column by column (https://github.com/cocodataset/cocoapi).

    The codes are those of pycocotools' `encode`, which first copies each whole mask into the order of its columns.

    Args:
        masks: (N, H, W), bool, or integers that are 0 or 1.

    Returns:
        `size`, height and width, and `counts`, text, of each.
    """
    number, height, width = masks.shape
    if not number:
        return []
    masks = np.ascontiguousarray(masks.view(np.uint8) if masks.dtype == bool else masks.astype(np.uint8))
    step = math.gcd(width, 8)
    words = masks.view(f'u{step}')  # several columns at once: most are empty
    codes = coco_masks.frPyObjects(
        [
            {'size': [height, width], 'counts': _run_lengths(mask, of_mask)}
            for mask, of_mask in zip(masks, words, strict=True)
        ],
        height,
        width,
    )
    return [{'size': code['size'], 'counts': code['counts'].decode()} for code in codes]


def _run_lengths(mask: np.ndarray, words: np.ndarray) -> list[int]:
    """Lengths of the runs of 0 and 1 in turns, column by column, beginning with 0.

    Args:
        mask: (H, W) of 0 and 1.
        words: (H, W / step), the same memory.
    """
    height, width = mask.shape
    step = width // words.shape[1]
    used = np.flatnonzero(np.bitwise_or.reduce(words, axis=0))
    if not len(used):
        return [height * width]
    left, right = step * used[0], step * (used[-1] + 1)
    part = cv2.transpose(mask[:, left:right]).ravel()
    changes = np.flatnonzero(part[1:] != part[:-1]) + 1 + left * height
    edges = [0, *([left * height] if part[0] else []), *changes.tolist(), *([right * height] if part[-1] else [])]
    lengths = [after - before for before, after in itertools.pairwise([*edges, height * width])]
    return lengths if lengths[-1] else lengths[:-1]
