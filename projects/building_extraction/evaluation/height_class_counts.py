"""True and false positives and negatives of buildings, by height class: of pixels and of whole buildings."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..height_classes import HeightClasses
from .object_matching import Objects, match

TP, FP, FN = range(3)


@dataclass
class Counts:
    """What is counted, of one image or many.

    Attributes:
        pixels: (C, 3) int64, true positives, false positives and false negatives of each class of
            `HeightClasses.names_with_unknown`.
        objects: (C, 3) int64, the same of buildings.
        background: Pixels that are neither building nor found to be; int.
    """

    pixels: np.ndarray
    objects: np.ndarray
    background: int

    @classmethod
    def nothing(cls, num_classes: int) -> 'Counts':
        """The counts of no image, to add others to."""
        return cls(np.zeros((num_classes, 3), np.int64), np.zeros((num_classes, 3), np.int64), 0)

    def __add__(self, other: 'Counts') -> 'Counts':
        return Counts(self.pixels + other.pixels, self.objects + other.objects, self.background + other.background)

    def by_name(self, classes: HeightClasses) -> dict[str, Any]:
        """The counts as JSON can hold them: `pixels` and `objects`, of each class `tp`, `fp` and `fn`."""
        return {
            kind: {
                name: dict(zip(('tp', 'fp', 'fn'), row, strict=True))
                for name, row in zip(classes.names_with_unknown, counts.tolist(), strict=True)
            }
            for kind, counts in (('pixels', self.pixels), ('objects', self.objects))
        }

    def pixels_by_name(self, classes: HeightClasses) -> dict[str, list[int]]:
        """True positives, false positives and false negatives of pixels, of each class that has any."""
        rows = zip(classes.names_with_unknown, self.pixels.tolist(), strict=True)
        return {name: row for name, row in rows if any(row)}


def count_image(
    objects: Objects,
    ids: np.ndarray,
    heights_m: np.ndarray,
    ignored: np.ndarray,
    classes: HeightClasses,
    min_object_px: int = 1,
) -> Counts:
    """Compare what was found in an image with its labels.

    A true positive or false negative belongs to the class of its building. A false-positive pixel belongs to that of
    the labelled building which is nearest to it, from pixel centre to pixel centre; of equally near ones the lower
    class. A false-positive object belongs to the class that most of its pixels belong to in this sense; if there are
    several, the lowest. In an image without labelled buildings both are of unknown height. So the classes' counts sum
    to those of the whole, of all images.

    Objects with fewer than `min_object_px` pixels are treated as COCO treats those outside its range of areas
    (https://cocodataset.org/#detection-eval): small buildings need not be found, what matches one is neither right nor
    wrong, and small objects that match nothing are not wrong.

    Args:
        objects: The buildings that were found, without ignored pixels.
        ids: (H, W) integers, the labelled buildings, 0 is none; without ignored pixels.
        heights_m: (max id + 1,) height of each; NaN is unknown.
        ignored: (H, W) bool, pixels that are left out of everything.
        classes: The classes.
        min_object_px: Smallest object that counts as one.

    Returns:
        The counts.
    """
    num_classes = len(classes.names_with_unknown)
    class_of_id = classes.index(heights_m)
    class_of_id[0] = num_classes - 1
    found = objects.mask(ids.shape)
    labeled = ids > 0
    nearest = _class_of_nearest(ids, class_of_id, needed=bool((found & ~labeled).any()))
    cases = nearest.astype(np.uint16) * 4 + found * 2 + labeled
    cells = np.bincount(cases[~ignored], minlength=4 * num_classes).reshape(num_classes, 2, 2)
    return Counts(
        np.stack([cells[:, 1, 1], cells[:, 1, 0], cells[:, 0, 1]], axis=1),
        _count_objects(objects, ids, class_of_id, nearest, num_classes, max(min_object_px, 1)),
        int(cells[:, 0, 0].sum()),
    )


def _class_of_nearest(ids: np.ndarray, class_of_id: np.ndarray, needed: bool) -> np.ndarray:
    """(H, W) class of the labelled building nearest to each pixel; beside buildings anything if not needed there."""
    own = class_of_id[ids]
    present = np.unique(class_of_id[np.flatnonzero(np.bincount(ids.ravel())[1:]) + 1])
    if len(present) == 0 or not needed:
        return own
    nearest = np.full_like(own, present[0])
    if len(present) == 1:
        return nearest
    own[ids == 0] = -1
    least_px = _distance_px(own == present[0])
    for index in present[1:]:
        distance_px = _distance_px(own == index)
        nearest[distance_px < least_px] = index
        np.minimum(least_px, distance_px, out=least_px)
    return nearest


def _distance_px(mask: np.ndarray) -> np.ndarray:
    """(H, W) exact Euclidean distance to the nearest pixel of a mask."""
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _count_objects(
    objects: Objects, ids: np.ndarray, class_of_id: np.ndarray, nearest: np.ndarray, num_classes: int, min_px: int
) -> np.ndarray:
    """(C, 3) true and false positives and negatives."""
    counts = np.zeros((num_classes, 3), np.int64)
    labeled_px = np.bincount(ids.ravel(), minlength=len(class_of_id))
    labeled_px[0] = 0
    matched = match(objects, ids, len(class_of_id))
    right = matched[labeled_px[matched] >= min_px]
    counts[:, TP] = np.bincount(class_of_id[right], minlength=num_classes)
    missed = labeled_px >= min_px
    missed[right] = False
    counts[:, FN] = np.bincount(class_of_id[missed], minlength=num_classes)
    wrong = (matched == 0) & (np.bincount(objects.owners, minlength=objects.number) >= min_px)
    majority = objects.table(nearest, num_classes).toarray().argmax(axis=1)
    counts[:, FP] = np.bincount(majority[wrong], minlength=num_classes)
    return counts
