"""Edges of an image by their direction: how strongly brightness changes across each pixel, along each of some axes."""

from functools import cached_property

import cv2
import numpy as np

DIRECTIONS = 12  # of the axes, over half a turn
SMOOTHING_PX = 0.8
AROUND_PX = 41  # side of the box whose contrast a gradient is divided by
NOISE_LEVEL = 8.0  # grey levels per pixel that are added to that contrast, so that noise on plain ground stays small
STRONGEST = 1.5  # a gradient counts no more than so many times the contrast around it
SPREAD_PX = 1.0  # standard deviation by which edges are widened: outlines are not drawn to the pixel
INVALID_MARGIN_PX = 3


class EdgeMaps:
    """Edges of one image, or of a map of probabilities.

    The gradient is that of the channel in which it is strongest, divided by the root mean square around; so a dark town
    and a bright one weigh alike.

    Args:
        image: (H, W, 3) or (H, W) Grey levels of 0 to 255.
        valid: (H, W) Which pixels have data; None: all.
    """

    def __init__(self, image: np.ndarray, valid: np.ndarray | None = None) -> None:
        planes = image[..., None] if image.ndim == 2 else image
        self.size_px = planes.shape[1], planes.shape[0]
        right = np.zeros(planes.shape[:2], np.float32)
        down, strongest = right.copy(), right.copy()
        for channel in np.moveaxis(planes, -1, 0):
            smooth = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), SMOOTHING_PX)
            of_channel = [cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=3, scale=1 / 4) for axis in ((1, 0), (0, 1))]
            squared = of_channel[0] ** 2 + of_channel[1] ** 2
            stronger = squared > strongest
            right, down, strongest = (
                np.where(stronger, new, old)
                for new, old in ((of_channel[0], right), (of_channel[1], down), (squared, strongest))
            )
        self.valid = np.ones(right.shape, bool) if valid is None else valid
        if not self.valid.all():
            near = cv2.dilate((~self.valid).astype(np.uint8), np.ones((2 * INVALID_MARGIN_PX + 1,) * 2, np.uint8)) > 0
            right, down = np.where(near, 0, right), np.where(near, 0, down)
            self.valid = ~near
        contrast = np.sqrt(cv2.blur(right**2 + down**2, (AROUND_PX, AROUND_PX))) + NOISE_LEVEL
        self._right, self._down = right / contrast, down / contrast

    def along(self, angle: float) -> np.ndarray:
        """(H, W) float32 strength of edges that run across an axis, radians from right towards down; signed."""
        return self._right * np.float32(np.cos(angle)) + self._down * np.float32(np.sin(angle))

    @cached_property
    def maps(self) -> np.ndarray:
        """(DIRECTIONS, H, W) float32 strength of edges across each axis, whichever side is the brighter one."""
        return np.stack([self._finish(np.abs(self.along(np.pi * k / DIRECTIONS))) for k in range(DIRECTIONS)])

    @cached_property
    def flat(self) -> np.ndarray:
        """(DIRECTIONS, H · W) The same."""
        return self.maps.reshape(DIRECTIONS, -1)

    def _finish(self, strength: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(np.minimum(strength, np.float32(STRONGEST)), (0, 0), SPREAD_PX)


def direction_of(normals: np.ndarray) -> np.ndarray:
    """(N,) Which of the maps of `EdgeMaps` belongs to normals (N, 2), right and down; either sense is the same."""
    angles = np.arctan2(normals[:, 1], normals[:, 0])
    return np.rint(angles * DIRECTIONS / np.pi).astype(np.intp) % DIRECTIONS
