"""Images on disk."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

JPEG_QUALITY = 95


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an image in the format that the suffix names, and the folders above it.

    Args:
        path: Ends in .jpg or .png.
        image: Shape (H, W), or (H, W, 3) in RGB, or (H, W, 4) in RGBA; rounded to 0–255.
    """
    pixels = np.asarray(image).round().clip(0, 255).astype(np.uint8)
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == '.jpg' else []
    _, content = cv2.imencode(path.suffix, pixels, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.tobytes())


def check_image_size(image_size: tuple[int, int], min_side_px: int) -> None:
    """Raises ValueError if a side of (height, width) is shorter than pictures can be painted on."""
    if min(image_size) < min_side_px:
        raise ValueError(
            f'image_size = {tuple(image_size)}: expected (height, width) of at least {min_side_px} px each.'
        )


def check_numbers(num_images: Mapping[str, int], splits: Iterable[str]) -> dict[str, int]:
    """Numbers of images by split; raises ValueError if one is missing, unknown or has none."""
    if set(num_images) != set(splits) or min(num_images.values()) < 1:
        expected = ' and of '.join(map(repr, splits))
        raise ValueError(f'num_images = {dict(num_images)}: expected at least one of {expected}.')
    return dict(num_images)
