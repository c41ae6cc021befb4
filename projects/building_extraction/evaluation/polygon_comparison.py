"""Building polygons against true ones, matched one to one, in metres, of all and of each height class."""

from dataclasses import dataclass

import numpy as np
import shapely

from ..height_classes import OVERALL, HeightClasses
from .object_matching import MIN_IOU
from .polygon_matching import Pairs, average_precision, classes_around, match_by_score, overlapping_pairs
from .polygon_measures import (
    boundary_iou,
    c_iou,
    corner_counts,
    holes_kept,
    overlapped_areas,
    polis,
    right_angles,
)

IOUS = np.linspace(0.5, 0.95, 10)  # over which COCO averages precision
OVERLAP_M2 = 0.01  # less is no overlap, but where coordinates of files are rounded


@dataclass(frozen=True)
class PolygonComparison:
    """What `compare_polygons` finds; polygons in local metres.

    Attributes:
        found: (P,) polygons that were found, without repeated points.
        labeled: (L,) the true ones.
        scores: (P,) of what was found.
        classes: (P,) the height class that each belongs to.
        label_classes: (L,) the true ones' classes.
        label_of: (P,) the true polygon of each, -1 for none.
        pairs: All that overlap enough.
        boundary_iou: (K,) of each pair.
        polis_m: (P,) distance from the matched one; NaN where there is none.
        corners, right_angles, overlapped_m2: (P,) of what was found.
        true_corners, true_right_angles: (L,) the same of the true ones.
        holes, holes_kept: (P,) of the matched true polygon.
    """

    found: np.ndarray
    labeled: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    label_classes: np.ndarray
    label_of: np.ndarray
    pairs: Pairs
    boundary_iou: np.ndarray
    polis_m: np.ndarray
    corners: np.ndarray
    right_angles: np.ndarray
    overlapped_m2: np.ndarray
    true_corners: np.ndarray
    true_right_angles: np.ndarray
    holes: np.ndarray
    holes_kept: np.ndarray

    def statistics(self, classes: HeightClasses) -> dict[str, dict[str, float]]:
        """Scores of all and of each class that has polygons, see `scores_of`."""
        everything = np.full(len(self.found), True), np.full(len(self.labeled), True)
        table = {OVERALL: self.scores_of(*everything)}
        for index, name in enumerate(classes.names_with_unknown):
            own = self.classes == index, self.label_classes == index
            if own[0].any() or own[1].any():
                table[name] = self.scores_of(*own)
        return table

    def scores_of(self, found: np.ndarray, labeled: np.ndarray) -> dict[str, float]:
        """Scores of some of the polygons.

        Args:
            found: (P,) bool.
            labeled: (L,) bool, with those that are matched with `found`.

        Returns:
            `labels`, `found`, `matched`; in percent `f1`, `precision`, `recall`, `boundary_ap` (over `IOUS`, of the
            lower of IoU and boundary IoU) and `boundary_ap50`; over matched pairs the means `iou`, `boundary_iou` and
            `c_iou` in percent, `polis_m` and its median, `corner_ratio` (corners found to true ones, of all together),
            and of their `holes` those `holes_kept` in percent; over all that was found, in percent,
            `right_angles` of corners, beside `true_right_angles`, and `overlapping` polygons. NaN where there is
            nothing to divide by.
        """
        matched = np.flatnonzero(found & (self.label_of >= 0))
        partner = self.label_of[matched]
        best = self._of_matched(self.pairs.iou)[matched]
        corners, true_corners = self.corners[matched], self.true_corners[partner]
        precisions = self._boundary_precisions(found, int(labeled.sum()))
        scores = {
            'labels': labeled.sum(),
            'found': found.sum(),
            'matched': len(matched),
            'f1': 100 * _ratio(2 * len(matched), labeled.sum() + found.sum()),
            'precision': 100 * _ratio(len(matched), found.sum()),
            'recall': 100 * _ratio(len(matched), labeled.sum()),
            'boundary_ap': 100 * np.mean(precisions),
            'boundary_ap50': 100 * precisions[0],
            'iou': 100 * _mean(best),
            'boundary_iou': 100 * _mean(self._of_matched(self.boundary_iou)[matched]),
            'c_iou': 100 * _mean(c_iou(best, corners, true_corners)),
            'polis_m': _mean(self.polis_m[matched]),
            'polis_median_m': float(np.median(self.polis_m[matched])) if len(matched) else np.nan,
            'corner_ratio': _ratio(corners.sum(), true_corners.sum()),
            'right_angles': 100 * _ratio(self.right_angles[found].sum(), self.corners[found].sum()),
            'true_right_angles': 100 * _ratio(self.true_right_angles[labeled].sum(), self.true_corners[labeled].sum()),
            'overlapping': 100 * _ratio((self.overlapped_m2[found] > OVERLAP_M2).sum(), found.sum()),
            'holes': self.holes[found].sum(),
            'holes_kept': 100 * _ratio(self.holes_kept[found].sum(), self.holes[found].sum()),
        }
        return {name: float(value) for name, value in scores.items()}

    def _of_matched(self, values: np.ndarray) -> np.ndarray:
        """(P,) of values of pairs that of the matched one; NaN where there is none."""
        result = np.full(len(self.found), np.nan)
        own = self.label_of[self.pairs.found] == self.pairs.labeled
        result[self.pairs.found[own]] = values[own]
        return result

    def _boundary_precisions(self, found: np.ndarray, labels: int) -> list[float]:
        """Average precision of each of `IOUS`, every time matched anew."""
        values = np.minimum(self.pairs.iou, self.boundary_iou)
        precisions = []
        for least in IOUS - 1e-9:
            enough = values >= least
            pairs = Pairs(self.pairs.found[enough], self.pairs.labeled[enough], values[enough])
            right = match_by_score(pairs, self.scores) >= 0
            precisions.append(average_precision(self.scores[found], right[found], labels))
        return precisions


def compare_polygons(
    found: np.ndarray,
    labeled: np.ndarray,
    heights_m: np.ndarray,
    classes: HeightClasses,
    band_m: float,
    scores: np.ndarray | None = None,
) -> PolygonComparison:
    """Match polygons with true ones, from an IoU of `MIN_IOU` on, each with one at most, and measure them.

    The higher score chooses first; among equal ones the pair that overlaps most. A true polygon and what is matched
    with it belong to the class of its height; a false alarm to that of the polygon that it overlaps most, else of the
    nearest.

    Args:
        found: (P,) valid Polygons and MultiPolygons in local metres.
        labeled: (L,) the true ones.
        heights_m: (L,) their heights, NaN where unknown.
        classes: The height classes.
        band_m: Width of the band along outlines whose IoU is the boundary IoU.
        scores: (P,) how sure each is; None: all alike.

    Returns:
        What was matched, and measures of each polygon.
    """
    found, labeled = shapely.remove_repeated_points(found), shapely.remove_repeated_points(labeled)
    scores = np.ones(len(found)) if scores is None else scores
    pairs = overlapping_pairs(found, labeled, MIN_IOU)
    label_of = match_by_score(pairs, scores)
    matched = np.flatnonzero(label_of >= 0)
    partners = labeled[label_of[matched]]
    label_classes = classes.index(heights_m)
    unknown = len(classes.names)
    own_classes, wrong = np.append(label_classes, unknown)[label_of], np.flatnonzero(label_of < 0)
    own_classes[wrong] = classes_around(found[wrong], labeled, label_classes, unknown)
    polis_m, holes = np.full(len(found), np.nan), np.zeros((2, len(found)), int)
    polis_m[matched] = polis(found[matched], partners)
    holes[:, matched] = holes_kept(found[matched], partners)
    return PolygonComparison(
        found,
        labeled,
        scores,
        own_classes,
        label_classes,
        label_of,
        pairs,
        boundary_iou(found[pairs.found], labeled[pairs.labeled], band_m),
        polis_m,
        corner_counts(found),
        right_angles(found),
        overlapped_areas(found),
        corner_counts(labeled),
        right_angles(labeled),
        *holes,
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
