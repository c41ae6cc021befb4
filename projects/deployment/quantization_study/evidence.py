"""What a network said of each test image, kept so that any weighting of the images can be scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ..predictions import Detections

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
MOST_PER_CLASS = 100  # detections of an image that COCO looks at
HIT, MISS, IGNORED = 1, 0, -1


class Evidence(Protocol):
    """The score of a set of images in which each occurs as often as its weight says."""

    def score(self, weights: np.ndarray) -> np.ndarray:
        """Scores in percent, (R,), of R weightings (R, images); NaN where nothing can be scored."""


class Objects(NamedTuple):
    """What there is to find on an image.

    Attributes:
        boxes: (N, 4) left, top, right, bottom in pixels.
        labels: (N,) classes.
        is_crowd: (N,) whether a box stands for a crowd, of which any number of detections is neither right nor wrong.
    """

    boxes: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray


@dataclass(frozen=True)
class EqualPixels:
    """The share of pixels that have the class that they should have.

    Attributes:
        equal: (images,) pixels of that class.
        counted: (images,) pixels that have one.
    """

    equal: np.ndarray
    counted: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[np.ndarray], references: Sequence[np.ndarray], ignored: int = 255) -> 'EqualPixels':
        """Compare maps (H, W) of classes with others."""
        valid = [reference != ignored for reference in references]
        equal = [((one == other) & use).sum() for one, other, use in zip(labels, references, valid, strict=True)]
        return cls(np.array(equal), np.array([use.sum() for use in valid]))

    def score(self, weights: np.ndarray) -> np.ndarray:
        """See `Evidence`."""
        return _percent(weights @ self.equal, weights @ self.counted)


@dataclass(frozen=True)
class MeanIoU:
    """The mean IoU of classes, over the pixels of all images, as mmseg's `IoUMetric` has it.

    Attributes:
        intersection: (images, classes) pixels of a class that were found.
        union: (images, classes) pixels that are of a class or were taken for it.
    """

    intersection: np.ndarray
    union: np.ndarray

    @classmethod
    def of(
        cls, labels: Sequence[np.ndarray], references: Sequence[np.ndarray], num_classes: int, ignored: int = 255
    ) -> 'MeanIoU':
        """Compare maps (H, W) of classes with the labels of a data set."""
        intersections, unions = [], []
        for one, other in zip(labels, references, strict=True):
            valid = other != ignored
            found, given = one[valid].astype(int), other[valid].astype(int)
            shared = np.bincount(given[found == given], minlength=num_classes)
            total = np.bincount(found, minlength=num_classes) + np.bincount(given, minlength=num_classes)
            intersections.append(shared)
            unions.append(total - shared)
        return cls(np.array(intersections), np.array(unions))

    def score(self, weights: np.ndarray) -> np.ndarray:
        """See `Evidence`."""
        return _nan_mean(_percent(weights @ self.intersection, weights @ self.union))


@dataclass(frozen=True)
class BoxAP:
    """COCO's box AP (https://cocodataset.org/#detection-eval), over IoU thresholds from 0.5 to 0.95.

    Attributes:
        scores: (D,) of all detections.
        images: (D,) index of the image of each.
        labels: (D,) classes.
        outcome: (thresholds, D) `HIT`, `MISS` or `IGNORED`.
        objects: (images, classes) objects to find, crowds left out.
    """

    scores: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    outcome: np.ndarray
    objects: np.ndarray

    @classmethod
    def of(cls, detections: Sequence[Detections], truth: Sequence[Objects], num_classes: int) -> 'BoxAP':
        """Compare detections with what there is to find, image by image."""
        scores: list[np.ndarray] = [np.zeros(0)]
        images: list[np.ndarray] = [np.zeros(0, int)]
        labels: list[np.ndarray] = [np.zeros(0, int)]
        outcomes: list[np.ndarray] = [np.zeros((len(IOU_THRESHOLDS), 0), int)]
        objects = np.zeros((len(truth), num_classes), int)
        for image, (found, there) in enumerate(zip(detections, truth, strict=True)):
            objects[image] = np.bincount(there.labels[~there.is_crowd], minlength=num_classes)
            for label in np.unique(found.labels):
                mine = np.flatnonzero(found.labels == label)
                mine = mine[np.argsort(-found.scores[mine], kind='stable')][:MOST_PER_CLASS]
                theirs = there.labels == label
                scores.append(found.scores[mine])
                images.append(np.full(len(mine), image))
                labels.append(np.full(len(mine), label))
                is_crowd = there.is_crowd[theirs]
                outcomes.append(match(overlaps(found.boxes[mine], there.boxes[theirs], is_crowd), is_crowd))
        return cls(np.concatenate(scores), np.concatenate(images), np.concatenate(labels), np.hstack(outcomes), objects)

    def score(self, weights: np.ndarray) -> np.ndarray:
        """See `Evidence`."""
        counts = weights @ self.objects  # (R, classes)
        classes = map(int, np.flatnonzero(self.objects.any(axis=0)))
        precision = [self._class_ap(label, weights, counts[:, label]) for label in classes]
        return _nan_mean(np.array(precision).T) if precision else np.full(len(weights), np.nan)

    def _class_ap(self, label: int, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
        chosen = np.flatnonzero(self.labels == label)
        chosen = chosen[np.argsort(-self.scores[chosen], kind='stable')]
        occurrences = weights[:, self.images[chosen]].astype(np.float64)
        averages = np.zeros(len(weights))
        for outcome in self.outcome[:, chosen]:
            hits = np.cumsum(occurrences * (outcome == HIT), axis=1)
            misses = np.cumsum(occurrences * (outcome == MISS), axis=1)
            averages += _average_precision(hits, misses, counts)
        with np.errstate(invalid='ignore'):
            return np.where(counts > 0, 100 * averages / len(IOU_THRESHOLDS), np.nan)


def match(ious: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """Which detections of a class hit an object, as COCO pairs them: the strongest first, each with the best left.

    Args:
        ious: (D, N) of detections, the strongest first, with objects; see `overlaps`.
        is_crowd: (N,) see `Objects`.

    Returns:
        (thresholds, D) `HIT`, `MISS` or `IGNORED`.
    """
    order = np.argsort(is_crowd, kind='stable')
    ious, is_crowd = ious[:, order], is_crowd[order]
    outcome = np.full((len(IOU_THRESHOLDS), len(ious)), MISS)
    for row, threshold in enumerate(IOU_THRESHOLDS):
        is_free = np.ones(len(order), dtype=bool)
        for index, own in enumerate(ious):
            able = (own >= min(threshold, 1 - 1e-10)) & is_free
            candidates = able & ~is_crowd if (able & ~is_crowd).any() else able
            if not candidates.any():
                continue
            best = np.flatnonzero(candidates & (own == own[candidates].max()))[-1]
            outcome[row, index] = IGNORED if is_crowd[best] else HIT
            is_free[best] = is_crowd[best]
    return outcome


def resamplings(num_images: int, number: int, seed: int = 0) -> np.ndarray:
    """Weights (number, images) of a bootstrap: how often each image is drawn, with replacement, the same each time."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=number)


def _average_precision(hits: np.ndarray, misses: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(R,) of cumulated hits and misses (R, D) and numbers of objects (R,)."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    recall = hits / np.maximum(counts, 1)[:, None]
    precision = hits / np.maximum(hits + misses, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.hstack([precision, np.zeros((len(hits), 1))])
    places = np.stack([np.searchsorted(row, RECALLS, side='left') for row in recall])
    return np.take_along_axis(precision, places, axis=1).mean(axis=1)


def overlaps(boxes: np.ndarray, objects: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """(D, N) IoU of boxes (D, 4) with objects (N, 4); with a crowd it is the share of the box that lies therein."""
    corner = np.maximum(boxes[:, None, :2], objects[None, :, :2])
    shared = np.clip(np.minimum(boxes[:, None, 2:], objects[None, :, 2:]) - corner, 0, None).prod(axis=2)
    areas, theirs = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, objects))
    total = np.where(is_crowd, areas[:, None], areas[:, None] + theirs - shared)
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid='ignore', divide='ignore'):
        return 100 * part / whole


def _nan_mean(values: np.ndarray) -> np.ndarray:
    """(R,) means of the numbers in each row; NaN for a row without any."""
    there = ~np.isnan(values)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
