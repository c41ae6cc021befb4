"""The geometry of a parallel projection seen off nadir: how far height displaces things."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """A camera infinitely far away, whose image has been laid over the ground.

    The ground stays where it is. A point at height h appears displaced by h · tan(off-nadir angle) along the azimuth.
    With BONAI's words: roof = footprint + offset.

    Attributes:
        gsd_m: Ground sample distance, metres per pixel.
        off_nadir_deg: Angle between the line of sight and the vertical, 0 to less than 90.
        azimuth_deg: Direction in which roofs lean in the image, clockwise from north (up).
    """

    gsd_m: float
    off_nadir_deg: float = 0.0
    azimuth_deg: float = 0.0

    def __post_init__(self) -> None:
        if not self.gsd_m > 0:
            raise ValueError(f'gsd_m = {self.gsd_m}: expected metres per pixel, more than 0.')
        if not 0 <= self.off_nadir_deg < 90:
            raise ValueError(f'off_nadir_deg = {self.off_nadir_deg}: expected 0 to less than 90 degrees.')

    def offset_m(self, height_m: float | np.ndarray) -> np.ndarray:
        """Displacement of points at these heights on the map.

        Args:
            height_m: Metres above ground, of any shape.

        Returns:
            Metres east and north, of shape (..., 2).
        """
        azimuth = np.radians(self.azimuth_deg)
        length = np.asarray(height_m, dtype=float) * np.tan(np.radians(self.off_nadir_deg))
        return length[..., None] * np.array([np.sin(azimuth), np.cos(azimuth)])

    def offset_px(self, height_m: float | np.ndarray) -> np.ndarray:
        """The same in pixels to the right and down, of shape (..., 2); north is up."""
        return self.offset_m(height_m) * np.array([1.0, -1.0]) / self.gsd_m
