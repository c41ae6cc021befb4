"""Finds the displacement that labels agree on, and tells whether they agree more than they would by chance."""

from collections.abc import Iterator

import numpy as np
from scipy import special, stats

from .lean import (
    LEAN,
    MIN_BUILDINGS,
    SHIFT,
    SIMILARITY,
    Trend,
    design_matrix,
    lean_obstacle,
)

MIN_CONSENSUS = 0.4  # share of the matched labels that must agree on one displacement
MAX_FALSE_ALARMS = 1e-2  # expected number of agreements as good as this among labels that were matched by chance
TRIALS, MAX_SCORED = 300, 2000
CONFIDENCE = 0.95
TOO_FEW = 3  # labels to tell agreement from chance: what they say stands, with their number
LIMITS = np.array([np.inf, np.inf, 0.3, 0.3, 2.0, 2.0])  # of the coefficients: 30 % of scale, 17 degrees, 63 degrees


def fit_trend(
    offsets_m: np.ndarray,
    places_m: np.ndarray,
    heights_m: np.ndarray,
    reach_m: float,
    resolution_m: float,
    start: Trend | None = None,
) -> Trend | None:
    """Find the displacement that labels agree on, if more agree than would by chance.

    Random sample consensus (Fischler and Bolles, 1981, doi:10.1145/358669.358692), for a shift alone and with rotation
    and scale, lean, or both, and for several tolerances, of which the one is taken that chance explains least (Moisan
    and Stival, 2004, doi:10.1023/B:VISI.0000013094.38752.7d); then all that can be told by the labels that follow, by
    least squares. Chance is taken to lay a label within a tolerance of any place with probability tolerance / reach,
    since matches nearer to the expected place are preferred. Deterministic.

    Args:
        offsets_m: (N, 2) East and north, NaN where unmatched.
        places_m: (N, 2) Where the labels are.
        heights_m: (N,) NaN where unknown.
        reach_m: Radius of the search that found the offsets.
        resolution_m: Smallest tolerance.
        start: Displacement around which the offsets were searched: labels agree on it already.

    Returns:
        The displacement; None if the labels do not agree on one.
    """
    matched = np.isfinite(offsets_m).all(axis=1)
    with_lean = lean_obstacle(heights_m[matched]) == ''
    used = matched & np.isfinite(heights_m) if with_lean else matched
    if not used.any():
        return None
    middle_m = np.median(places_m, axis=0)
    offsets_m, places_m = offsets_m[used], places_m[used]
    design = design_matrix(places_m - offsets_m - middle_m, np.nan_to_num(heights_m[used]) * with_lean)
    allowed = SHIFT + (SIMILARITY if len(offsets_m) >= MIN_BUILDINGS else []) + (LEAN if with_lean else [])
    if start is not None:
        return _finish(offsets_m, design, start.coefficients, allowed, (reach_m, resolution_m), middle_m)
    families = [SHIFT, SHIFT + SIMILARITY, SHIFT + LEAN, SHIFT + SIMILARITY + LEAN]
    doublings = int(np.log2(max(reach_m / 4 / resolution_m, 1)))
    tolerances_m = resolution_m * 2.0 ** np.arange(doublings + 1)
    least = np.log(MAX_FALSE_ALARMS / len(families) / len(tolerances_m)) if len(offsets_m) > TOO_FEW else np.inf
    best: tuple[float, float, np.ndarray] | None = None
    for family in (family for family in families if set(family) <= set(allowed)):
        for tolerance_m, coefficients in _hypotheses(offsets_m, design, family, tolerances_m):
            near = _distance_m(offsets_m, design, coefficients) <= tolerance_m
            rarity = log_false_alarms(near.sum(), len(near), len(family) // 2, tolerance_m / reach_m)
            if near.mean() >= MIN_CONSENSUS and rarity < (least if best is None else best[0]):
                best = rarity, tolerance_m, coefficients
    if best is None:
        return None
    return _finish(offsets_m, design, best[2], allowed, (best[1], resolution_m), middle_m)


def _distance_m(offsets_m: np.ndarray, design: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return np.linalg.norm(offsets_m - design @ coefficients, axis=1)


def _hypotheses(
    offsets_m: np.ndarray, design: np.ndarray, family: list[int], tolerances_m: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    """For each tolerance the coefficients that most labels follow, of those through a few labels; then refined."""
    random = np.random.default_rng(0)
    size = len(family) // 2
    if len(offsets_m) < size:
        return
    drawn = random.integers(len(offsets_m), size=(TRIALS, size))
    drawn[0] = np.arange(size)
    solved = np.zeros((TRIALS, 6))
    matrices = design[drawn][..., family].reshape(TRIALS, 2 * size, 2 * size)
    solved[:, family] = (np.linalg.pinv(matrices) @ offsets_m[drawn].reshape(TRIALS, -1, 1))[..., 0]
    solved = solved[(np.abs(solved) <= LIMITS).all(axis=1)]
    scored = random.permutation(len(offsets_m))[:MAX_SCORED]
    distances_m = np.linalg.norm(offsets_m[scored, :, None] - design[scored] @ solved.T, axis=1)
    for tolerance_m in tolerances_m.tolist():
        start = solved[np.argmax((distances_m <= tolerance_m).sum(axis=0))]
        yield tolerance_m, _refine(offsets_m, design, start, family, tolerance_m)


def _refine(
    offsets_m: np.ndarray, design: np.ndarray, start: np.ndarray, family: list[int], tolerance_m: float
) -> np.ndarray:
    """Least squares through the labels near to it, again and again; the start if that loses labels."""
    coefficients = start
    for _ in range(10):
        near = _distance_m(offsets_m, design, coefficients) <= tolerance_m
        tried = np.zeros(6)
        tried[family] = np.linalg.lstsq(
            design[near][..., family].reshape(-1, len(family)), offsets_m[near].ravel(), rcond=None
        )[0]
        if (np.abs(tried) > LIMITS).any() or (_distance_m(offsets_m, design, tried) <= tolerance_m).sum() < near.sum():
            break
        coefficients = tried
    return coefficients


def log_false_alarms(followers: int, total: int, sample: int, chance: float) -> float:
    """Logarithm of how many agreements of so many labels are expected among labels that agree by chance alone."""
    choices = np.log(special.binom(followers, sample)) + special.gammaln(total + 1)
    choices -= special.gammaln(followers + 1) + special.gammaln(total - followers + 1)
    return float(choices + (followers - sample) * np.log(min(chance, 1)))


def _finish(
    offsets_m: np.ndarray,
    design: np.ndarray,
    coefficients: np.ndarray,
    allowed: list[int],
    tolerances_m: tuple[float, float],
    middle_m: np.ndarray,
) -> Trend:
    """All coefficients and their intervals; followers within three standard deviations of the followers' scatter."""
    tolerance_m, resolution_m = tolerances_m
    widest_m = 2 * tolerance_m
    for _ in range(10):
        coefficients = _refine(offsets_m, design, coefficients, allowed, tolerance_m)
        distance_m = _distance_m(offsets_m, design, coefficients)
        deviation_m = np.median(distance_m[distance_m <= tolerance_m]) / np.sqrt(2 * np.log(2))  # of Rayleigh's
        tolerance_m = float(np.clip(3 * deviation_m, resolution_m, widest_m))
    near = distance_m <= tolerance_m
    half_widths = np.zeros(6)
    half_widths[allowed] = np.inf
    freedom = 2 * near.sum() - len(allowed)
    if freedom > 0:
        rows = design[near][..., allowed].reshape(-1, len(allowed))
        cut = tolerance_m**2 / (2 * max(deviation_m, 1e-6) ** 2)
        kept = 1 - cut / np.expm1(min(cut, 100.0))  # of the variance, without the rest of Rayleigh's distribution
        variance = (distance_m[near] ** 2).sum() / freedom / kept
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        half_widths[allowed] = quantile * np.sqrt(np.diag(np.linalg.pinv(rows.T @ rows)) * variance)
    rms_m = float(np.sqrt(np.mean(distance_m[near] ** 2)))
    counts = int(near.sum()), len(near)
    return Trend(middle_m, coefficients, half_widths, tuple(allowed), *counts, rms_m, tolerance_m)
