"""From compared roofs to scores: of roofs and footprints, offsets and heights."""

import numpy as np

from .height_class_counts import FN, FP, TP
from .polygon_matching import average_precision
from .roof_comparison import WAYS, Detections, LabeledBuildings

LOCATED_M = 2.0  # a footprint whose centroid is as near as that is located
LONG_PX = 3.0  # true offsets that are longer have an angle to compare
Scores = dict[str, float]


def detection_scores(detections: Detections, score_threshold: float, chosen: int | None = None) -> Scores:
    """`f1`, `precision`, `recall` from a score on, and `ap50` over all scores, in percent.

    Args:
        detections: Those of all images.
        score_threshold: Lowest score that counts, but in `ap50`.
        chosen: A height class; None: all.

    Returns:
        The scores, NaN where there is nothing to divide by.
    """
    own = np.full(len(detections.scores), True) if chosen is None else detections.classes == chosen
    labels = int(detections.labels.sum() if chosen is None else detections.labels[chosen])
    scores, right = detections.scores[own], detections.right[own]
    counts = np.zeros(3)
    counts[TP] = right[scores >= score_threshold].sum()
    counts[FP] = (~right[scores >= score_threshold]).sum()
    counts[FN] = labels - counts[TP]
    return {
        'f1': 100 * _ratio(2 * counts[TP], 2 * counts[TP] + counts[FP] + counts[FN]),
        'precision': 100 * _ratio(counts[TP], counts[TP] + counts[FP]),
        'recall': 100 * _ratio(counts[TP], labels),
        'ap50': 100 * average_precision(scores, right, labels),
    }


def offset_scores(buildings: LabeledBuildings, way: str, score_threshold: float) -> Scores:
    """How far offsets are from the true ones, where those are known.

    Args:
        buildings: Labels with their matches.
        way: One of `WAYS`.
        score_threshold: Roofs of lower scores count as not found.

    Returns:
        `matched`, `unmatched`, and `unknown` labels, whose offset is not known; over the matched ones the end-point
        error `epe_px`, its median and 90th percentile, the mean of found less true length, `length_error_px`, all in
        metres too, and `angle_error_deg`: the mean of absolute differences wrapped to 180 degrees, of true offsets
        longer than `LONG_PX`, which `angles` counts (offsets of length 0 have no angle); and `located_recall`: of
        **all** labels of known offset, in percent, whose footprint has its centroid within `LOCATED_M`. NaN where
        there is nothing to divide by, or metres are not known.
    """
    known = np.isfinite(buildings.offsets_px).all(axis=1)
    matched = known & (buildings.scores >= score_threshold)
    true_px, found_px = buildings.offsets_px[matched], buildings.found_offsets_px[matched, WAYS.index(way)]
    gsd_m, errors_px = buildings.gsd_m[matched], np.linalg.norm(found_px - true_px, axis=1)
    lengths_px = np.linalg.norm(found_px, axis=1), np.linalg.norm(true_px, axis=1)
    away_m = np.linalg.norm(buildings.shifts_px[matched] - found_px + true_px, axis=1) * gsd_m
    located = (away_m <= LOCATED_M).sum() if np.isfinite(buildings.gsd_m[known]).all() else np.nan
    scores = {'matched': matched.sum(), 'unmatched': (known & ~matched).sum(), 'unknown': (~known).sum()}
    for unit, scale in (('px', np.ones_like(gsd_m)), ('m', gsd_m)):
        scores |= {
            f'epe_{unit}': _mean(errors_px * scale),
            f'epe_median_{unit}': _percentile(errors_px * scale, 50),
            f'epe_p90_{unit}': _percentile(errors_px * scale, 90),
            f'length_error_{unit}': _mean((lengths_px[0] - lengths_px[1]) * scale),
        }
    has_angle = (lengths_px[1] > LONG_PX) & (lengths_px[0] > 0)
    angles = np.arctan2(found_px[:, 1], found_px[:, 0]) - np.arctan2(true_px[:, 1], true_px[:, 0])
    wrapped_deg = np.degrees(np.abs((angles[has_angle] + np.pi) % (2 * np.pi) - np.pi))
    scores |= {'angle_error_deg': _mean(wrapped_deg), 'angles': has_angle.sum()}
    scores |= {'located_recall': 100 * _ratio(located, known.sum())}
    return {name: float(value) for name, value in scores.items()}


def height_scores(buildings: LabeledBuildings, score_threshold: float) -> Scores:
    """How far heights are from the true ones, where both are known.

    Args:
        buildings: Labels with their matches.
        score_threshold: Roofs of lower scores count as not found.

    Returns:
        `compared`; those left out: `unknown` labels, whose height is not known, `unmatched` ones, and those
        `not_predicted`; and in metres `mae`, `median` (of absolute errors), `bias` (found less true) and `rmse`.
    """
    known = np.isfinite(buildings.heights_m)
    matched = known & (buildings.scores >= score_threshold)
    compared = matched & np.isfinite(buildings.found_heights_m)
    errors_m = (buildings.found_heights_m - buildings.heights_m)[compared]
    scores = {
        'compared': compared.sum(),
        'unmatched': (known & ~matched).sum(),
        'not_predicted': (matched & ~compared).sum(),
        'unknown': (~known).sum(),
        'mae_m': _mean(np.abs(errors_m)),
        'median_m': _percentile(np.abs(errors_m), 50),
        'bias_m': _mean(errors_m),
        'rmse_m': np.sqrt(_mean(errors_m**2)),
    }
    return {name: float(value) for name, value in scores.items()}


def class_confusion(true: np.ndarray, found: np.ndarray, number: int) -> np.ndarray:
    """(C, C) how many of each class, in rows, were found to be of each, in columns."""
    return np.bincount(true * number + found, minlength=number**2).reshape(number, number)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else np.nan


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
