"""Suppression of boxes that overlap better ones, and overlaps of boxes."""

import torch
from torch import Tensor

from .derivatives import widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices (K,) of the kept boxes by falling score, for boxes (N, 4) whose sides are `x2 - x1 + offset` long."""
    boxes, scores = widen(boxes, scores)
    return torch.ops.torchvision.nms(torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1), scores, iou_threshold)


def softnms(
    boxes: Tensor, scores: Tensor, dets: Tensor,
    iou_threshold: float, sigma: float, min_score: float, method: int, offset: int,
) -> Tensor:  # fmt: skip
    """Soft-NMS (Bodla et al. 2017, arXiv:1704.04503): a box that overlaps a better one loses score.

    Method 0 zeroes the scores of boxes at or above the IoU threshold, 1 scales these by `1 - IoU`, 2 scales all scores
    by `exp(-IoU² / sigma)`. Writes the picked boxes with their final scores into the first K rows of `dets` (N, 5) and
    returns their indices (K,). Of equal scores the first box is picked.
    """
    boxes, scores = widen(boxes, scores)
    scores = scores.clone()
    remaining = torch.arange(len(boxes), device=boxes.device)
    picked: list[Tensor] = []
    while len(remaining):
        best = remaining[scores[remaining].argmax()]
        dets[len(picked)] = torch.cat([boxes[best], scores[best, None]])
        picked.append(best)
        remaining = remaining[remaining != best]
        ious = _overlaps(boxes[best], boxes[remaining], iof=False, offset=offset).nan_to_num()
        if method == 2:
            decay = torch.exp(-ious.square() / sigma)
        else:
            decay = torch.where(ious >= iou_threshold, (1 - ious) * method, 1.0)
        scores[remaining] *= decay
        remaining = remaining[scores[remaining] >= min_score]
    return torch.stack(picked) if picked else remaining


def _overlaps(boxes1: Tensor, boxes2: Tensor, iof: bool, offset: int = 0) -> Tensor:
    """IoU of boxes (..., 4), or with `iof` the part of the first that the second covers; NaN where neither has area."""
    sides = torch.minimum(boxes1[..., 2:], boxes2[..., 2:]) - torch.maximum(boxes1[..., :2], boxes2[..., :2]) + offset
    intersection = sides.clamp_min(0).prod(dim=-1)
    area1, area2 = ((boxes[..., 2:] - boxes[..., :2] + offset).prod(dim=-1) for boxes in (boxes1, boxes2))
    return intersection / (area1 if iof else area1 + area2 - intersection)


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write the IoU (mode 0) or the covered part of the first box (mode 1) of (N, 4) and (M, 4) to `ious`.

    Shape (N,) if `aligned`, where N = M and box i meets box i, else (N, M). Sides are `x2 - x1 + offset` long.
    """
    boxes1, boxes2 = widen(bboxes1, bboxes2)
    ious.copy_(_overlaps(boxes1 if aligned else boxes1[:, None], boxes2, mode == 1, offset))


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Greedy suppression of boxes with scores (N, 5) that tells which box suppressed which.

    Returns:
        A list for each kept box, by falling score: its index, then those of the boxes with an IoU at or above the
        threshold that it suppressed, by falling score too.
    """
    (dets,) = widen(dets)
    remaining = dets[:, 4].argsort(descending=True, stable=True)
    groups = []
    while len(remaining):
        best, others = remaining[0], remaining[1:]
        matched = _overlaps(dets[best, :4], dets[others, :4], iof=False) >= iou_threshold
        groups.append([int(best), *others[matched].tolist()])
        remaining = others[~matched]
    return groups
