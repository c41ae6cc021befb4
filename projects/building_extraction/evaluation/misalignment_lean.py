"""How displacement grows with height: a robust straight line, and the view that it implies."""

from dataclasses import dataclass

import numpy as np

MIN_BUILDINGS = 8
MIN_HEIGHT_SPREAD_M = 3.0
TRIALS = 500


@dataclass(frozen=True)
class Lean:
    """offset = shift + slope · height, for labels that lean as roofs do in an off-nadir image (see `View`).

    Attributes:
        shift_m: Metres east and north at height 0: registration.
        slope: Metres east and north per metre of height.
        inlier_share: Share of the matched buildings of known height that lie within the tolerance of the line.
        rms_m: Root mean square distance of those to it.
    """

    shift_m: tuple[float, float]
    slope: tuple[float, float]
    inlier_share: float
    rms_m: float

    @property
    def off_nadir_deg(self) -> float:
        """atan(|slope|)."""
        return float(np.degrees(np.arctan(np.hypot(*self.slope))))

    @property
    def azimuth_deg(self) -> float:
        """Direction of the lean, clockwise from north, 0 to 360."""
        return float(np.degrees(np.arctan2(*self.slope)) % 360)

    def predict_m(self, heights_m: np.ndarray) -> np.ndarray:
        """Offset expected at heights (N,): (N, 2)."""
        return np.array(self.shift_m) + heights_m[:, None] * np.array(self.slope)


def fit_lean(offsets_m: np.ndarray, heights_m: np.ndarray, tolerance_m: float) -> Lean | None:
    """Fit a line through offsets over heights that half of the buildings may contradict.

    Random sample consensus (Fischler and Bolles, 1981, doi:10.1145/358669.358692): of lines through two buildings the
    one that most buildings lie near to, then least squares through those. Deterministic.

    Args:
        offsets_m: (N, 2) East and north, NaN where unmatched.
        heights_m: (N,) NaN where unknown.
        tolerance_m: Distance up to which a building counts as near.

    Returns:
        The line; None if fewer than `MIN_BUILDINGS` are known, or they are nearly of one height.
    """
    known = np.isfinite(offsets_m).all(axis=1) & np.isfinite(heights_m)
    offsets_m, heights_m = offsets_m[known], heights_m[known]
    if len(heights_m) < MIN_BUILDINGS or np.ptp(np.percentile(heights_m, (5, 95))) < MIN_HEIGHT_SPREAD_M:
        return None
    pairs = np.random.default_rng(0).integers(len(heights_m), size=(TRIALS, 2))
    rise_m = heights_m[pairs[:, 1]] - heights_m[pairs[:, 0]]
    pairs, rise_m = pairs[np.abs(rise_m) >= 1], rise_m[np.abs(rise_m) >= 1]
    if not len(pairs):
        return None
    slopes = (offsets_m[pairs[:, 1]] - offsets_m[pairs[:, 0]]) / rise_m[:, None]
    shifts_m = offsets_m[pairs[:, 0]] - slopes * heights_m[pairs[:, 0], None]
    support = [
        (np.linalg.norm(offsets_m - shift_m - heights_m[:, None] * slope, axis=1) <= tolerance_m).sum()
        for shift_m, slope in zip(shifts_m, slopes, strict=True)
    ]
    best = int(np.argmax(support))
    shift_m, slope = shifts_m[best], slopes[best]
    for _ in range(10):
        distance_m = np.linalg.norm(offsets_m - shift_m - heights_m[:, None] * slope, axis=1)
        near = distance_m <= tolerance_m
        design = np.stack([np.ones(near.sum()), heights_m[near]], axis=1)
        shift_m, slope = np.linalg.lstsq(design, offsets_m[near], rcond=None)[0]
    rms_m = float(np.sqrt(np.mean(distance_m[near] ** 2)))
    return Lean(tuple(shift_m.tolist()), tuple(slope.tolist()), float(near.mean()), rms_m)
