"""What hides what: buildings that are placed surely stand before others, or are seen where others would hide them."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import shapely

from projects.geodata.polygonal import translate

from .line_search import Line

HIDES_M = 1.0  # of lean, by which one surface must be above another to hide it
FRACTION_BITS = 4  # of a pixel, to which outlines are drawn


@dataclass(frozen=True)
class Cover:
    """The highest surface at each pixel of an image, of buildings that stand at the zero of a line and lean along it.

    Attributes:
        lean_m: (H · W) float32 How far the surface leans, higher ones farther; -infinity where there is none.
        owner: (H · W) int32 Number of its building; -1 where there is none.
        is_roof: (H · W) Whether it is a roof, not a wall.
        size_px: Width and height of the image.
    """

    lean_m: np.ndarray
    owner: np.ndarray
    is_roof: np.ndarray
    size_px: tuple[int, int]

    @classmethod
    def of(
        cls,
        outlines_px: np.ndarray,
        numbers: np.ndarray,
        line: Line,
        moves_m: np.ndarray,
        gsd_m: float,
        size_px: tuple[int, int],
    ) -> Self:
        """Draw buildings.

        A wall is what the foot of a building sweeps on its way to the roof: the outline is drawn at each pixel of the
        way, higher surfaces over lower ones.

        Args:
            outlines_px: (N,) Polygons of labels, right and down.
            numbers: (N,) Of the buildings.
            line: Along which they lean.
            moves_m: (N, 2) Metres east and north from labels to roofs.
            gsd_m: Metres per pixel.
            size_px: Width and height of the image.
        """
        along_m = (moves_m - line.shift_m) @ line.direction
        counts = np.maximum(np.ceil(along_m / gsd_m).astype(int), 0) + 1
        drawn = np.repeat(np.arange(len(counts)), counts)
        below_m = (np.cumsum(counts)[drawn] - 1 - np.arange(len(drawn))) * gsd_m  # the roof, of each building
        leans_m = along_m[drawn] - below_m
        order = np.argsort(leans_m, kind='stable')
        drawn, leans_m, below_m = drawn[order], leans_m[order], below_m[order]
        down_px = np.array([1, -1]) / gsd_m
        roofs = [
            [shapely.get_coordinates(ring) for ring in shapely.get_rings(roof)]
            for roof in translate(outlines_px, moves_m * down_px)
        ]
        surface = np.zeros(size_px[::-1], np.int32)
        moves_px = -below_m[:, None] * line.direction * down_px - 0.5  # OpenCV's pixels lie around whole numbers
        for place, (building, move_px) in enumerate(zip(drawn.tolist(), moves_px, strict=True), start=1):
            rings = [np.rint((ring + move_px) * 2**FRACTION_BITS).astype(np.int32) for ring in roofs[building]]
            cv2.fillPoly(surface, rings, place, shift=FRACTION_BITS)
        seen = surface.ravel()
        return cls(
            np.append(-np.inf, leans_m).astype(np.float32)[seen],
            np.append(-1, numbers[drawn]).astype(np.int32)[seen],
            np.append(False, below_m == 0)[seen],
            size_px,
        )

    def hides(self, number: int, places: np.ndarray, lean_m: np.ndarray) -> np.ndarray:
        """Where another building stands before a roof.

        Args:
            number: Of the roof's building.
            places: (P, M) Pixels, for each of M places of the roof.
            lean_m: (M,) Of the roof there.
        """
        return (self.lean_m[places] > lean_m + HIDES_M) & (self.owner[places] != number)

    def shows_lower_roofs(self, number: int, places: np.ndarray, lean_m: np.ndarray) -> np.ndarray:
        """Where the roof of another building is seen that a roof would hide; see `hides`."""
        lower = (self.lean_m[places] < lean_m - HIDES_M) & self.is_roof[places]
        return lower & (self.owner[places] != number)
