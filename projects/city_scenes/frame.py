"""The pixel grid of a tile on the ground."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """Pixels over the ground, north up.

    Attributes:
        west_m, north_m: Upper left corner of the upper left pixel.
        gsd_m: Size of a pixel.
        size_px: Rows and columns.
    """

    west_m: float
    north_m: float
    gsd_m: float
    size_px: tuple[int, int]

    def to_px(self, points_m: np.ndarray) -> np.ndarray:
        """Columns and rows of points on the ground; the centre of the first pixel is (0.5, 0.5).

        Args:
            points_m: (..., 2) Metres east and north.

        Returns:
            (..., 2) Pixels to the right and down.
        """
        return (points_m - (self.west_m, self.north_m)) * (1 / self.gsd_m, -1 / self.gsd_m)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """West, south, east and north."""
        rows, columns = self.size_px
        return self.west_m, self.north_m - rows * self.gsd_m, self.west_m + columns * self.gsd_m, self.north_m

    def places(self, anchor_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres east, (1, W), and north, (H, 1), of the pixels' centres from a point, float32."""
        (rows, columns), (x, y) = self.size_px, (self.west_m - anchor_m[0], self.north_m - anchor_m[1])
        east, north = x + (np.arange(columns) + 0.5) * self.gsd_m, y - (np.arange(rows)[:, None] + 0.5) * self.gsd_m
        return east[None].astype(np.float32), north.astype(np.float32)

    def around(self, bounds_m: tuple[float, float, float, float], gsd_m: float) -> 'Frame':
        """A grid that holds these bounds, its pixels' corners on whole multiples of their size.

        Args:
            bounds_m: West, south, east and north to hold.
            gsd_m: Size of its pixels.

        Returns:
            The grid; equal bounds of two tiles fall on equal pixels.
        """
        west, south, east, north = bounds_m
        first, last = np.floor(west / gsd_m), np.ceil(east / gsd_m)
        top, bottom = np.ceil(north / gsd_m), np.floor(south / gsd_m)
        return Frame(first * gsd_m, top * gsd_m, gsd_m, (int(top - bottom), int(last - first)))
