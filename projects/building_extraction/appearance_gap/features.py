"""What a picture looks like, in numbers that people can read: colour, contrast, texture by scale, compression."""

from itertools import pairwise

import cv2
import numpy as np

BANDS_PX = (2.0, 2.8, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Wavelengths between which the power of the spectrum is summed."""
QUANTILES = (0.02, 0.25, 0.75, 0.98)
HUES = {'red': (0, 15), 'brown and yellow': (15, 35), 'green': (35, 85), 'blue': (90, 130)}
"""Of 180, as OpenCV counts them."""
COLORFUL = 50
"""Saturation, of 255, from which a pixel has a hue."""


def describe(image: np.ndarray) -> dict[str, float]:
    """The features of a picture.

    - `lightness …`, `red-green …`, `yellow-blue …`: quantiles and standard deviation of the axes of CIELAB (CIE 15);
    - `share of …`: pixels of a hue; `share of shadow`: pixels darker than a quarter of the lightness;
    - `power at a to b px`: logarithm of the share of the lightness' spectrum at these wavelengths;
    - `noise`: robust standard deviation of the finest detail (Immerkaer, CVIU 64(2), 1996, his kernel; by the median);
    - `steps of 8 px`: gradients across the borders of JPEG's blocks over those beside them, logarithm;
    - `edges alike in direction`: how far the directions of gradients gather at two right angles, 0 to 1.

    Args:
        image: (H, W, 3) uint8 RGB, at least 64 px a side.

    Raises:
        ValueError: The picture is smaller.
    """
    if min(image.shape[:2]) < BANDS_PX[-1]:
        raise ValueError(f'a picture of {image.shape[1]} x {image.shape[0]} px; expected {BANDS_PX[-1]:g} px a side')
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    features = {}
    for name, plane in zip(('lightness', 'red-green', 'yellow-blue'), cv2.split(lab), strict=True):
        for quantile, value in zip(QUANTILES, np.quantile(plane, QUANTILES), strict=True):
            features[f'{name}, {quantile:.0%}'] = float(value)
        features[f'{name}, deviation'] = float(plane.std())
    for part in (_hues, _spectrum, _noise, _blocks, _directions):
        features |= part(image, lab[..., 0])
    features['share of shadow'] = float((lab[..., 0] < 25).mean())
    return features


def _hues(image: np.ndarray, _: np.ndarray) -> dict[str, float]:
    hue, saturation, _value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    return {
        f'share of {name}': float(((hue >= low) & (hue < high) & (saturation >= COLORFUL)).mean())
        for name, (low, high) in HUES.items()
    }


def _spectrum(_: np.ndarray, lightness: np.ndarray) -> dict[str, float]:
    window = np.outer(*(np.hanning(side) for side in lightness.shape))
    power = np.abs(np.fft.rfft2((lightness - lightness.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(lightness.shape[0])[:, None], np.fft.rfftfreq(lightness.shape[1])[None])
    total = power.sum() + 1e-9
    return {
        f'power at {low:g} to {high:g} px': float(
            np.log10(power[(frequency > 1 / high) & (frequency <= 1 / low)].sum() / total + 1e-9)
        )
        for low, high in pairwise(BANDS_PX)
    }


def _noise(_: np.ndarray, lightness: np.ndarray) -> dict[str, float]:
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    detail = cv2.filter2D(lightness, -1, kernel)[1:-1, 1:-1]
    return {'noise': float(np.median(np.abs(detail)) / 0.6745 / 6)}


def _blocks(_: np.ndarray, lightness: np.ndarray) -> dict[str, float]:
    ratios = []
    for values in (lightness, lightness.T):
        steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
        border = np.arange(len(steps)) % 8 == 7
        ratios.append(np.log((steps[border].mean() + 1e-6) / (steps[~border].mean() + 1e-6)))
    return {'steps of 8 px': float(np.mean(ratios))}


def _directions(_: np.ndarray, lightness: np.ndarray) -> dict[str, float]:
    x, y = (cv2.Sobel(lightness, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    strength, angle = np.hypot(x, y), np.arctan2(y, x)
    gathered = np.abs((strength * np.exp(4j * angle)).sum()) / (strength.sum() + 1e-9)
    return {'edges alike in direction': float(gathered)}
