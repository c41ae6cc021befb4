"""Run-length codes of masks, from the part of each that its object takes."""

import itertools
import math

import cv2
import numpy as np
from pycocotools import mask as coco_masks


def encode_masks(masks: np.ndarray) -> list[dict]:
    """Encode masks as COCO's run lengths, as pycocotools' `encode`, which first copies each whole mask, does.

    Args:
        masks: (N, H, W), bool, or integers that are 0 or 1.

    Returns:
        `size`, height and width, and `counts`, text, of each.
    """
    if not len(masks):
        return []
    masks = np.ascontiguousarray(masks.view(np.uint8) if masks.dtype == bool else masks.astype(np.uint8))
    size = masks.shape[1], masks.shape[2]
    step = math.gcd(size[1], 8)
    codes = []
    for mask, words in zip(masks, masks.view(f'u{step}'), strict=True):  # several columns at once: most are empty
        used = np.flatnonzero(np.bitwise_or.reduce(words, axis=0))
        left, right = (step * used[0], step * (used[-1] + 1)) if len(used) else (0, 0)
        codes.append(encode_part(mask[:, left:right], 0, left, size))
    return codes


def encode_part(part: np.ndarray, top: int, left: int, size: tuple[int, int]) -> dict:
    """Encode a mask that is 0 outside of a part of it; see `encode_masks`.

    Runs go down the columns of the image, 0 first (https://github.com/cocodataset/cocoapi).

    Args:
        part: (h, w) of 0 and 1; may be empty.
        top: Its first row in the mask.
        left: Its first column.
        size: Height and width of the mask.
    """
    height, width = size
    rows = part.shape[0]
    stride = rows if rows == height else rows + 1  # a 0 ends each column, but of whole ones, where runs go on
    flat = np.zeros(part.shape[1] * stride + 2, np.uint8)  # between two zeros
    flat[1:-1].reshape(part.shape[1], stride)[:, :rows] = (
        cv2.transpose(part.astype(np.uint8, copy=False)) if part.size else 0
    )
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    across, down = np.divmod(edges, stride)
    places = ((left + across) * height + top + down).tolist()
    lengths = [after - before for before, after in itertools.pairwise([0, *places, height * width])]
    counts = lengths if lengths[-1] else lengths[:-1]
    code = coco_masks.frPyObjects({'size': [height, width], 'counts': counts}, height, width)
    return {'size': [height, width], 'counts': code['counts'].decode()}
