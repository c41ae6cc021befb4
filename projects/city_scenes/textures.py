"""Noise that is tied to places in the world, so that neighbouring tiles agree."""

from functools import cache

import cv2
import numpy as np

ANCHOR_M = 4000.0
"""Places are told apart within squares of this size, where single precision suffices; every pattern repeats in it."""

_TEXELS = 1000


@cache
def _texture(roughness: float) -> np.ndarray:
    """A periodic float32 texture of mean 0 and deviation 1 whose amplitude falls as frequency^-roughness."""
    spectrum = np.fft.rfft2(np.random.default_rng(round(roughness * 10)).standard_normal((_TEXELS, _TEXELS)))
    frequency = np.hypot(np.fft.fftfreq(_TEXELS)[:, None], np.fft.rfftfreq(_TEXELS)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / frequency**roughness)
    return np.pad((noise / noise.std()).astype(np.float32), ((0, 1), (0, 1)), mode='wrap')


def anchor(west_m: float, north_m: float) -> np.ndarray:
    """Corner of the square of `ANCHOR_M` in which a place lies, metres east and north."""
    return np.floor(np.array([west_m, north_m]) / ANCHOR_M) * ANCHOR_M


def texel_m(finest_m: float) -> float:
    """The smallest size of a texel, 0.25 m times a power of two up to 4 m, that is not less than this."""
    return float(0.25 * 2 ** np.clip(np.ceil(np.log2(finest_m / 0.25)), 0, 4))


def grain(x_m: np.ndarray, y_m: np.ndarray, texel_m: float) -> np.ndarray:
    """Rough noise, each texel of its own.

    Args:
        x_m: (H, W) float32 Metres east of an `anchor`.
        y_m: (H, W) float32 Metres north of it.
        texel_m: Size of a texel, one that `texel_m` gives.

    Returns:
        (H, W) float32, mean 0 and deviation 1.
    """
    return cv2.remap(_texture(0.4), _texels(x_m, texel_m), _texels(y_m, texel_m), cv2.INTER_NEAREST)


def clouds(x_m: np.ndarray, y_m: np.ndarray, texel_m: float) -> np.ndarray:
    """Smooth noise with patches of every size, from a few texels to hundreds.

    Args:
        x_m: (H, W) float32 Metres east of an `anchor`.
        y_m: (H, W) float32 Metres north of it.
        texel_m: Size of a texel, one that `texel_m` gives.

    Returns:
        (H, W) float32, mean 0 and deviation 1 over large areas.
    """
    return cv2.remap(_texture(1.2), _texels(x_m, texel_m), _texels(y_m, texel_m), cv2.INTER_LINEAR)


def _texels(places_m: np.ndarray, texel_m: float) -> np.ndarray:
    """Coordinates in a periodic texture."""
    coordinates = places_m * np.float32(1 / texel_m)
    coordinates -= np.floor(coordinates * np.float32(1 / _TEXELS)) * np.float32(_TEXELS)
    return coordinates


def uniform(salt: int, *numbers: np.ndarray) -> np.ndarray:
    """A number from 0 to 1 for each combination of whole numbers, always the same one.

    Args:
        salt: Another draw for another use.
        numbers: Arrays of whole numbers that broadcast.

    Returns:
        float32 in [0, 1); by the finaliser of MurmurHash3 (Appleby 2011) over each number in turn.
    """
    mixed: np.ndarray = np.array(salt * 2654435761 % 2**32, dtype=np.uint32)
    for number in numbers:
        number = np.asarray(number)
        number = number.astype(np.int32) if number.dtype.kind == 'f' else number
        mixed = (mixed ^ number.astype(np.uint32)) * np.uint32(0x9E3779B1)
        mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        mixed = mixed ^ (mixed >> np.uint32(16))
    return np.asarray((mixed >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24))
