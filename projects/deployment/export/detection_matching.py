"""Which detections of two runtimes are the same."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..predictions import Detections


@dataclass(frozen=True)
class Cutoffs:
    """What a detector's last steps leave out; near them two runtimes may honestly differ.

    Attributes:
        score: Detections below it are left out.
        nms_iou: So is what overlaps a stronger one of its class by more than this.
        max_per_image: So is everything beyond this number.
    """

    score: float = 0.05
    nms_iou: float = 0.5
    max_per_image: int = 100


@dataclass(frozen=True)
class Matches:
    """Pairs of detections, and those without a partner.

    Attributes:
        pairs: (M, 2) indices of the reference's and the other's detections.
        lost: Indices of the reference's detections that the other lacks.
        added: Indices of the other's detections that the reference lacks.
        ties: Number of detections of both sides without a partner that a tie in NMS explains.
        edge: Number of those that the limit of scores or of the number of detections explains.
    """

    pairs: np.ndarray
    lost: np.ndarray
    added: np.ndarray
    ties: int
    edge: int


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes; of boxes without area it is 0."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = np.clip(np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner, 0, None).prod(axis=2)
    areas, other_areas = _areas(boxes), _areas(others)
    union = areas[:, None] + other_areas[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match_detections(
    reference: Detections, other: Detections, least_iou: float, score_tolerance: float, cutoffs: Cutoffs
) -> Matches:
    """Pair detections of one class one to one: as many as possible, of the greatest total IoU (Hungarian method).

    Partners overlap by at least `least_iou`, and their scores differ by at most `score_tolerance`. One without a
    partner is explained if, within the tolerances,

    - its score is that of the cutoff, or of the other side's last detection where that side is full ("edge"), or
    - the other side has, in its place, a detection of its class that overlaps it and is as strong, or overlaps it by
      just the IoU at which NMS removes ("tie"). An inexact box looks like that too: ties must be few.

    At cutoffs the tolerance is at most a tenth of the range of the reference's scores: among the nearly equal scores
    of an untrained detector it would excuse anything.

    Args:
        reference: Detections of one image.
        other: Those of another runtime.
        least_iou: 0 to 1.
        score_tolerance: 0 to 1.
        cutoffs: Of the detector.
    """
    iou = pairwise_iou(reference.boxes, other.boxes)
    gap = np.abs(reference.scores[:, None] - other.scores[None])
    same_class = reference.labels[:, None] == other.labels[None]
    eligible = same_class & (iou >= least_iou) & (gap <= score_tolerance)
    rows, columns = linear_sum_assignment(np.where(eligible, len(iou) + 1 + iou, 0), maximize=True)
    paired = eligible[rows, columns]
    pairs = np.stack([rows[paired], columns[paired]], axis=1)
    lost = np.setdiff1d(np.arange(len(reference.scores)), pairs[:, 0])
    added = np.setdiff1d(np.arange(len(other.scores)), pairs[:, 1])

    tolerance = min(score_tolerance, float(np.ptp(reference.scores)) / 10) if len(reference.scores) else score_tolerance
    overlap = np.where(same_class, iou, 0)
    slack = 1 - least_iou
    nms_tie = (overlap >= cutoffs.nms_iou - slack) & ((gap <= tolerance) | (overlap <= cutoffs.nms_iou + slack))
    lost_at_edge = reference.scores[lost] <= _last(other, cutoffs) + tolerance
    added_at_edge = other.scores[added] <= _last(reference, cutoffs) + tolerance
    edge = int(lost_at_edge.sum() + added_at_edge.sum())
    lost, added = lost[~lost_at_edge], added[~added_at_edge]
    lost_in_tie, added_in_tie = nms_tie.any(axis=1)[lost], nms_tie.any(axis=0)[added]
    ties = int(lost_in_tie.sum() + added_in_tie.sum())
    return Matches(pairs, lost[~lost_in_tie], added[~added_in_tie], ties, edge)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)


def _last(detections: Detections, cutoffs: Cutoffs) -> float:
    """The score below which nothing is reported."""
    full = len(detections.scores) >= cutoffs.max_per_image
    return max(float(detections.scores.min()), cutoffs.score) if full else cutoffs.score
