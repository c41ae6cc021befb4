"""What lies between the scene and the file: air, lens and sensor."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


@dataclass(frozen=True)
class Camera:
    """An aerial camera.

    Attributes:
        blur_px: Standard deviation of the point spread function.
        noise: Standard deviation of the sensor's noise, grey levels of 255.
        haze: Share of the light that comes from the air.
        variation: How much brightness, contrast, colour and haze change from tile to tile; 0 is not at all.
        jpeg_quality: Of the file that a picture went through, 1 to 100; None: it was not compressed.
    """

    blur_px: float = 0.65
    noise: float = 2.5
    haze: float = 0.06
    variation: float = 1.0
    jpeg_quality: int | None = None

    def expose(self, radiance: np.ndarray, seed: int) -> np.ndarray:
        """Takes the picture.

        Args:
            radiance: (3, H, W) float32, 255 is white.
            seed: Draws the tile's light and the noise.

        Returns:
            (H, W, 3) uint8.
        """
        random = np.random.default_rng(seed)
        warmth, brightness = self.variation * random.normal(0, (0.03, 0.07))
        gain = (1 + brightness) * (1 + warmth * np.array([1, 0.1, -1]))
        haze = np.clip(self.haze + self.variation * random.uniform(-0.05, 0.08), 0, 0.5)
        contrast = 1 + self.variation * random.normal(0, 0.06)
        air = np.array([178, 190, 208])
        scale = gain * (1 - haze) * contrast
        shift = haze * air + 110 * (1 - contrast)
        start = int(random.integers(len(_noise())))
        noise = np.float32(self.noise) * np.take(_noise(), np.arange(start, start + radiance.size), mode='wrap')
        planes = []
        for plane, grains, factor, summand in zip(
            radiance, noise.reshape(radiance.shape), scale.astype(np.float32), shift.astype(np.float32), strict=True
        ):
            seen = cv2.GaussianBlur(plane, (0, 0), self.blur_px) if self.blur_px > 0 else plane
            planes.append(np.clip(seen * factor + (grains + summand) + np.float32(0.5), 0, 255).astype(np.uint8))
        picture = cv2.merge(planes)
        if self.jpeg_quality is None:
            return picture
        encoded = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))  # red and blue stay swapped on both ways


@cache
def _noise() -> np.ndarray:
    """Normal deviates, drawn once and read from another place for each picture."""
    return np.random.default_rng(7).standard_normal(2_097_169, dtype=np.float32)
