"""Whether an exported model says what the network in PyTorch says."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from projects.pixels.pasting import paste_mask

from ..model_info import ModelInfo
from ..predictions import Detections, Prediction, Segmentation
from .detection_matching import Cutoffs, match_detections, pairwise_iou
from .verification import Bounds, Case, Verification

WORST_CASES = 10


def verify(
    reference: Callable[[np.ndarray], Sequence[Prediction]],
    exported: Callable[[np.ndarray], Sequence[Prediction]],
    batches: Iterable[tuple[Sequence[str], np.ndarray]],
    info: ModelInfo,
    bounds: Bounds,
    cutoffs: Cutoffs | None = None,
) -> Verification:
    """Compare two predictors.

    Pixels are compared at the network's own scale, by class and by probability. Detections are matched one to one,
    see `match_detections`; masks of partners are compared in the image.

    Args:
        reference: The network in PyTorch; images (B, H, W, 3) uint8 RGB to their predictions. Masks may be at RoI size
            or, boolean, of the image.
        exported: The exported model.
        batches: Names, and images of one size, as the reference takes them.
        info: What the model is.
        bounds: What is allowed, e.g. `BOUNDS['fp32']`.
        cutoffs: Of a detector.

    Returns:
        What was found; ask it whether it `passed`.
    """
    result = Verification(bounds, is_detection=not info.is_segmentor)
    classes: set[int] = set()
    pixel_differences: list[float] = []
    ious: list[float] = []
    offsets: list[float] = []
    for names, images in batches:
        for name, first, second in zip(names, reference(images), exported(images), strict=True):
            result.images += 1
            classes.update(np.unique(first.labels).tolist())
            if isinstance(first, Segmentation):
                assert isinstance(second, Segmentation)
                _compare_pixels(result, name, first, second, pixel_differences)
            else:
                assert isinstance(second, Detections)
                matches = _compare_detections(result, name, first, second, info, cutoffs or Cutoffs())
                if first.masks is not None:
                    ious += [
                        _mask_iou(first, mine, second, other, images.shape[1:3], info.mask_threshold)
                        for mine, other in matches
                    ]
                if first.offsets is not None:
                    offsets += _offset_differences(first, second, matches)
    result.classes = len(classes)
    if pixel_differences:
        result.probability = float(np.mean(pixel_differences))
    if ious:
        result.mask_iou = float(np.mean(ious))
    if offsets:
        result.offset = float(np.mean(offsets))
    result.worst = sorted(result.worst, key=lambda case: -case.deviation)[:WORST_CASES]
    return result


def _compare_pixels(
    result: Verification, name: str, first: Segmentation, second: Segmentation, differences: list[float]
) -> None:
    if first.labels.shape != second.labels.shape:
        raise ValueError(f'{name}: the export gives {second.labels.shape} labels, the network {first.labels.shape}')
    differ = first.labels != second.labels
    result.checked += differ.size
    result.equal += int(differ.size - differ.sum())
    text = f'{differ.mean():.3%} of the pixels are of another class'
    deviation = float(differ.mean())
    if first.probabilities is not None and second.probabilities is not None:
        difference = np.abs(first.probabilities - second.probabilities).max(axis=0)
        difference = np.where(np.isnan(difference), 1, difference)
        differences.append(float(difference.mean()))
        _note_largest(result, 'probability', float(difference.max()))
        text += f', probabilities differ by {difference.mean():.2g} on average and {difference.max():.2g} at most'
        deviation += float(difference.mean())
    if deviation:
        result.worst.append(Case(name, deviation, text))


def _compare_detections(
    result: Verification,
    name: str,
    first: Detections,
    second: Detections,
    info: ModelInfo,
    cutoffs: Cutoffs,
) -> np.ndarray:
    """Adds what was found to the result; (M, 2) partners."""
    bounds = result.bounds
    if bounds.weak and len(first.scores):
        cutoffs = replace(cutoffs, score=max(cutoffs.score, bounds.weak * float(first.scores.max())))
    matches = match_detections(first, second, bounds.iou, bounds.score, cutoffs)
    overlap = pairwise_iou(first.boxes, second.boxes)
    mine, other = matches.pairs.T
    strong = first.scores[mine] > cutoffs.score
    result.checked += int(strong.sum()) + len(matches.lost) + len(matches.added) + matches.ties
    result.equal += int(strong.sum())
    result.ties += matches.ties
    result.edge += matches.edge
    if len(mine):
        _note_largest(result, 'score', float(np.abs(first.scores[mine] - second.scores[other]).max()))
        _note_largest(result, '1 - IoU of boxes', float(1 - overlap[mine, other].min()))
    for side, own, others, iou in (
        ('the network', first, second, overlap),
        ('the export', second, first, overlap.T),
    ):
        for index in matches.lost if own is first else matches.added:
            result.worst.append(Case(name, float(own.scores[index]), _describe(side, own, others, iou, index, info)))
    return matches.pairs


def _describe(side: str, own: Detections, others: Detections, iou: np.ndarray, index: int, info: ModelInfo) -> str:
    same = others.labels == own.labels[index]
    box = ', '.join(f'{value:.1f}' for value in own.boxes[index])
    text = f'{side} alone has {info.classes[own.labels[index]]} {own.scores[index]:.4f} at ({box})'
    if not same.any():
        return f'{text}; the other has none of this class'
    nearest = np.where(same, iou[index], -1).argmax()
    return f"{text}; the other's nearest has IoU {iou[index, nearest]:.4f} and score {others.scores[nearest]:.4f}"


def _mask_iou(
    first: Detections, mine: int, second: Detections, other: int, size: tuple[int, int], threshold: float
) -> float:
    mask, partner = _mask(first, mine, size, threshold), _mask(second, other, size, threshold)
    union = (mask | partner).sum()
    return float((mask & partner).sum() / union) if union else 1.0


def _offset_differences(first: Detections, second: Detections, matches: np.ndarray) -> list[float]:
    """Of the (M, 2) partners: the larger difference, see `Bounds`."""
    mine, other = first.select(matches[:, 0]), second.select(matches[:, 1])
    assert mine.offsets is not None
    assert mine.heights_m is not None
    assert other.offsets is not None
    assert other.heights_m is not None
    side = np.sqrt((mine.boxes[:, 2:] - mine.boxes[:, :2]).prod(axis=1)).clip(1)
    moved = np.linalg.norm(mine.offsets - other.offsets, axis=1) / side
    grown = np.abs(np.log1p(mine.heights_m) - np.log1p(other.heights_m))
    return np.maximum(moved, grown).tolist()


def _mask(detections: Detections, index: int, size: tuple[int, int], threshold: float) -> np.ndarray:
    assert detections.masks is not None
    if detections.masks.dtype == bool:
        return detections.masks[index]
    mask = np.zeros(size, dtype=bool)
    rows, columns, inside = paste_mask(detections.masks[index], detections.boxes[index], size, threshold)
    mask[rows, columns] = inside
    return mask


def _note_largest(result: Verification, name: str, value: float) -> None:
    result.largest[name] = max(result.largest.get(name, 0.0), value)
