"""BONAI's published evaluation, for comparison with published figures: with its holes, and only for that.

After jwwangchn/BONAI, `tools/bonai/bonai_evaluation.py` (MIT). What is wrong with it, and why `compare_roofs` differs:

- every pair with an IoU of at least a half counts: a building that is found twice is found twice;
- IoU is I / (U + 1 px²), lower for small buildings;
- an image without labels or without predictions is skipped, with its false alarms and misses;
- offsets are compared where *footprints* overlap by half: wrong offsets exclude themselves;
- the error of the angle is not wrapped: 359° against 1° is off by 358°.
"""

from dataclasses import dataclass

import numpy as np
import shapely

from projects.reporting.number_format import fixed
from projects.reporting.tables import Table

from .object_matching import MIN_IOU
from .polygon_matching import overlapping_pairs
from .roof_samples import Roofs

SCORE, AREA_PX = 0.4, 500.0  # of predictions that are evaluated
KINDS = 'roof', 'footprint'


@dataclass(frozen=True)
class PublishedCounts:
    """Of an image or several.

    Attributes:
        counts: (2, 3) pairs, wrong ones and missed ones, of roofs and of footprints.
        errors: (3,) sums over pairs of footprints: end-point error in pixels, angle error in radians, 1 - cosine.
        skipped: Images without labels or without predictions.
    """

    counts: np.ndarray
    errors: np.ndarray
    skipped: int


def published_counts(found: Roofs, labeled: Roofs) -> PublishedCounts:
    """Count an image as BONAI's evaluation does; offsets that are unknown, which BONAI has none of, count as zero."""
    found = found.select((found.scores >= SCORE) & (shapely.area(found.polygons) >= AREA_PX))
    if not len(found) or not len(labeled):
        return PublishedCounts(np.zeros((2, 3), int), np.zeros(3), 1)
    found_px, true_px = np.nan_to_num(found.offsets_px), np.nan_to_num(labeled.offsets_px)
    counts = np.zeros((2, 3), int)
    for kind, (ours, theirs) in enumerate(
        ((found.polygons, labeled.polygons), (found.footprints(found_px), labeled.footprints(true_px)))
    ):
        pairs = overlapping_pairs(ours, theirs, MIN_IOU)
        first, second = pairs.found, pairs.labeled
        areas = shapely.area(found.polygons)[first] + shapely.area(labeled.polygons)[second]
        shared = pairs.iou * areas / (1 + pairs.iou)
        enough = shared / (areas - shared + 1) >= MIN_IOU
        first, second = first[enough], second[enough]
        counts[kind] = len(first), len(found) - len(np.unique(first)), len(labeled) - len(np.unique(second))
    return PublishedCounts(counts, _errors(found_px[first], true_px[second]), 0)


def published_scores(results: list[PublishedCounts]) -> dict[str, float]:
    """F1, precision and recall in percent of roofs and footprints, and the mean errors, by the names of the paper."""
    counts = np.sum([result.counts for result in results], axis=0)
    scores: dict[str, float] = {}
    with np.errstate(invalid='ignore', divide='ignore'):
        for kind, (pairs, wrong, missed) in zip(KINDS, counts.astype(float), strict=True):
            precision, recall = pairs / (pairs + wrong), pairs / (pairs + missed)
            f1 = 2 * precision * recall / (precision + recall)
            row = {'f1': f1, 'precision': precision, 'recall': recall}
            scores |= {f'{kind}_{name}': float(100 * value) for name, value in row.items()}
        errors = np.sum([result.errors for result in results], axis=0) / counts[1, 0]
    scores |= dict(zip(('aEPE', 'aAE', 'cosine_distance'), errors.tolist(), strict=True))
    return scores | {'skipped_images': float(sum(result.skipped for result in results))}


def published_table(scores: dict[str, float]) -> str:
    """The scores as text, named as what they are."""
    caption = (
        "BONAI's published evaluation, to compare with published figures only: pairs are not one to one, images "
        'without labels or predictions are skipped, aEPE (px) and aAE (rad, not wrapped) are taken where footprints '
        'overlap by half'
    )
    names = [name.replace('_', ' ') for name in scores]
    row = [fixed(value, 2 if name in ('aEPE', 'aAE') else 1) for name, value in scores.items()]
    return Table(caption, names, [row], numeric=names).text()


def _errors(found_px: np.ndarray, true_px: np.ndarray) -> np.ndarray:
    angles = np.arctan2(found_px[:, 1], found_px[:, 0]) - np.arctan2(true_px[:, 1], true_px[:, 0])
    lengths = np.linalg.norm(found_px, axis=1) * np.linalg.norm(true_px, axis=1)
    cosines = np.divide((found_px * true_px).sum(1), lengths, out=np.ones_like(lengths), where=lengths > 0)
    end_points = np.linalg.norm(found_px - true_px, axis=1)
    return np.array([end_points.sum(), np.abs(angles).sum(), (1 - cosines).sum()])
