"""One-to-one matching of polygons, what each belongs to, and average precision; needs shapely alone."""

from typing import NamedTuple

import numpy as np
import shapely

RECALLS = np.linspace(0, 1, 101)  # at which COCO averages precision


class Pairs(NamedTuple):
    """Polygons that overlap.

    Attributes:
        found: (K,) index of what was found.
        labeled: (K,) index of the label.
        iou: (K,) intersection over union of their areas.
    """

    found: np.ndarray
    labeled: np.ndarray
    iou: np.ndarray


def overlapping_pairs(found: np.ndarray, labeled: np.ndarray, min_iou: float) -> Pairs:
    """All pairs whose intersection over union is at least `min_iou`, which is above 0.

    Args:
        found: (P,) valid polygons of any kind.
        labeled: (L,) the same in the same coordinates.
        min_iou: Lowest intersection over union.
    """
    first, second = shapely.STRtree(labeled).query(found, predicate='intersects')
    found_area, labeled_area = shapely.area(found)[first], shapely.area(labeled)[second]
    boxes = shapely.bounds(found)[first], shapely.bounds(labeled)[second]
    sides = np.minimum(boxes[0][:, 2:], boxes[1][:, 2:]) - np.maximum(boxes[0][:, :2], boxes[1][:, :2])
    at_most = np.minimum(sides.prod(axis=1), np.minimum(found_area, labeled_area))
    likely = at_most >= min_iou * np.maximum(found_area, labeled_area) * (1 - 1e-9)
    first, second = first[likely], second[likely]
    shared = shapely.area(shapely.intersection(found[first], labeled[second]))
    union = found_area[likely] + labeled_area[likely] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    enough = iou >= min_iou
    return Pairs(first[enough], second[enough], iou[enough])


def match_by_score(pairs: Pairs, scores: np.ndarray) -> np.ndarray:
    """The label of each polygon, each label taken once.

    In the order of falling scores, each takes the free label with which it overlaps most, as COCO's evaluation does
    (https://cocodataset.org/#detection-eval); among equal scores the pair that overlaps most goes first. So what has a
    high score is matched as if the rest did not exist.

    Args:
        pairs: Those that may be matched.
        scores: (P,) of what was found.

    Returns:
        (P,) index of the label, -1 for none.
    """
    label_of = np.full(len(scores), -1)
    taken: set[int] = set()
    order = np.lexsort((pairs.labeled, pairs.found, -pairs.iou, -scores[pairs.found]))
    for found, labeled in zip(pairs.found[order].tolist(), pairs.labeled[order].tolist(), strict=True):
        if label_of[found] < 0 and labeled not in taken:
            label_of[found] = labeled
            taken.add(labeled)
    return label_of


def counted_in_area(label_of: np.ndarray, inside: np.ndarray, labels_inside: np.ndarray) -> np.ndarray:
    """Which polygons count where only labels in some area do.

    As COCO's evaluation has it of labels that are ignored: what is matched counts if its label does, wherever it lies
    itself, so that a building at the border is neither found for nothing nor missed; a false alarm counts if it is
    inside.

    Args:
        label_of: (P,) As `match_by_score` returns it, with all labels.
        inside: (P,) Whether each polygon is.
        labels_inside: (L,) Whether each label is.
    """
    return np.where(label_of >= 0, np.append(labels_inside, False)[label_of], inside)


def classes_around(polygons: np.ndarray, labeled: np.ndarray, classes: np.ndarray, nothing: int) -> np.ndarray:
    """The class that each polygon without a label of its own belongs to.

    That of the label with which it shares the largest area; if there is none, that of the nearest; of equal ones the
    lowest.

    Args:
        polygons: (N,) valid polygons.
        labeled: (L,) labels.
        classes: (L,) their classes.
        nothing: The class where there is no label.

    Returns:
        (N,) integers.
    """
    result = np.full(len(polygons), nothing)
    tree = shapely.STRtree(labeled)
    owner, label = tree.query(polygons, predicate='intersects')
    shared = shapely.area(shapely.intersection(polygons[owner], labeled[label]))
    inside = shared > 0
    _set_first(result, owner[inside], -shared[inside], classes[label[inside]])
    apart = np.setdiff1d(np.flatnonzero(~shapely.is_empty(polygons)), owner[inside])
    (owner, label), distance = tree.query_nearest(polygons[apart], return_distance=True)
    _set_first(result, apart[owner], distance, classes[label])
    return result


def _set_first(result: np.ndarray, owner: np.ndarray, order: np.ndarray, classes: np.ndarray) -> None:
    """Give each owner the class that comes first in an order, of equal ones the lowest."""
    places = np.lexsort((classes, order, owner))
    owners, first = np.unique(owner[places], return_index=True)
    result[owners] = classes[places[first]]


def average_precision(scores: np.ndarray, right: np.ndarray, num_labels: int) -> float:
    """COCO's average precision: the mean over 101 recalls of the highest precision from there on.

    What has equal scores counts together, so that its order does not matter.

    Args:
        scores: (P,) of what was found in all images.
        right: (P,) bool, whether it was matched.
        num_labels: How many there are to find.

    Returns:
        0 to 1; NaN where there is nothing to find.
    """
    if not num_labels:
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    true_positives = np.cumsum(right[order])[last]
    precisions = true_positives / (np.flatnonzero(last) + 1)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    # in whole numbers of labels, as 0.29 is no number of floating point
    place = np.searchsorted(true_positives, np.ceil(RECALLS * num_labels - 1e-9), side='left')
    return float(np.append(envelope, 0.0)[np.minimum(place, len(envelope))].mean())
