"""What leans say of heights: where they begin, how high buildings are, and of which class they surely are.

A lean is h · tan(off-nadir angle). A shift of all labels along the direction of the lean looks like a lean of all
buildings: where leans begin is no question that outlines answer. It is answered by heights that are known of some
buildings, by a registration that is stated, or by an assumption; heights follow from the first two alone.
"""

from dataclasses import dataclass

import numpy as np

from ...height_classes import HeightClasses
from .line_search import Line
from .placement import SURE, Fits, Placement

MIN_OFF_NADIR_DEG = 12.0  # below it, an error of 0.5 m is one of 2.4 m of height and more
MAX_OFF_NADIR_DEG = 45.0
MIN_KNOWN = 5  # heights that say where leans begin
LEAST_EVIDENCE = 4.0  # logarithm that known heights must add up to: 90 % of draws of 10 do, 5 % of which are > 1 m off
MIN_SPREAD_M = 3.0  # between the 10th and 90th percentile of known heights, for the angle to follow from them
MIN_FITTED = 8  # known heights from which the angle follows
STATED_DEVIATION_M = 0.3
ZERO_REACH_M, ZERO_STEP_M = 10.0, 0.1
USUAL_ZERO_M, ZERO_DEVIATION_M = -1.5, 2.0  # of lines as they are found, in 8 rendered scenes
ANGLE_STEP_DEG = 0.5
WRONG_SHARE = 0.2  # of known heights
MOST_EVIDENCE = 6.0  # logarithm that one of them adds at most
CONTRADICTION = 10.0  # by which another angle must fit better
FLOOR_M, LOWEST_SHARE = 3.0, 0.1  # assumed of the lowest tenth, where nothing else is known
REGISTRATION, KNOWN, ASSUMED = 'registration as stated', 'known heights', 'assumed: the lowest tenth has one floor'


@dataclass(frozen=True)
class Zero:
    """Where the leans of a view begin, and how they grow.

    Attributes:
        along_m: Lean of a building of no height, from the line's zero.
        deviation_m: Standard deviation of that.
        source: `REGISTRATION`, `KNOWN` or `ASSUMED`.
        tangent: Of the off-nadir angle; NaN is unknown.
        is_reversed: Known heights say that roofs lean opposite to the line's direction.
        obstacle: Why heights do not follow; '' if they do.
    """

    along_m: float
    deviation_m: float
    source: str
    tangent: float
    is_reversed: bool = False
    obstacle: str = ''


def find_zero(
    line: Line,
    placement: Placement,
    fits: Fits,
    heights_m: np.ndarray,
    off_nadir_deg: float | None,
    registration_m: tuple[float, float] | None,
) -> Zero:
    """Find where leans begin.

    Known heights answer together: every building of known height h fits the image in some places along the line; that
    zero (and that angle, if none is stated) is taken with which lean = zero + h · tan(angle) is where they fit.

    Args:
        line: Of the view.
        placement: Of its buildings.
        fits: Of the same along the line.
        heights_m: (N,) As stated, NaN is unknown.
        off_nadir_deg: As stated; None: it may follow from `MIN_FITTED` heights.
        registration_m: East and north from a label to where the ground below it is seen, if that is stated.
    """
    tangent = np.nan if off_nadir_deg is None else float(np.tan(np.radians(off_nadir_deg)))
    used = np.isfinite(heights_m) & placement.inside
    known_m, obstacle = heights_m[used], ''
    fits = Fits(fits.along_m, fits.ratios[used])
    senses = np.array([1.0] if line.is_directed else [1.0, -1.0])
    free = _with_any_angle(fits, known_m, senses)
    told = free if off_nadir_deg is None else _best_zero(fits, known_m, tangent * senses)
    if told is not None and off_nadir_deg is None:
        tangent = abs(told.tangent)
    obstacle = _too_steep_or_flat(tangent)
    if registration_m is not None:
        along_m = float((np.array(registration_m) - line.shift_m) @ line.direction)
        return Zero(along_m, STATED_DEVIATION_M, REGISTRATION, tangent, False, obstacle)
    if told is not None and told.evidence >= LEAST_EVIDENCE and not _is_contradicted(told, free):
        return Zero(told.along_m, told.deviation_m, KNOWN, tangent, told.tangent < 0, obstacle)
    if told is not None and off_nadir_deg is not None:
        obstacle = (
            f'the known heights contradict the image: {told.agreeing:.0%} of {len(known_m)} fit {off_nadir_deg:g} '
            'degrees off nadir' + _of_other_angle(told, free)
        )
    elif not obstacle:
        obstacle = f'{len(known_m)} known heights of buildings in the image; {MIN_KNOWN} say where leans begin'
    sure_m = placement.along_m[placement.confidence >= SURE]
    lowest_m = float(np.quantile(sure_m, LOWEST_SHARE)) if len(sure_m) else 0.0
    one_floor_m = FLOOR_M * tangent if np.isfinite(tangent) else 0.0
    return Zero(lowest_m - one_floor_m, max(one_floor_m, 1.0), ASSUMED, tangent, False, obstacle)


@dataclass(frozen=True)
class _Told:
    """What known heights say: zero, its deviation, tangent (negative: opposite), evidence, share that agrees."""

    along_m: float
    deviation_m: float
    tangent: float
    evidence: float
    agreeing: float


def _best_zero(fits: Fits, known_m: np.ndarray, tangents: np.ndarray) -> _Told | None:
    if len(known_m) < MIN_KNOWN:
        return None
    zeros_m = np.arange(-ZERO_REACH_M, ZERO_REACH_M + ZERO_STEP_M, ZERO_STEP_M)
    step_m, rows = fits.along_m[1] - fits.along_m[0], np.arange(len(known_m))
    best: _Told | None = None
    for tangent in tangents.tolist():
        places = np.rint((zeros_m[:, None] + tangent * known_m - fits.along_m[0]) / step_m).astype(int)
        inside = (places >= 0) & (places < len(fits.along_m))
        ratios = np.where(inside, fits.ratios[rows, np.clip(places, 0, len(fits.along_m) - 1)], 1.0)  # (Z, K)
        each = np.minimum(np.log(WRONG_SHARE + (1 - WRONG_SHARE) * ratios), MOST_EVIDENCE)
        evidence = each.sum(axis=1) - (zeros_m - USUAL_ZERO_M) ** 2 / (2 * ZERO_DEVIATION_M**2)
        highest = int(evidence.argmax())
        if best is None or evidence[highest] > best.evidence:
            weights = np.exp(evidence - evidence[highest])
            mean_m = float(np.average(zeros_m, weights=weights))
            deviation_m = float(np.sqrt(np.average((zeros_m - mean_m) ** 2, weights=weights)))
            agreeing = float(np.mean(ratios[highest] > 1))
            best = _Told(mean_m, max(deviation_m, ZERO_STEP_M / 2), tangent, float(evidence[highest]), agreeing)
    return best


def _with_any_angle(fits: Fits, known_m: np.ndarray, senses: np.ndarray) -> _Told | None:
    if len(known_m) < MIN_FITTED or np.subtract(*np.quantile(known_m, (0.9, 0.1))) < MIN_SPREAD_M:
        return None
    tangents = np.tan(np.radians(np.arange(0, MAX_OFF_NADIR_DEG + 5, ANGLE_STEP_DEG)))
    return _best_zero(fits, known_m, np.outer(senses, tangents).ravel())


def _is_contradicted(told: _Told, free: _Told | None) -> bool:
    """Whether another angle fits the known heights much better than the one that is stated."""
    return free is not None and free.evidence > told.evidence + CONTRADICTION


def _of_other_angle(told: _Told, free: _Told | None) -> str:
    if free is None or free.evidence <= told.evidence:
        return ''
    ratio = abs(free.tangent / told.tangent) if told.tangent else np.inf
    degrees = float(np.degrees(np.arctan(abs(free.tangent))))
    hint = '; are the heights feet? (name the column so, such as height_ft)' if 0.24 <= ratio <= 0.38 else ''
    return f', {free.agreeing:.0%} fit {degrees:.0f}{hint}'


def _too_steep_or_flat(tangent: float) -> str:
    if not np.isfinite(tangent):
        return 'the off-nadir angle is not known'
    degrees = float(np.degrees(np.arctan(tangent)))
    if degrees < MIN_OFF_NADIR_DEG:
        return f'not determined {degrees:.0f} degrees off nadir: below {MIN_OFF_NADIR_DEG:g}, leans are too short'
    return (
        '' if degrees <= MAX_OFF_NADIR_DEG + 1 else f'{degrees:.0f} degrees off nadir is beyond {MAX_OFF_NADIR_DEG:g}'
    )


def lean_heights(placement: Placement, zero: Zero) -> tuple[np.ndarray, np.ndarray]:
    """Heights (N,) by the lean, and their standard deviations, in metres; NaN where they do not follow."""
    if zero.obstacle or zero.source == ASSUMED or not np.isfinite(zero.tangent):
        return np.full(len(placement.along_m), np.nan), np.full(len(placement.along_m), np.nan)
    heights_m = (placement.along_m - zero.along_m) / zero.tangent
    deviations_m = np.hypot(placement.deviation_m, zero.deviation_m) / zero.tangent
    told = (placement.confidence >= SURE) & (heights_m > -2 * deviations_m)
    return np.where(told, np.maximum(heights_m, 0), np.nan), np.where(told, deviations_m, np.nan)


def sure_classes(heights_m: np.ndarray, deviations_m: np.ndarray, classes: HeightClasses) -> np.ndarray:
    """Class (N,) of heights that two standard deviations do not take into another; else that of unknown heights."""
    low, high = (classes.index(np.maximum(heights_m + sign * 2 * deviations_m, 0)) for sign in (-1, 1))
    return np.where(low == high, low, len(classes.names))
