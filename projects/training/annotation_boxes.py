"""Boxes of COCO annotations that are written in another way than COCO's: left, top, width and height in pixels."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from .annotation_findings import CONTRADICTION, STICKING_OUT, TINY_BOX, WRONG_AREA, Findings
from .annotation_masks import Size, mask_box, run_lengths

MOST_COMPARED = 20_000  # masks, spread evenly; all of COCO's would take a quarter of a minute
SHARE_TO_MENTION = 0.01  # COCO itself has a few
SHARE_OF_AMODAL_BOXES = 0.05  # boxes of whole objects may go on beyond the image
FITS, DIFFERS = 0.9, 0.5  # IoU
FEW_PIXELS = 16  # by which the areas of polygons and of pixels may differ

# How a box of COCO, (left, top, width, height), comes out of what is written, for images of (width, height).
READINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'written as corners x1, y1, x2, y2; COCO has x, y, width, height': lambda b, _: np.concatenate(
        [b[:, :2], b[:, 2:] - b[:, :2]], 1
    ),
    'written as centre x, y, width, height; COCO has the upper left corner': lambda b, _: np.concatenate(
        [b[:, :2] - b[:, 2:] / 2, b[:, 2:]], 1
    ),
    'written as y, x, height, width; or width and height of the images are swapped': lambda b, _: b[:, [1, 0, 3, 2]],
    'written as shares of the image; COCO has pixels': lambda b, size: b * np.tile(size, 2),
}


def check_boxes(annotations: list[dict[str, Any]], sizes: list[Size], findings: Findings) -> None:
    """Compare boxes with their images and masks.

    Args:
        annotations: With finite boxes, and masks that can be used.
        sizes: Of their images, (width, height).
        findings: Receives what contradicts, with the likely cause.

    Raises:
        ValueError: All boxes or all polygons are written as shares of the image.
    """
    if not annotations:
        return
    boxes = np.array([annotation['bbox'] for annotation in annotations], float)
    pixels = np.array(sizes, float)
    if _are_shares(_corners(boxes)):
        raise ValueError(
            f'{findings.path}: all {len(boxes)} boxes lie between 0 and 1, such as {boxes[0].round(4).tolist()}: they '
            'are shares of the image, where COCO has pixels. Multiply x and width by the width of the image, y and '
            'height by its height'
        )
    tiny = (boxes[:, 2:] < 1).any(1)
    if tiny.any():
        findings.add(TINY_BOX, number=int(tiny.sum()))
        findings.examples[TINY_BOX] = [_example(annotations[index]) for index in np.flatnonzero(tiny)[:3]]
        if _are_shares(_corners(boxes[tiny])):
            findings.causes[TINY_BOX] = 'written as shares of the image; COCO has pixels'
    contradicting = _compare_with_masks(annotations, boxes, pixels, findings)
    if not contradicting:
        _compare_with_images(annotations, boxes, pixels, findings)


def _are_shares(corners: np.ndarray) -> bool:
    """Whether corners (N, 4) all lie between 0 and 1, and not only on whole pixels."""
    return bool(((corners >= 0) & (corners <= 1)).all() and (corners % 1 > 0).any())


def _compare_with_masks(
    annotations: list[dict[str, Any]], boxes: np.ndarray, pixels: np.ndarray, findings: Findings
) -> bool:
    """Whether boxes contradict masks, of a sample of those that have both and are no crowds."""
    with_mask = [
        index
        for index, annotation in enumerate(annotations)
        if annotation.get('segmentation') and not annotation['iscrowd']
    ]
    if not with_mask:
        return False
    chosen = np.array(with_mask)[:: -(-len(with_mask) // MOST_COMPARED)]
    masks = np.array([mask_box(annotations[i]['segmentation'], tuple(pixels[i].astype(int))) for i in chosen], float)
    boxes, pixels = boxes[chosen], pixels[chosen]
    if _are_shares(masks):
        raise ValueError(
            f'{findings.path}: all masks lie between 0 and 1, such as {masks[0].round(4).tolist()}: they are shares of '
            'the image, where COCO has pixels. Multiply x by the width of the image, y by its height'
        )
    _compare_areas([annotations[index] for index in chosen], pixels, findings)
    overlap = _iou(_corners(boxes), masks, pixels)
    fits = {cause: _iou(_corners(read(boxes, pixels)), masks, pixels) > FITS for cause, read in READINGS.items()}
    clearly_otherwise = np.any(list(fits.values()), axis=0) & (overlap < FITS)
    wrong = (overlap < DIFFERS) | clearly_otherwise
    if wrong.mean() < SHARE_TO_MENTION:
        return False
    cause, share = max(((cause, fit[wrong].mean()) for cause, fit in fits.items()), key=lambda item: item[1])
    if share < 0.5:
        cause = _scale(boxes[wrong], masks[wrong]) or 'boxes or masks of other objects, or of images of another size'
    findings.add(CONTRADICTION, number=round(wrong.mean() * len(with_mask)))
    findings.examples[CONTRADICTION] = [_example(annotations[index]) for index in chosen[wrong][:3]]
    findings.causes[CONTRADICTION] = f'{wrong.mean():.0%} of the boxes: {cause}'
    return True


def _compare_areas(annotations: list[dict[str, Any]], pixels: np.ndarray, findings: Findings) -> None:
    """Areas decide only whether an object counts as small, medium or large."""
    masks = [one['segmentation'] for one in annotations]
    of_masks = np.array(
        [mask_api.area(run_lengths(mask, size)) for mask, size in zip(masks, pixels.astype(int).tolist(), strict=True)],
        float,
    )
    given = np.array([one['area'] for one in annotations])
    wrong = (given > 2 * of_masks + FEW_PIXELS) | (given < of_masks / 2 - FEW_PIXELS)
    if wrong.mean() >= SHARE_TO_MENTION:
        findings.add(WRONG_AREA, number=int(wrong.sum()))
        findings.examples[WRONG_AREA] = [_example(annotations[index]) for index in np.flatnonzero(wrong)[:3]]


def _scale(boxes: np.ndarray, masks: np.ndarray) -> str | None:
    """The factor between boxes and masks, if there is one."""
    ratios = boxes[:, 2:] / np.maximum(masks[:, 2:] - masks[:, :2], 1e-6)
    factor = np.median(ratios)
    if (np.abs(ratios / factor - 1) < 0.1).mean() < 0.8 or abs(factor - 1) < 0.1:
        return None
    return f'{factor:.3g} times as large as their masks: one of the two is of a resized copy of the images'


def _compare_with_images(
    annotations: list[dict[str, Any]], boxes: np.ndarray, pixels: np.ndarray, findings: Findings
) -> None:
    inside = _are_inside(_corners(boxes), pixels)
    share = 1 - inside.mean()
    if share < SHARE_OF_AMODAL_BOXES:
        return
    findings.add(STICKING_OUT, number=int((~inside).sum()))
    findings.examples[STICKING_OUT] = [_example(annotations[index]) for index in np.flatnonzero(~inside)[:3]]
    cause = next(
        (cause for cause, read in READINGS.items() if _are_inside(_corners(read(boxes, pixels)), pixels).all()),
        'coordinates of a larger copy of the images, or boxes of whole objects that go on beyond them',
    )
    findings.causes[STICKING_OUT] = f'{share:.0%} of the boxes: {cause}'


def _are_inside(corners: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Which boxes have an extent and lie in their image, one hundredth of its size (at least a pixel) aside."""
    slack = np.maximum(pixels / 100, 1)
    fits = [corners[:, :2] >= -slack, corners[:, 2:] <= pixels + slack, corners[:, 2:] > corners[:, :2]]
    return np.all(fits, axis=(0, 2))


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def _iou(one: np.ndarray, other: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) of the parts of boxes (N, 4) that lie in their images."""
    one, other = (np.clip(corners, 0, np.tile(pixels, 2)) for corners in (one, other))
    overlap = np.clip(np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2]), 0, None).prod(1)
    areas = sum(np.clip(corners[:, 2:] - corners[:, :2], 0, None).prod(1) for corners in (one, other))
    return overlap / np.maximum(areas - overlap, 1e-9)


def _example(annotation: dict[str, Any]) -> str:
    return f'id {annotation.get("id")!r}'
