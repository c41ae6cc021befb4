"""Differences of candidates over trainings, calibration sets and images, with intervals."""

from collections.abc import Mapping

import numpy as np

from projects.training.experiments.intervals import (
    LEVEL,
    Interval,
    draw_anew,
    mean_of_known,
    student_interval,
)

from .records import Cell, Score


def paired_interval(scores: Mapping[Cell, Score], others: Mapping[Cell, Score], seed: int = 0) -> Interval | None:
    """How much better one candidate is than another in the cells that both were measured in.

    Each draw takes trainings, for each of them calibration sets (`draw_anew`), and images; both candidates see the same
    draw. Trainings are replicates (`student_interval`). Of one training, the interval is about that one alone: the
    percentiles of the draws of its calibration sets and images; without limits where neither varies.

    Args:
        scores: Of the one.
        others: Of the other, from the same draws of images.
        seed: Of the drawing.

    Returns:
        Of a training the mean over its calibration sets counts; None if no cell has both.
    """
    cells = [cell for cell in scores if cell in others]
    if not cells:
        return None
    by_training = [
        [cell for cell in cells if cell.seed == training] for training in dict.fromkeys(cell.seed for cell in cells)
    ]
    observed = np.array([np.mean([scores[cell].value - others[cell].value for cell in own]) for own in by_training])
    differences = [
        np.array([np.subtract(scores[cell].resampled, others[cell].resampled) for cell in own]) for own in by_training
    ]
    drawn = np.empty((differences[0].shape[1], len(differences)))
    for own, (places, often) in zip(differences, draw_anew([*map(len, differences)], len(drawn), seed), strict=True):
        images = np.nonzero(places)[0]  # the draw of images that belongs to each place
        drawn[places] = (often * own[:, images].T).sum(axis=1) / len(own)
    interval, means = student_interval(observed, drawn), mean_of_known(drawn)
    if interval is None or interval.n > 1 or not len(means):
        return interval
    if len(cells) == 1 and not np.ptp(differences[0]):
        return interval
    low, high = np.percentile(means, (50 - 50 * LEVEL, 50 + 50 * LEVEL))
    return interval._replace(low=float(low), high=float(high))
