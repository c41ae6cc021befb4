"""What surfaces look like: functions from two coordinates in metres to RGB in 0–255."""

import cv2
import numpy as np
from numpy.random import Generator

from .perspective import Material

_TILE = 64  # cells after which noise repeats


def speckled(rng: Generator, color: np.ndarray, contrast: float, cell_m: float) -> Material:
    """One colour with smooth noise of the given contrast (in 0–255) and grain size."""
    noise = _noise(rng, cell_m)
    return lambda u, v: color + contrast * noise(u, v)[..., None]


def layered(rng: Generator, lower: np.ndarray, upper: np.ndarray, height_m: float, cell_m: float) -> Material:
    """A gradient from one colour at height 0 to another at `height_m`, with clouds of a third of the difference."""
    noise = _noise(rng, cell_m)
    white = np.full(3, 245.0)

    def material(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        share = np.clip(v / height_m, 0, 1)[..., None]
        color = lower + share * (upper - lower)
        clouds = np.clip(noise(u, 3 * v) - 0.3, 0, 0.7)[..., None]
        return color + clouds * (white - color)

    return material


def facade(rng: Generator, wall: np.ndarray) -> Material:
    """A wall with rows of dark windows in light frames, one row to a floor of 3 m."""
    spacing, width = rng.uniform(2.2, 3.2), rng.uniform(0.4, 0.6)
    glass = np.array([58.0, 70.0, 88.0]) * rng.uniform(0.7, 1.2)
    plaster = speckled(rng, wall, 7, 0.7)

    def material(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        across, up = u / spacing % 1 - 0.5, (v - 0.3) / 3 % 1 - 0.45
        is_frame = (np.abs(across) < width / 2 + 0.07) & (np.abs(up) < 0.33)
        is_glass = (np.abs(across) < width / 2) & (np.abs(up) < 0.27)
        return np.where(is_glass[..., None], glass, plaster(u, v) * np.where(is_frame, 1.2, 1.0)[..., None])

    return material


def tiled(rng: Generator, color: np.ndarray, width_m: float, height_m: float, contrast: float = 10) -> Material:
    """Slabs, planks or tiles, each a little lighter or darker than the next, with dark joints."""
    shades = rng.normal(scale=contrast, size=(_TILE, _TILE))

    def material(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        across, up = u / width_m, v / height_m
        shade = shades[np.floor(up).astype(int) % _TILE, np.floor(across).astype(int) % _TILE]
        is_joint = (across % 1 < 0.06) | (up % 1 < 0.06)
        return color + np.where(is_joint, -2.5 * contrast, shade)[..., None]

    return material


def striped(first: np.ndarray, second: np.ndarray, period_m: float) -> Material:
    """Stripes along the second coordinate, half of them of each colour."""
    return lambda u, v: np.where((u / period_m % 1 < 0.5)[..., None], first, second)


def _noise(rng: Generator, cell_m: float) -> Material:
    """Smooth noise of unit scale on two octaves, shape (H, W), that repeats after 64 cells."""
    tile = rng.normal(size=(_TILE, _TILE)).astype(np.float32)

    def noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        across, up = (np.asarray(w / cell_m, dtype=np.float32) for w in (u, v))
        coarse, fine = (
            cv2.remap(tile, octave * across % _TILE, octave * up % _TILE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            for octave in (1, 2.7)
        )
        return coarse + 0.6 * fine

    return noise
