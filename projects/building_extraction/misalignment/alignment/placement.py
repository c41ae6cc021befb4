"""Places each building on the line along which a view moves roofs, and says how sure that is.

What is usual in the view (how far roofs lie along the line, how widely they scatter across it, how many are not there)
and where each building is are found together, by expectation and maximisation: a building that fits two places equally
well goes where roofs are the commoner. The confidence is the share of the probability within `NEAR_M` of the place.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage

from .edges import EdgeMaps
from .evidence import evidence_of_places
from .hiding import Cover
from .line_search import Line
from .outlines import Outlines
from .scores import MovedOutline

STEP_M = 0.3  # between the places tried, or a pixel
ACROSS_M = 2.5  # searched to either side of the line
BEFORE_M = 4.0  # searched before its zero
FIRST_M = 1.0  # before it, places are no likelier than any
ROUNDS = 10
USUAL_LEAN_M = 10.0
STRAYS = 0.03  # share of roofs that may lie anywhere across the line
UNUSUAL = 0.1  # share of roofs that lean as no others of the view do
SMOOTHING_M = 0.7
NEAR_M = 1.5
PEAK_M = 1.0
SURE = 0.5  # confidence of a building that says anything of others
WRONG_HEIGHTS = 0.1  # share of stated heights that may be wrong
MAX_TURN_DEG, TURN_STEP_DEG = 12, 1.0  # by which the direction may be corrected
MIN_FITTED = 5  # buildings that a line is laid through
MIN_LEVER_M = 1.0  # deviation of the leans from which its direction follows
ASIDE_STEPS = 4  # of the grid, by which the line may be moved
NOT_ON_LINE = 0.1  # chance that a building does not fit anywhere on the line


@dataclass(frozen=True)
class Placement:
    """Where the buildings of a view are.

    Attributes:
        along_m: (N,) Lean, from the line's zero.
        across_m: (N,) To the right of the line.
        deviation_m: (N,) Standard deviation of `along_m` around its place.
        confidence: (N,) Probability that the roof is within `NEAR_M` of it, 0 to 1.
        presence: (N,) Probability that the building is there at all.
        inside: (N,) Which are in the image, and can be looked for.
        scatter_m: Standard deviation across the line, of all.
        strength: (N,) Mean strength of the edges along the outline there.
        usual: (T,) How likely each lean of the grid is in this view.
    """

    along_m: np.ndarray
    across_m: np.ndarray
    deviation_m: np.ndarray
    confidence: np.ndarray
    presence: np.ndarray
    inside: np.ndarray
    scatter_m: float
    strength: np.ndarray
    usual: np.ndarray

    @property
    def spread_m(self) -> float:
        """Between the tenth and the ninetieth percentile of the leans that are sure; 0 if none is."""
        sure_m = self.along_m[self.confidence >= SURE]
        return float(np.subtract(*np.quantile(sure_m, (0.9, 0.1)))) if len(sure_m) else 0.0

    def moves_m(self, line: Line) -> np.ndarray:
        """(N, 2) Metres east and north from labels to roofs."""
        return line.shift_m + self.along_m[:, None] * line.direction + self.across_m[:, None] * line.across


@dataclass(frozen=True)
class Fits:
    """How many times as likely the image is with a roof at `along_m` (T,) as without: `ratios` (N, T)."""

    along_m: np.ndarray
    ratios: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Places around a line: `across_m` (C,) by `along_m` (T,)."""

    across_m: np.ndarray
    along_m: np.ndarray

    @classmethod
    def of(cls, gsd_m: float, max_lean_m: float) -> 'Grid':
        """Every pixel, or `STEP_M`."""
        step_m = max(gsd_m, STEP_M)
        sides = int(np.ceil(ACROSS_M / step_m))
        first, last = -int(np.ceil(BEFORE_M / step_m)), int(np.ceil(max(max_lean_m, BEFORE_M) / step_m))
        return cls(np.arange(-sides, sides + 1) * step_m, np.arange(first, last + 1) * step_m)

    @property
    def step_m(self) -> float:
        """Between two places."""
        return float(self.along_m[1] - self.along_m[0])

    def moves_px(self, line: Line, gsd_m: float) -> np.ndarray:
        """(C · T, 2) Right and down from a label."""
        moves_m = line.shift_m + self.across_m[:, None, None] * line.across + self.along_m[:, None] * line.direction
        return moves_m.reshape(-1, 2) * (1, -1) / gsd_m


def place(
    edges: EdgeMaps,
    outlines: Outlines,
    line: Line,
    gsd_m: float,
    max_lean_m: float,
    expected_m: np.ndarray | None = None,
    expected_deviation_m: float = 1.0,
    *,
    rounds: int = 3,
    turn: bool = True,
    cover: Cover | None = None,
) -> tuple[Line, Placement, Fits]:
    """Place all buildings of a block.

    Args:
        edges: Of the image.
        outlines: Of the labels, in its pixels.
        line: As `best_line` found it.
        gsd_m: Metres per pixel.
        max_lean_m: Longest lean.
        expected_m: (N,) Lean that a stated height means, NaN where none is; None: no height is stated.
        expected_deviation_m: Of the leans from these.
        rounds: After each but the last the line is corrected by the buildings that are placed surely.
        turn: Correct its direction, too.
        cover: Of buildings that were placed before; after each round it is made anew.

    Returns:
        The line, corrected, the places, and how well each building fits along it.
    """
    grid = Grid.of(gsd_m, max_lean_m)
    for number in range(rounds):
        leans_m = np.tile(grid.along_m.astype(np.float32), len(grid.across_m))
        ratios, inside = evidence_of_places(edges, outlines, grid.moves_px(line, gsd_m), leans_m, cover)
        ratios = ratios.reshape(len(ratios), len(grid.across_m), len(grid.along_m))
        placement = _find(ratios, inside, grid, expected_m, expected_deviation_m)
        moves_m = placement.moves_m(line)
        if number == 0 < rounds - 1:
            line = _corrected(line, ratios, placement, grid, turn)
        elif number < rounds - 1:
            line = _through_places(line, placement, turn)
        if number < rounds - 1:
            cover = cover_of(outlines, line, moves_m, placement, gsd_m, edges.size_px)
    moves_px = moves_m * (1, -1) / gsd_m
    strengths = [
        MovedOutline.of(edges, outlines, n, moves_px[n : n + 1]).mean_strength()[0][0] for n in range(len(moves_px))
    ]
    placement = replace(placement, strength=np.array(strengths, float))
    across_m = grid.across_m
    of_across = np.exp(-(across_m**2) / (2 * placement.scatter_m**2))
    along = np.einsum('nct,c->nt', ratios, (of_across / of_across.sum()).astype(np.float32))
    return line, placement, Fits(grid.along_m, along)


def cover_of(
    outlines: Outlines, line: Line, moves_m: np.ndarray, placement: Placement, gsd_m: float, size_px: tuple[int, int]
) -> Cover | None:
    """The buildings that are placed surely, as they hide others; None if it is not known which way is up.

    Args:
        outlines: Of the labels, in pixels of the image.
        line: Of the view.
        moves_m: (N, 2) Metres east and north from labels to roofs.
        placement: Says how surely.
        gsd_m: Metres per pixel.
        size_px: Width and height of the image.
    """
    if not line.is_directed:
        return None
    sure = np.flatnonzero(placement.confidence * placement.presence >= SURE)
    return Cover.of(outlines.polygons[sure], sure, line, moves_m[sure], gsd_m, size_px)


def _find(
    ratios: np.ndarray, inside: np.ndarray, grid: Grid, expected_m: np.ndarray | None, expected_deviation_m: float
) -> Placement:
    across_m, along_m, step_m = grid.across_m, grid.along_m, grid.step_m
    tail = np.exp(-np.maximum(along_m, 0) / USUAL_LEAN_M) * (along_m >= -FIRST_M)
    if along_m[-1] <= BEFORE_M + step_m:  # seen from above: no lean, and none of its senses is the likelier
        tail = np.ones_like(along_m)
    tail /= tail.sum()
    usual, scatter_m, absent = tail, 1.0, 0.1
    for _ in range(ROUNDS):
        of_across = np.exp(-(across_m**2) / (2 * scatter_m**2))
        of_across = (1 - STRAYS) * of_across / of_across.sum() + STRAYS / len(across_m)
        of_along = _prior(usual, grid, expected_m, expected_deviation_m)  # (N, T) or (1, T)
        joint = ratios * (of_across[:, None] * of_along[:, None, :]).astype(np.float32)
        evidence = joint.sum(axis=(1, 2))
        presence = evidence * (1 - absent) / (evidence * (1 - absent) + absent)
        joint *= (presence / np.maximum(evidence, 1e-30))[:, None, None]
        told = joint[inside]
        if not len(told) or told.sum() < 1e-9:
            break
        usual = ndimage.gaussian_filter1d(told.sum(axis=(0, 1), dtype=float), SMOOTHING_M / step_m, mode='constant')
        usual = (1 - UNUSUAL) * usual / usual.sum() + UNUSUAL * tail
        widths = told.sum(axis=(0, 2), dtype=float)
        scatter_m = max(float(np.sqrt((widths * across_m**2).sum() / widths.sum())), 0.5 * step_m)
        absent = float(np.clip(1 - presence[inside].mean(), 0.02, 0.9))
    return _summarized(joint, ratios, np.where(inside, presence, 0), inside, grid, scatter_m, usual)


def _prior(usual: np.ndarray, grid: Grid, expected_m: np.ndarray | None, deviation_m: float) -> np.ndarray:
    """(N, T) or (1, T) How likely each lean is before the image is seen."""
    if expected_m is None:
        return usual[None]
    near = np.exp(-((grid.along_m - np.nan_to_num(expected_m)[:, None]) ** 2) / (2 * deviation_m**2))
    near /= np.maximum(near.sum(axis=1, keepdims=True), 1e-12)
    told = np.isfinite(expected_m)[:, None] & (near.sum(axis=1, keepdims=True) > 0.5)
    return np.where(told, (1 - WRONG_HEIGHTS) * near + WRONG_HEIGHTS * usual, usual)


def _summarized(
    probability: np.ndarray,
    ratios: np.ndarray,
    presence: np.ndarray,
    inside: np.ndarray,
    grid: Grid,
    scatter_m: float,
    usual: np.ndarray,
) -> Placement:
    """The place with the most probability within `PEAK_M`, and its mean around there.

    There the `ratios` count twice: places side by side share most of their chance, so that where a score is higher than
    beside it says more than how high it is.
    """
    side = 2 * round(PEAK_M / grid.step_m) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
    count, columns = len(probability), len(grid.along_m)
    around = [cv2.filter2D(one, -1, disc, borderType=cv2.BORDER_CONSTANT) for one in probability]
    best = np.reshape(around, (count, -1)).argmax(axis=1) if count else np.zeros(0, int)
    across_m, along_m = grid.across_m[best // columns], grid.along_m[best % columns]
    squared = (grid.across_m[:, None] - across_m[:, None, None]) ** 2
    near = squared + (grid.along_m - along_m[:, None, None]) ** 2 <= NEAR_M**2
    weights = np.where(near, probability, 0)
    confidence = weights.sum(axis=(1, 2))
    weights *= ratios
    weights /= np.maximum(weights.sum(axis=(1, 2)), 1e-12)[:, None, None]
    mean_across_m, mean_along_m = weights.sum(axis=2) @ grid.across_m, weights.sum(axis=1) @ grid.along_m
    variance = weights.sum(axis=1) @ grid.along_m**2 - mean_along_m**2
    seen = confidence > 1e-9
    return Placement(
        np.where(seen, mean_along_m, 0),
        np.where(seen, mean_across_m, 0),
        np.sqrt(np.maximum(variance, 0) + grid.step_m**2 / 12),
        np.where(inside, np.minimum(confidence, 1), 0),
        presence,
        inside,
        scatter_m,
        np.zeros(count),
        usual,
    )


def _corrected(line: Line, ratios: np.ndarray, placement: Placement, grid: Grid, turn: bool) -> Line:
    """The line near to this one that the surer half of the buildings is most for, if leans are as usual as before.

    Args:
        line: That they were placed on.
        ratios: (N, C, T) As `_ratios` gives them.
        placement: Of the buildings.
        grid: Around the line.
        turn: Its direction may be wrong, too.
    """
    if not placement.inside.any():
        return line
    least = np.median(placement.confidence[placement.inside])
    step_m, told = grid.step_m, ratios[placement.inside & (placement.confidence >= least)]
    wide = ndimage.gaussian_filter1d(told, placement.scatter_m / step_m, axis=1, mode='nearest')
    usual = placement.usual.astype(np.float32)
    turns_deg = np.arange(-MAX_TURN_DEG, MAX_TURN_DEG + 1) * TURN_STEP_DEG if turn else np.zeros(1)
    asides = np.arange(-ASIDE_STEPS, ASIDE_STEPS + 1)
    sums = np.empty((len(turns_deg), len(asides)))
    columns = np.arange(len(grid.along_m))
    for number, turn_deg in enumerate(turns_deg):
        tilt = np.tan(np.radians(turn_deg)) * grid.along_m / step_m + len(grid.across_m) // 2
        for other, aside in enumerate(asides):
            rows = np.rint(tilt + aside).astype(int)
            inside = (rows >= 0) & (rows < len(grid.across_m))
            along = np.where(inside, wide[:, np.clip(rows, 0, len(grid.across_m) - 1), columns], 1)
            sums[number, other] = np.log(NOT_ON_LINE + (1 - NOT_ON_LINE) * (along @ usual)).sum()
    weights = np.exp(sums - sums.max())  # the mean of all lines, each by its evidence
    turn_deg = float((weights.sum(axis=1) * turns_deg).sum() / weights.sum())
    aside_m = float((weights.sum(axis=0) * asides).sum() / weights.sum()) * step_m
    shift_m = line.shift_m + aside_m * line.across
    return replace(line, shift_m=shift_m, azimuth_deg=(line.azimuth_deg + turn_deg) % 360)


def _through_places(line: Line, placement: Placement, turn: bool) -> Line:
    """The line through the places of the surer half, by least squares."""
    if placement.inside.sum() < MIN_FITTED:
        return line
    least = np.median(placement.confidence[placement.inside])
    weights = placement.confidence * (placement.confidence >= max(least, 1e-6))
    middle, aside = (np.average(of, weights=weights) for of in (placement.along_m, placement.across_m))
    lever = np.average((placement.along_m - middle) ** 2, weights=weights)
    slope = 0.0
    if turn and lever >= MIN_LEVER_M**2:
        slope = np.average((placement.along_m - middle) * (placement.across_m - aside), weights=weights) / lever
    shift_m = line.shift_m + (aside - slope * middle) * line.across
    return replace(line, shift_m=shift_m, azimuth_deg=float((line.azimuth_deg + np.degrees(np.arctan(slope))) % 360))
