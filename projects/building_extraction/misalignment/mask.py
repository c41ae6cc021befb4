"""Finds, for each label, the shift that lays it best on a mask such as a prediction."""

from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from projects.geodata.polygonal import translate
from projects.geodata.raster_files import Raster, rasterize
from projects.geodata.raster_values import ValueMeaning

from .matching import PRIOR_WEIGHT

MIN_FREE_SHARE = 0.5  # of the ring around a label must be free of other labels for a mask to say where it belongs
RING_M = np.array([4.0, 8.0])  # width of the ring; masks wider than labels by half of it are no matter
RIM = 0.05  # by which agreement is less at the rim of a summit than on it
MIN_KNOWN_SHARE = 0.9  # of a label must lie where the mask has data


@dataclass
class MaskReference:
    """A mask, such as a prediction.

    Each label is slid over the mask; the best place has most building below the label and most background below the
    ring around it, outside of other labels, which are taken to lie where they are expected (correlation with OpenCV's
    FFT; see `_summit`). Along a wall shared with a neighbour, or in a block that is building throughout, the mask does
    not say where a label belongs; such labels agree badly and stay unmatched. So do labels that are expected where the
    mask has no data.

    Args:
        raster: Open `Raster` of one band.
        meaning: Of its values.
        origin: (2,) Local metres of the upper left corner of pixel (0, 0).
        pixel_m: Metres per pixel along x and y.
        threshold: Probabilities above it are building.
    """

    raster: Raster
    meaning: ValueMeaning
    origin: np.ndarray
    pixel_m: np.ndarray
    threshold: float

    def match(self, labels: np.ndarray, prior_m: np.ndarray, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Reference`; the agreement is (share of building inside + share of background around) / 2."""
        expected = shapely.transform(
            translate(labels, -prior_m), lambda xy: (xy - self.origin) / (self.pixel_m * (1, -1))
        )
        tree = shapely.STRtree(expected)
        offsets_m, agreements = np.full((len(labels), 2), np.nan), np.zeros(len(labels))
        for i, outline in enumerate(expected):
            found = self._match_one(expected, tree, outline, radius_m)
            if found is not None:
                offsets_m[i] = prior_m[i] - found[0] * self.pixel_m * (1, -1)
                agreements[i] = found[1]
        return offsets_m, agreements

    def _match_one(
        self, outlines: np.ndarray, tree: shapely.STRtree, outline: shapely.Polygon, radius_m: float
    ) -> tuple[np.ndarray, float] | None:
        """How far a label's place is from where it is expected, in pixels; and how well it agrees there."""
        ring_m = np.clip(0.2 * np.sqrt(outline.area * self.pixel_m.prod()), *RING_M)
        ring = np.maximum((ring_m / self.pixel_m).astype(int), 2)
        left, top = (np.floor(outline.bounds[:2]) - ring).astype(int).tolist()
        right, bottom = (np.floor(outline.bounds[2:]) + ring + 1).astype(int).tolist()
        size = right - left, bottom - top
        if (np.array(size) > 2 * np.array(self.raster.size_px)).any():
            return None  # no building, and no memory would hold it
        move = (1, 0, left, 0, 1, top)
        own = rasterize(np.array([outline]), np.array([1]), size, move, np.uint8)
        near = outlines[tree.query(shapely.box(left, top, right, bottom))]
        any_label = rasterize(near, np.ones(len(near), dtype=int), size, move, np.uint8)
        around = cv2.dilate(own, np.ones(2 * ring[::-1] + 1, np.uint8)) & (1 - own)
        free = around & (1 - any_label)
        if not own.any() or free.sum() < MIN_FREE_SHARE * around.sum():
            return None
        reach = np.ceil(radius_m / self.pixel_m).astype(int)
        scores = self._scores(own, free, (left, top), reach)
        rows, columns = np.indices(scores.shape) - reach[::-1, None, None]
        distance_m = np.hypot(columns * self.pixel_m[0], rows * self.pixel_m[1])
        rated = np.where(distance_m <= radius_m, scores - 2 * PRIOR_WEIGHT * distance_m / radius_m, -np.inf)
        row, column = np.unravel_index(np.argmax(rated), rated.shape)
        at_the_end = distance_m[row, column] >= radius_m - self.pixel_m.max()
        if at_the_end or not np.isfinite(scores[reach[1], reach[0]]):
            return None
        place, agreement = _summit(scores, int(row), int(column))
        return place - reach, float((1 + agreement) / 2)

    def _scores(self, own: np.ndarray, ring: np.ndarray, corner: tuple[int, int], reach: np.ndarray) -> np.ndarray:
        """Share of building inside less that around, at all places; -inf where too little is known."""
        width, height = np.array(own.shape[::-1]) + 2 * reach
        building, known = self._mask(corner[0] - reach[0], corner[1] - reach[1], width, height)
        inside, around = (part / np.float32(part.sum()) for part in (own, ring))
        if known.all():
            return cv2.matchTemplate(building, inside - around, cv2.TM_CCORR)
        shares = [cv2.matchTemplate(known, part, cv2.TM_CCORR) for part in (inside, around)]
        is_known = (shares[0] >= MIN_KNOWN_SHARE) & (shares[1] >= MIN_FREE_SHARE)
        of_known = [
            cv2.matchTemplate(building, part, cv2.TM_CCORR) / np.maximum(share, MIN_FREE_SHARE)
            for part, share in zip((inside, around), shares, strict=True)
        ]
        return np.where(is_known, of_known[0] - of_known[1], -np.inf)

    def _mask(self, column: int, row: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Building, and what is known, in a window that may reach beyond the image."""
        building, known = np.zeros((2, height, width), dtype=np.float32)
        inside, values, valid = self.raster.read_values(column, row, width, height)
        probabilities = self.meaning.probabilities(values[0], valid)
        known[inside] = np.isfinite(probabilities)
        building[inside] = probabilities > self.threshold  # false for NaN
        return building, known

    def coarse_mask(self, bounds: tuple[float, float, float, float], size: int) -> np.ndarray:
        """See `Reference`."""
        corners = (np.array(bounds).reshape(2, 2) - self.origin) / (self.pixel_m * (1, -1))
        (left, _), (right, top) = np.floor(corners).astype(int)
        mask = np.zeros((size, size), dtype=np.float32)
        step = (right - left) / size
        for index in range(size):
            row = int(top + (index + 0.5) * step)
            line = self._mask(left, row, right - left, 1)[0][0]
            mask[index] = line[((np.arange(size) + 0.5) * step).astype(int)]
        return mask


def _summit(scores: np.ndarray, row: int, column: int) -> tuple[np.ndarray, float]:
    """The middle of the summit of a hill that a pixel lies on, and its height.

    A mask that is wider or narrower than the label all around agrees equally well over a plateau; its middle, weighted
    by the height above its rim, is where the label belongs.

    Args:
        scores: (H, W) Agreement.
        row: Of a pixel on the hill.
        column: Of the same.

    Returns:
        Column and row, with fractions; and the highest score there.
    """
    for _ in range(2):  # to the highest place around, and from there
        around = scores[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        drop = scores[row, column] - np.mean(around, where=np.isfinite(around))
        rim = scores[row, column] - max(RIM, 1.5 * drop)
        _, regions = cv2.connectedComponents((scores >= rim).astype(np.uint8), connectivity=4)
        summit = np.where(regions == regions[row, column], scores, -np.inf)
        row, column = (int(index) for index in np.unravel_index(np.argmax(summit), scores.shape))
    weights = np.maximum(summit - rim, 0) + np.where(np.isfinite(summit), 1e-6, 0)
    rows, columns = np.nonzero(weights)
    middle = [np.average(at, weights=weights[rows, columns]) for at in (columns, rows)]
    return np.array(middle), float(scores[row, column])
