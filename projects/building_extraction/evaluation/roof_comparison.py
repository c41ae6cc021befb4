"""Compares the roofs, offsets and heights found in an image with its labels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely

from projects.geodata.common_lean import common_direction

from ..height_classes import HeightClasses
from .object_matching import MIN_IOU
from .polygon_matching import classes_around, match_by_score, overlapping_pairs
from .roof_samples import Roofs

# Offsets that are scored: those predicted; and, to tell what these are worth, none at all; the median of the tile's
# true ones; predicted lengths in the tile's true direction.
WAYS = ('predicted', 'zero', 'median', 'direction')


@dataclass(frozen=True)
class Detections:
    """What was found and is right or wrong; what is neither is left out.

    Attributes:
        scores: (P,).
        right: (P,) bool, whether it was matched.
        classes: (P,) the height class that it belongs to.
        labels: (C,) how many there are to find, of each class.
    """

    scores: np.ndarray
    right: np.ndarray
    classes: np.ndarray
    labels: np.ndarray

    @classmethod
    def join(cls, parts: Iterable['Detections'], num_classes: int) -> 'Detections':
        """Those of all images together."""
        parts = [cls(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.zeros(num_classes, int)), *parts]
        scores, right, classes = (
            np.concatenate([getattr(p, n) for p in parts]) for n in ('scores', 'right', 'classes')
        )
        return cls(scores, right, classes, np.sum([part.labels for part in parts], axis=0))


@dataclass(frozen=True)
class LabeledBuildings:
    """The labelled buildings that count, and the roof matched with each.

    Attributes:
        classes: (L,) height class of each.
        offsets_px: (L, 2) true offset, NaN where unknown.
        heights_m: (L,) true height, NaN where unknown.
        gsd_m: (L,) metres per pixel, NaN where unknown.
        scores: (L,) of the roof that was matched; NaN where none was.
        shifts_px: (L, 2) from the centroid of the true roof to that of the matched one.
        found_offsets_px: (L, W, 2) offset of the matched roof, of each of `WAYS`.
        found_heights_m: (L,) its height, NaN where none was predicted.
    """

    classes: np.ndarray
    offsets_px: np.ndarray
    heights_m: np.ndarray
    gsd_m: np.ndarray
    scores: np.ndarray
    shifts_px: np.ndarray
    found_offsets_px: np.ndarray
    found_heights_m: np.ndarray

    @classmethod
    def join(cls, parts: Iterable['LabeledBuildings']) -> 'LabeledBuildings':
        """Those of all images together, which are at least one."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclass(frozen=True)
class RoofComparison:
    """What `compare_roofs` finds in an image.

    Attributes:
        buildings: The labels with their matches.
        roofs: Roofs that were found.
        footprints: Footprints that were found, of each of `WAYS`.
    """

    buildings: LabeledBuildings
    roofs: Detections
    footprints: dict[str, Detections]


def compare_roofs(
    found: Roofs,
    labeled: Roofs,
    ignored: shapely.Geometry,
    classes: HeightClasses,
    gsd_m: float = float('nan'),
    min_object_px: float = 16,
) -> RoofComparison:
    """Match roofs and, anew, footprints, each label with one of what was found, from an IoU of `MIN_IOU` on.

    Which roof belongs to which label is decided by the roofs' masks and scores alone, never by offsets, so that wrong
    offsets are among those that are compared. A footprint is the roof moved back by its offset, beyond the image as
    well. A predicted offset that is absent or NaN counts as zero.

    Neither right nor wrong is what COCO ignores: what matches a label of fewer than `min_object_px`; and, without a
    match, what is as small, or lies by half or more in an ignored area. Labels of unknown offset have no footprint to
    find; what matches their roofs is left out of the footprints.

    A false alarm belongs to the class of the label that it overlaps most, else of the nearest: see `classes_around`.

    Args:
        found: What was found.
        labeled: The labels.
        ignored: Area in which nothing is wrong.
        classes: The height classes.
        gsd_m: Metres per pixel; NaN: unknown.
        min_object_px: Smallest area of a roof that counts.

    Returns:
        The labels with their matches, and what is right and wrong.
    """
    nothing = len(classes.names)
    class_of_label = classes.index(labeled.heights_m)
    counts, area = shapely.area(labeled.polygons) >= min_object_px, shapely.area(found.polygons)
    excused = (area < min_object_px) | (2 * shapely.area(shapely.intersection(found.polygons, ignored)) >= area)
    label_of, roofs = _detect(found.polygons, found.scores, labeled.polygons, counts, class_of_label, excused, nothing)
    known = np.isfinite(labeled.offsets_px).all(axis=1)
    excused |= (label_of >= 0) & ~np.append(known, True)[label_of]
    offsets_px = _offsets_by_way(found.offsets_px, labeled.offsets_px[known])
    targets = labeled.select(known)
    true_footprints, options = targets.footprints(), (counts[known], class_of_label[known], excused, nothing)
    footprints = {
        way: _detect(found.footprints(offsets_px[:, number]), found.scores, true_footprints, *options)[1]
        for number, way in enumerate(WAYS)
    }
    buildings = _buildings(found, labeled, label_of, offsets_px, class_of_label, gsd_m)
    chosen = LabeledBuildings(*(column[counts] for column in vars(buildings).values()))
    return RoofComparison(chosen, roofs, footprints)


def _detect(
    found: np.ndarray,
    scores: np.ndarray,
    labeled: np.ndarray,
    counts: np.ndarray,
    classes: np.ndarray,
    excused: np.ndarray,
    nothing: int,
) -> tuple[np.ndarray, Detections]:
    """The label of each polygon, -1 for none; and what is right and wrong."""
    label_of = match_by_score(overlapping_pairs(found, labeled, MIN_IOU), scores)
    matched = label_of >= 0
    judged = np.where(matched, np.append(counts, False)[label_of], ~excused)
    own = np.where(matched, np.append(classes, nothing)[label_of], nothing)
    wrong = np.flatnonzero(judged & ~matched)
    own[wrong] = classes_around(found[wrong], labeled, classes, nothing)
    labels = np.bincount(classes[counts], minlength=nothing + 1)
    return label_of, Detections(scores[judged], matched[judged], own[judged], labels)


def _offsets_by_way(found_px: np.ndarray, true_px: np.ndarray) -> np.ndarray:
    """(P, W, 2) offsets of what was found, of each of `WAYS`; true ones are those that are known."""
    predicted = np.where(np.isfinite(found_px).all(axis=1, keepdims=True), found_px, 0)
    median = np.median(true_px, axis=0) if len(true_px) else np.zeros(2)
    lean = common_direction(true_px) if np.any(true_px) else np.zeros(2)  # nothing leans: nothing is moved
    directed = np.linalg.norm(predicted, axis=1, keepdims=True) * lean
    return np.stack([predicted, np.zeros_like(predicted), np.broadcast_to(median, predicted.shape), directed], axis=1)


def _buildings(
    found: Roofs,
    labeled: Roofs,
    label_of: np.ndarray,
    offsets_px: np.ndarray,
    class_of_label: np.ndarray,
    gsd_m: float,
) -> LabeledBuildings:
    number = len(labeled)
    matched = np.flatnonzero(label_of >= 0)
    owner = label_of[matched]
    scores, heights_m = np.full((2, number), np.nan)
    shifts_px, ways_px = np.full((number, 2), np.nan), np.full((number, len(WAYS), 2), np.nan)
    scores[owner], heights_m[owner], ways_px[owner] = (
        found.scores[matched],
        found.heights_m[matched],
        offsets_px[matched],
    )
    middles = [
        shapely.get_coordinates(shapely.centroid(polygons))
        for polygons in (found.polygons[matched], labeled.polygons[owner])
    ]
    shifts_px[owner] = middles[0] - middles[1]
    return LabeledBuildings(
        class_of_label,
        labeled.offsets_px,
        labeled.heights_m,
        np.full(number, gsd_m),
        scores,
        shifts_px,
        ways_px,
        heights_m,
    )
