"""Finds where the roofs of one view lie off their labels: a registration shift, and a direction in which they lean.

An off-nadir view from afar has one shift for all labels, and moves each roof along one direction by as much as it is
high. Neither is known, and no building alone tells them. For every line (direction, shift) the evidence of all
buildings is summed: of each, how much likelier its scores along the line are if its roof is somewhere on it, low
buildings being the commonest. The sums of several blocks of a raster can be added.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .edges import EdgeMaps
from .outlines import Outlines
from .scores import log_ratio, square_scores

AZIMUTHS = 72  # tried, over the whole turn
STEP_M = 0.6
USUAL_LEAN_M = 6.0  # mean of the exponential distribution of leans: 3 floors at 30 degrees
NOT_THERE = 0.3  # chance that nothing of a building is seen on the line
MOST_EVIDENCE = 8.0  # logarithm that one building adds at most
MAX_BUILDINGS = 400  # of a block; more tell no more
MIN_POINTS = 20  # of an outline that is used here
SIGN_MARGIN = 2.5  # times the root of the number of buildings: by which a direction must beat its opposite


@dataclass(frozen=True)
class LineGrid:
    """The lines that are tried.

    Attributes:
        max_shift_m: Longest registration shift.
        max_lean_m: Longest lean of a roof.
        azimuths_deg: Directions of the lean, clockwise from north.
    """

    max_shift_m: float
    max_lean_m: float
    azimuths_deg: tuple[float, ...] = tuple((np.arange(AZIMUTHS) * 360 / AZIMUTHS).tolist())

    @cached_property
    def shifts_m(self) -> np.ndarray:
        """(S,) Parts of a shift, across and along."""
        steps = int(np.ceil(self.max_shift_m / STEP_M))
        return np.arange(-steps, steps + 1) * STEP_M

    @cached_property
    def places_m(self) -> np.ndarray:
        """(T,) Along a line, from the first of `shifts_m`."""
        return self.shifts_m[0] + np.arange(len(self.shifts_m) + int(np.ceil(self.max_lean_m / STEP_M))) * STEP_M

    @cached_property
    def radius_m(self) -> float:
        """How far from its label a roof can be."""
        return float(np.hypot(self.places_m[-1], self.shifts_m[-1]))

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, 2) Unit vectors east and north along each direction, and across, to its right."""
        angles = np.radians(self.azimuths_deg)
        along = np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return along, np.stack([along[:, 1], -along[:, 0]], axis=1)


@dataclass(frozen=True)
class Line:
    """Where roofs lie off their labels: at `shift_m` + lean · `direction`.

    Attributes:
        shift_m: (2,) East and north, from a label to where a roof of no height is seen; its part along the direction
            and the zero of the leans are one unknown.
        azimuth_deg: Direction of the lean, clockwise from north.
        margin: By how much the evidence beats that of the opposite direction, by the root of the number of buildings;
            infinite if it was not tried.
        evidence: Mean logarithm per building.
        buildings: That the evidence is of.
    """

    shift_m: np.ndarray
    azimuth_deg: float
    margin: float
    evidence: float
    buildings: int

    @property
    def direction(self) -> np.ndarray:
        """(2,) East and north, of length 1."""
        angle = np.radians(self.azimuth_deg)
        return np.array([np.sin(angle), np.cos(angle)])

    @property
    def across(self) -> np.ndarray:
        """(2,) East and north, to the right of the direction."""
        return np.array([self.direction[1], -self.direction[0]])

    @property
    def is_directed(self) -> bool:
        """Whether the lean surely points this way, not the other."""
        return self.margin >= SIGN_MARGIN


def line_evidence(edges: EdgeMaps, outlines: Outlines, gsd_m: float, grid: LineGrid) -> tuple[np.ndarray, int]:
    """Evidence for each line.

    Args:
        edges: Of the image, of square pixels, north up.
        outlines: Of the labels, in its pixels.
        gsd_m: Metres per pixel.
        grid: The lines.

    Returns:
        (A, S, S) Sum of logarithms, for each direction, shift across and shift along; and of how many buildings.
    """
    radius_px = int(np.ceil(grid.radius_m / gsd_m)) + 1
    padded = np.pad(edges.maps, ((0, 0), (radius_px, radius_px), (radius_px, radius_px)))
    inside = np.pad(edges.valid.astype(np.float32), radius_px)
    looked_up = _places_in_square(grid, gsd_m, radius_px)
    counts = np.diff(outlines.first)
    numbers = np.flatnonzero(counts >= MIN_POINTS)
    numbers = np.sort(np.random.default_rng(0).permutation(numbers)[:MAX_BUILDINGS])
    shifts = len(grid.shifts_m)
    total, buildings = np.zeros((len(grid.azimuths_deg), shifts, shifts)), 0
    decay = np.float32(np.exp(-STEP_M / USUAL_LEAN_M))
    for number in numbers.tolist():
        z = square_scores(padded, inside, outlines, number, radius_px)
        if z is None:
            continue
        ratios = np.exp(log_ratio(z, int(counts[number]))).ravel()[looked_up]  # (T, A, S)
        mean = np.zeros(ratios.shape[1:], np.float32)
        for place in range(len(ratios) - 1, -1, -1):  # the mean over leans that are exponentially distributed
            mean = mean * decay + ratios[place] * (1 - decay)
            if place < shifts:
                total[:, :, place] += np.minimum(np.log(NOT_THERE + (1 - NOT_THERE) * mean), MOST_EVIDENCE)
        buildings += 1
    return total, buildings


def _places_in_square(grid: LineGrid, gsd_m: float, radius_px: int) -> np.ndarray:
    """(T, A, S) Where in a square of scores each place of each line is."""
    along, across = grid.axes()
    moves_m = grid.places_m[:, None, None, None] * along[:, None] + grid.shifts_m[:, None] * across[:, None]
    columns, rows = np.moveaxis(np.rint(moves_m * (1, -1) / gsd_m).astype(int) + radius_px, -1, 0)
    return rows * (2 * radius_px + 1) + columns


def best_line(evidence: np.ndarray, buildings: int, grid: LineGrid) -> Line:
    """The line that the evidence (A, S, S) of so many buildings is most for."""
    across_m, along_m = np.meshgrid(grid.shifts_m, grid.shifts_m, indexing='ij')
    evidence = np.where(np.hypot(across_m, along_m) <= grid.max_shift_m, evidence, -np.inf)
    number, across, along = np.unravel_index(np.argmax(evidence), evidence.shape)
    azimuths_deg = np.array(grid.azimuths_deg)
    highest = evidence.max(axis=(1, 2))
    opposite = np.abs((azimuths_deg - azimuths_deg[number]) % 360 - 180) <= 2 * 360 / AZIMUTHS
    margin = (highest[number] - highest[opposite].max()) / np.sqrt(max(buildings, 1)) if opposite.any() else np.inf
    directions, normals = grid.axes()
    shift_m = grid.shifts_m[along] * directions[number] + grid.shifts_m[across] * normals[number]
    return Line(
        shift_m, float(azimuths_deg[number]), float(margin), float(highest[number]) / max(buildings, 1), buildings
    )
