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
    """Edges of one image, or the mean of those of several, such as a picture and a map of probabilities.

    The gradient is that of the channel in which it is strongest, divided by the root mean square around; so a dark town
    and a bright one weigh alike.

    Args:
        *images: (H, W, 3) or (H, W) Grey levels of 0 to 255, of one size.
        valid: (H, W) Which pixels have data; None: all.
    """

    def __init__(self, *images: np.ndarray, valid: np.ndarray | None = None) -> None:
        height, width = images[0].shape[:2]
        self.size_px = width, height
        self.valid = np.ones((height, width), bool)
        if valid is not None and not valid.all():
            near = np.ones((2 * INVALID_MARGIN_PX + 1,) * 2, np.uint8)
            self.valid = cv2.dilate((~valid).astype(np.uint8), near) == 0
        self._gradients = [self._gradient(image) for image in images]

    def _gradient(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Right and down, by the contrast around; 0 near to what has no data."""
        strongest = np.zeros(image.shape[:2], np.float32)
        right, down = strongest.copy(), strongest.copy()
        for channel in np.moveaxis(np.atleast_3d(image), -1, 0):
            smooth = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), SMOOTHING_PX)
            along_x, along_y = (cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=3, scale=1 / 4) for axis in ((1, 0), (0, 1)))
            squared = along_x**2 + along_y**2
            stronger = squared > strongest
            right, down = np.where(stronger, along_x, right), np.where(stronger, along_y, down)
            strongest = np.where(stronger, squared, strongest)
        right, down = right * self.valid, down * self.valid
        around = cv2.blur(right**2 + down**2, (AROUND_PX, AROUND_PX))
        contrast = np.sqrt(np.maximum(around, 0)) + NOISE_LEVEL  # running sums may fall below 0 by rounding
        return right / contrast, down / contrast

    @cached_property
    def maps(self) -> np.ndarray:
        """(DIRECTIONS, H, W) float32 strength of edges across each axis, whichever side is the brighter one."""
        return np.stack([self._across(np.pi * number / DIRECTIONS) for number in range(DIRECTIONS)])

    def _across(self, angle: float) -> np.ndarray:
        total = np.zeros(self.size_px[::-1], np.float32)
        for right, down in self._gradients:
            strength = np.abs(right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle)))
            total += np.minimum(strength, np.float32(STRONGEST))
        return cv2.GaussianBlur(total / np.float32(len(self._gradients)), (0, 0), SPREAD_PX)

    @cached_property
    def flat(self) -> np.ndarray:
        """(DIRECTIONS, H · W) The same."""
        return self.maps.reshape(DIRECTIONS, -1)


def direction_of(normals: np.ndarray) -> np.ndarray:
    """(N,) Which of the maps of `EdgeMaps` belongs to normals (N, 2), right and down; either sense is the same."""
    angles = np.arctan2(normals[:, 1], normals[:, 0])
    return np.rint(angles * DIRECTIONS / np.pi).astype(np.intp) % DIRECTIONS
