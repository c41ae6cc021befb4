"""Finds, for each label, the shift that lays it best on a reference.

References (polygons here, masks in `mask`) answer in local metres, x east and y north.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import shapely
from scipy import fft

from projects.geodata.polygonal import translate
from projects.geodata.raster_files import rasterize

CANDIDATES = 8  # reference polygons of the most similar size that are compared with a label
MIN_AREA_RATIO = 0.5
PRIOR_WEIGHT = 0.3  # agreement that a shift may lack if it is nearer to what is expected by the whole radius
MUCH_BETTER = 1.5  # times the agreement of the best shift within the radius
ALMOST_AS_GOOD = 0.8  # times that agreement: buildings that repeat do not tell which is right
DETAIL_M = 60.0  # what is wider than that does not tell a shift
COARSE_CELLS = 2048  # side of the grid on which the shift common to all is searched


class Reference(Protocol):
    """What labels are compared with."""

    def match(self, labels: np.ndarray, prior_m: np.ndarray, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Best shift of each label.

        Args:
            labels: (N,) Polygons.
            prior_m: (N, 2) Shift that is expected of each.
            radius_m: How far from it is searched.

        Returns:
            (N, 2) Displacement of each label against the reference, NaN if nothing was found; and (N,) how well they
            agree once it is undone, 0 to 1.
        """

    def coarse_mask(self, bounds: tuple[float, float, float, float], size: int) -> np.ndarray:
        """Mask (size, size) float32 of a square area, decimated; row 0 is north."""


class CommonShift(NamedTuple):
    """What `common_shift_m` finds.

    Attributes:
        shift_m: (2,) Metres east and north.
        farther_m: One beyond the radius, if it agrees much better.
        rival_m: Another within the radius, if it agrees almost as well.
    """

    shift_m: np.ndarray
    farther_m: np.ndarray | None
    rival_m: np.ndarray | None


def common_shift_m(labels: np.ndarray, reference: Reference, max_shift_m: float, gsd_m: float) -> CommonShift:
    """The one shift of all labels that agrees best with the reference, by cross-correlation of masks (FFT).

    On a square of at most `COARSE_CELLS` cells around the labels' middle, with both masks less their mean around, so
    that it finds shifts greater than a building and is not drawn to where most is built. Precise to about a cell: a
    start for the search per building.

    Args:
        labels: (N,) Polygons in local metres.
        reference: What they are compared with.
        max_shift_m: Longest shift that is considered.
        gsd_m: Smallest cell.

    Returns:
        The shift, and others that speak against it.
    """
    cell_m = max(gsd_m, max_shift_m / 64)
    west, south, east, north = shapely.total_bounds(labels)
    cells = int(np.clip(np.ceil((max(east - west, north - south) + 2 * max_shift_m) / cell_m), 8, COARSE_CELLS))
    middle = np.median(shapely.get_coordinates(shapely.centroid(labels)), axis=0)
    if cells < COARSE_CELLS:
        middle = np.array([(west + east) / 2, (south + north) / 2])
    half = cells * cell_m / 2
    bounds = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    moved = VectorReference(labels).coarse_mask(bounds, cells)
    still = reference.coarse_mask(bounds, cells)
    size = 2 * cells
    around = (2 * int(DETAIL_M / cell_m / 2) + 1,) * 2
    spectra = [fft.rfft2(mask - cv2.blur(mask, around), (size, size), workers=1) for mask in (moved, still)]
    correlation = fft.irfft2(spectra[0] * spectra[1].conj(), (size, size), workers=1)
    rows, columns = (np.fft.fftfreq(size, 1 / size)[index] for index in np.ogrid[:size, :size])
    shifts_m = np.hypot(rows, columns) * cell_m

    def peak(inside: np.ndarray) -> tuple[float, np.ndarray]:
        row, column = np.unravel_index(np.argmax(np.where(inside, correlation, -np.inf)), correlation.shape)
        return float(correlation[row, column]), np.array([columns[0, column], -rows[row, 0]]) * cell_m

    height, shift_m = peak(shifts_m <= max_shift_m)
    farther, farther_m = peak(shifts_m > max_shift_m)
    width_m = max(float(np.sqrt(np.median(shapely.area(labels)))), 3 * cell_m)
    away_m = np.hypot(columns * cell_m - shift_m[0], -rows * cell_m - shift_m[1])
    rival, rival_m = peak((shifts_m <= max_shift_m) & (away_m > width_m))
    return CommonShift(
        shift_m,
        farther_m if farther > MUCH_BETTER * height else None,
        rival_m if rival > ALMOST_AS_GOOD * height else None,
    )


@dataclass
class VectorReference:
    """Reference polygons.

    Each label is laid on reference polygons of similar size, centroid on centroid, and then moved in ever smaller steps
    while the intersection over union of the two grows. So it works for any displacement within the radius, whatever
    the size of the building. It wants outlines of the same buildings: blocks merged in one file and not in the other
    stay unmatched. Of several labels that are most like one reference polygon, it is matched with the best.

    Args:
        polygons: (M,) In local metres.
    """

    polygons: np.ndarray

    def __post_init__(self) -> None:
        self.centers = shapely.get_coordinates(shapely.centroid(self.polygons))
        self.areas = shapely.area(self.polygons)
        self.tree = shapely.STRtree(shapely.points(self.centers))

    def match(self, labels: np.ndarray, prior_m: np.ndarray, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Reference`; the agreement is the intersection over union."""
        centers = shapely.get_coordinates(shapely.centroid(labels))
        expected = shapely.points(centers - prior_m)
        owner, other = self.tree.query(expected, predicate='dwithin', distance=radius_m)
        ratio = shapely.area(labels)[owner] / self.areas[other]
        ratio = np.minimum(ratio, 1 / ratio)
        sides = [np.ptp(shapely.bounds(shapes).reshape(-1, 2, 2), axis=1) for shapes in (labels, self.polygons)]
        likeness = np.minimum(sides[0][owner], sides[1][other]) / np.maximum(sides[0][owner], sides[1][other])
        shift = centers[owner] - self.centers[other]
        distance = np.linalg.norm(shift - prior_m[owner], axis=1)
        rating = ratio * likeness.prod(axis=1) - PRIOR_WEIGHT * distance / radius_m
        order = np.lexsort((-rating, owner))
        order = order[ratio[order] >= MIN_AREA_RATIO]
        first = np.searchsorted(owner[order], owner[order])
        order = order[np.arange(len(order)) - first < CANDIDATES]
        owner, other, shift, distance = owner[order], other[order], shift[order], distance[order]
        agreement = self._iou(labels[owner], other, shift)
        best = np.lexsort((-(agreement - PRIOR_WEIGHT * distance / radius_m), owner))
        best = best[np.unique(owner[best], return_index=True)[1]]
        best = best[_first_claims(other[best], agreement[best] - PRIOR_WEIGHT * distance[best] / radius_m)]
        offsets_m, agreements = np.full((len(labels), 2), np.nan), np.zeros(len(labels))
        owner, other = owner[best], other[best]
        offsets_m[owner], agreements[owner] = self._refine(labels[owner], other, shift[best], agreement[best])
        return offsets_m, agreements

    def _iou(self, labels: np.ndarray, other: np.ndarray, shift: np.ndarray) -> np.ndarray:
        common = shapely.area(shapely.intersection(translate(labels, -shift), self.polygons[other]))
        return common / (shapely.area(labels) + self.areas[other] - common)

    def _refine(
        self, labels: np.ndarray, other: np.ndarray, shift: np.ndarray, agreement: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        step_m = 0.05 * np.sqrt(self.areas[other])
        shift, agreement = shift.copy(), agreement.copy()
        for _ in range(12):
            active = np.flatnonzero(agreement < 0.999)
            improved = np.zeros(len(labels), dtype=bool)
            for direction in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                tried = shift[active] + step_m[active, None] * np.array(direction)
                iou = self._iou(labels[active], other[active], tried)
                better = iou > agreement[active]
                shift[active[better]], agreement[active[better]] = tried[better], iou[better]
                improved[active[better]] = True
            step_m[~improved] /= 2
        return shift, agreement

    def coarse_mask(self, bounds: tuple[float, float, float, float], size: int) -> np.ndarray:
        """See `Reference`."""
        west, _, east, north = bounds
        cell = (east - west) / size
        ones = np.ones(len(self.polygons), dtype=int)
        return rasterize(self.polygons, ones, (size, size), (cell, 0, west, 0, -cell, north), np.uint8).astype(
            np.float32
        )


def _first_claims(claimed: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Which of those (N,) that claim one reference polygon are rated best; labels that lie on one another all are."""
    highest = np.full(claimed.max(initial=-1) + 1, -np.inf)
    np.maximum.at(highest, claimed, ratings)
    return ratings >= highest[claimed] - 1e-9
