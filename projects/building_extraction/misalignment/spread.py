"""Tells whether displacements of labels without heights spread along a line, as a lean makes them."""

from dataclasses import dataclass

import numpy as np

from .fit import MAX_FALSE_ALARMS, MIN_CONSENSUS, TRIALS, log_false_alarms
from .lean import MIN_BUILDINGS


@dataclass(frozen=True)
class Spread:
    """A line that displacements lie along, as those of buildings of different heights do in an off-nadir image.

    Attributes:
        anchor_m: (2,) A place on it, metres east and north.
        direction: (2,) Of length 1.
        followers: Labels within the tolerance of the line.
        considered: Matched labels.
        tolerance_m: Distance up to which a label follows.
    """

    anchor_m: np.ndarray
    direction: np.ndarray
    followers: int
    considered: int
    tolerance_m: float

    @property
    def azimuth_deg(self) -> float:
        """Direction of the line, clockwise from north, 0 to 180: which end is the ground is not known."""
        return float(np.degrees(np.arctan2(*self.direction)) % 180)

    def nearest_m(self, offsets_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where on the line (N, 2) offsets are nearest to, and which (N,) are within the tolerance."""
        nearest_m = self.anchor_m + ((offsets_m - self.anchor_m) @ self.direction)[:, None] * self.direction
        return nearest_m, np.linalg.norm(offsets_m - nearest_m, axis=1) <= self.tolerance_m


def find_spread(offsets_m: np.ndarray, center_m: np.ndarray | None, tolerance_m: float) -> Spread | None:
    """Find the line that displacements spread along, if chance does not explain it.

    Args:
        offsets_m: (N, 2) East and north, of matched labels.
        center_m: (2,) What many labels agree on: the line leads through it, and others tell where; None: there is no
            such agreement.
        tolerance_m: Half the width of the line.

    Returns:
        The line; None if there is none.
    """
    away = np.ones(len(offsets_m), dtype=bool)
    if center_m is not None:
        away = np.linalg.norm(offsets_m - center_m, axis=1) > 3 * tolerance_m
    tellers_m = offsets_m[away]
    if len(tellers_m) < MIN_BUILDINGS:
        return None
    random = np.random.default_rng(0)
    ends = tellers_m[random.integers(len(tellers_m), size=TRIALS)]
    starts = (
        tellers_m[random.integers(len(tellers_m), size=TRIALS)] if center_m is None else np.tile(center_m, (TRIALS, 1))
    )
    long_enough = np.linalg.norm(ends - starts, axis=1) > 3 * tolerance_m
    best: tuple[float, Spread] | None = None
    for start_m, end_m in zip(starts[long_enough], ends[long_enough], strict=True):
        line = Spread(start_m, (end_m - start_m) / np.linalg.norm(end_m - start_m), 0, len(offsets_m), tolerance_m)
        near = int(line.nearest_m(tellers_m)[1].sum())
        distances_m = np.linalg.norm(tellers_m - start_m, axis=1)
        chance = np.mean(np.arcsin(np.minimum(tolerance_m / np.maximum(distances_m, 1e-9), 1))) * 2 / np.pi
        rarity = log_false_alarms(near, len(tellers_m), 1 if center_m is not None else 2, float(chance))
        if near >= MIN_CONSENSUS * len(tellers_m) and rarity < (np.log(MAX_FALSE_ALARMS) if best is None else best[0]):
            best = rarity, line
    if best is None:
        return None
    line = best[1]
    return Spread(line.anchor_m, line.direction, int(line.nearest_m(offsets_m)[1].sum()), len(offsets_m), tolerance_m)
