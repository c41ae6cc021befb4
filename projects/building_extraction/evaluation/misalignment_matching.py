"""Finds, for each label, the shift that lays it best on a reference: polygons, or a mask such as a prediction.

Both references answer `match(labels, prior, radius)` in local metres (x east, y north).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import shapely
from scipy import fft

from projects.building_extraction.datasets.label_displacement import translate
from projects.geodata.raster_files import rasterise

CANDIDATES = 8  # reference polygons of the most similar size that are compared with a label
MIN_AREA_RATIO = 0.5
PRIOR_WEIGHT = 0.3  # agreement that a shift may lack if it is nearer to what is expected by the whole radius
MIN_FREE_SHARE = 0.5  # of the ring around a label must be free of other labels for a mask to say where it belongs
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


def common_shift_m(labels: np.ndarray, reference: Reference, max_shift_m: float, gsd_m: float) -> np.ndarray:
    """The one shift of all labels that agrees best with the reference, by cross-correlation of masks (FFT).

    On a square of at most `COARSE_CELLS` cells around the labels' middle, with both masks of zero mean, so that it
    finds shifts greater than a building. Precise to about a cell: a start for the search per building.

    Args:
        labels: (N,) Polygons in local metres.
        reference: What they are compared with.
        max_shift_m: Longest shift that is considered.
        gsd_m: Smallest cell.

    Returns:
        Metres east and north.
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
    spectra = [fft.rfft2(mask - mask.mean(), (size, size), workers=1) for mask in (moved, still)]
    correlation = fft.irfft2(spectra[0] * spectra[1].conj(), (size, size), workers=1)
    reach = min(int(max_shift_m / cell_m), cells - 1)
    window = np.roll(correlation, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    rows, columns = np.indices(window.shape) - reach
    window = np.where(rows**2 + columns**2 <= reach**2, window, -np.inf)
    best = np.unravel_index(np.argmax(window), window.shape)
    return np.array([columns[best], -rows[best]]) * cell_m


@dataclass
class VectorReference:
    """Reference polygons.

    Each label is laid on reference polygons of similar size, centroid on centroid, and then moved in ever smaller steps
    while the intersection over union of the two grows. So it works for any displacement within the radius, whatever
    the size of the building. It wants outlines of the same buildings: blocks merged in one file and not in the other
    stay unmatched.

    Args:
        polygons: (M,) In local metres.
    """

    polygons: np.ndarray

    def __post_init__(self) -> None:
        self.centres = shapely.get_coordinates(shapely.centroid(self.polygons))
        self.areas = shapely.area(self.polygons)
        self.tree = shapely.STRtree(shapely.points(self.centres))

    def match(self, labels: np.ndarray, prior_m: np.ndarray, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Reference`; the agreement is the intersection over union."""
        centres = shapely.get_coordinates(shapely.centroid(labels))
        expected = shapely.points(centres - prior_m)
        owner, other = self.tree.query(expected, predicate='dwithin', distance=radius_m)
        ratio = shapely.area(labels)[owner] / self.areas[other]
        ratio = np.minimum(ratio, 1 / ratio)
        sides = [np.ptp(shapely.bounds(shapes).reshape(-1, 2, 2), axis=1) for shapes in (labels, self.polygons)]
        likeness = np.minimum(sides[0][owner], sides[1][other]) / np.maximum(sides[0][owner], sides[1][other])
        shift = centres[owner] - self.centres[other]
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
        return rasterise(self.polygons, ones, (size, size), (cell, 0, west, 0, -cell, north), np.uint8).astype(
            np.float32
        )


@dataclass
class MaskReference:
    """A mask, such as a prediction.

    Each label is slid over the mask; the best place has most building below the label and most background below the
    ring around it, outside of other labels (correlation with OpenCV's FFT; the peak is refined by a parabola). Along a
    wall shared with a neighbour, or in a block that is building throughout, the mask does not say where a label
    belongs; such labels agree badly and stay unmatched.

    Args:
        raster: Open `Raster` of one band.
        origin: (2,) Local metres of the upper left corner of pixel (0, 0).
        pixel_m: Metres per pixel along x and y.
        threshold: Values above it are building.
    """

    raster: Any
    origin: np.ndarray
    pixel_m: np.ndarray
    threshold: float

    def match(self, labels: np.ndarray, prior_m: np.ndarray, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Reference`; the agreement is (share of building inside + share of background around) / 2."""
        outlines = shapely.transform(labels, lambda xy: (xy - self.origin) / (self.pixel_m * (1, -1)))
        tree = shapely.STRtree(outlines)
        prior_px = prior_m / self.pixel_m * (1, -1)
        radius = int(np.ceil(radius_m / self.pixel_m.min()))
        offsets_m, agreements = np.full((len(labels), 2), np.nan), np.zeros(len(labels))
        for i, outline in enumerate(outlines):
            found = self._match_one(outlines, tree, outline, prior_px[i], radius)
            if found is not None:
                offsets_m[i] = found[0] * self.pixel_m * (1, -1)
                agreements[i] = found[1]
        return offsets_m, agreements

    def _match_one(
        self, outlines: np.ndarray, tree: shapely.STRtree, outline: shapely.Polygon, prior: np.ndarray, radius: int
    ) -> tuple[np.ndarray, float] | None:
        ring_px = int(np.clip(0.2 * np.sqrt(outline.area), 2, 12))
        left, top, right, bottom = (
            int(v) for v in np.floor(outline.bounds) + np.array([-1, -1, 1, 1]) * ring_px + np.array([0, 0, 1, 1])
        )
        size = right - left, bottom - top
        move = (1, 0, left, 0, 1, top)
        own = rasterise(np.array([outline]), np.array([1]), size, move, np.uint8)
        near = outlines[tree.query(shapely.box(left, top, right, bottom))]
        any_label = rasterise(near, np.ones(len(near), dtype=int), size, move, np.uint8)
        around = cv2.dilate(own, np.ones((2 * ring_px + 1,) * 2, np.uint8)) & (1 - own)
        ring = around & (1 - any_label)
        if not own.any() or ring.sum() < MIN_FREE_SHARE * around.sum():
            return None
        kernel = own / np.float32(own.sum()) - ring / np.float32(ring.sum())
        start = np.round(prior).astype(int)
        place = (left - start[0] - radius, top - start[1] - radius, size[0] + 2 * radius, size[1] + 2 * radius)
        scores = cv2.matchTemplate(self._mask(*place), kernel.astype(np.float32), cv2.TM_CCORR)
        rows, columns = np.indices(scores.shape) - radius
        distance = np.hypot(rows, columns)
        rated = np.where(distance <= radius, scores - 2 * PRIOR_WEIGHT * distance / radius, -np.inf)
        row, column = np.unravel_index(np.argmax(rated), rated.shape)
        if distance[row, column] >= radius - 1:
            return None
        peak = np.array(
            [column + _vertex(scores[row, column - 1 : column + 2]), row + _vertex(scores[row - 1 : row + 2, column])]
        )
        return start - (peak - radius), float((1 + scores[row, column]) / 2)

    def _mask(self, column: int, row: int, width: int, height: int) -> np.ndarray:
        """Building in a window that may reach beyond the image."""
        mask = np.zeros((height, width), dtype=np.float32)
        inside, values, valid = self.raster.read_values(column, row, width, height)
        mask[inside] = (values[0] > self.threshold) & valid
        return mask

    def coarse_mask(self, bounds: tuple[float, float, float, float], size: int) -> np.ndarray:
        """See `Reference`."""
        corners = (np.array(bounds).reshape(2, 2) - self.origin) / (self.pixel_m * (1, -1))
        (left, _), (right, top) = np.floor(corners).astype(int)
        mask = np.zeros((size, size), dtype=np.float32)
        step = (right - left) / size
        for index in range(size):
            row = int(top + (index + 0.5) * step)
            line = self._mask(left, row, right - left, 1)[0]
            mask[index] = line[((np.arange(size) + 0.5) * step).astype(int)]
        return mask


def _vertex(values: np.ndarray) -> float:
    """Where the parabola through three equidistant values peaks, from the middle one."""
    if len(values) < 3:
        return 0.0
    curvature = values[0] - 2 * values[1] + values[2]
    return float(np.clip(0.5 * (values[0] - values[2]) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
