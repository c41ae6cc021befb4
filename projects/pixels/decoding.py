"""Image files as pixels: whole or refused, of any depth as 8 bits."""

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from projects.reporting.notices import say_once

from .bit_depth import PERCENTILES, image_in_eight_bits

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
BITS_PER_SAMPLE = 258  # tag of TIFF
WITH_DEPTH = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


class UnreadableImageError(OSError):
    """An image that is absent, truncated or not an image."""


def read_image(path: Path) -> np.ndarray:
    """Pixels as training and testing see them: by OpenCV, turned upright by their EXIF orientation.

    More than 8 bits are scaled as `bit_depth` says, grey becomes red, green and blue alike, palettes and CMYK become
    RGB, and what is transparent shows the colour stored below it.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UnreadableImageError: The file is absent, truncated or not an image.
    """
    try:
        check_whole(str(path))
        pixels = read_deep_image(str(path))
        if pixels is None:
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise UnreadableImageError(f'{path}: {" ".join(str(error).split())}') from error
    if pixels is None:
        raise UnreadableImageError(f'{path}: OpenCV cannot decode it')
    return np.ascontiguousarray(pixels[..., ::-1])


def check_whole(path: str) -> None:
    """Refuse empty files and truncated JPEGs.

    OpenCV before version 5 fills the missing part of a truncated JPEG with grey and says so on the console only. A JPEG
    that does not end with its end-of-image marker (ISO/IEC 10918-1, B.1.1.3) is therefore decoded by pillow first,
    which refuses truncated files.

    Raises:
        OSError: The file is absent, empty or truncated.
    """
    with open(path, 'rb') as file:  # noqa: PTH123 (a path as text, once per image)
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise OSError('the file is empty')
        if file.read(2) == b'\xff\xd8':
            file.seek(-min(64, size), os.SEEK_END)
            if b'\xff\xd9' not in file.read():  # truncated, or followed by the maker's own data
                with Image.open(path) as image:
                    image.load()


def read_deep_image(path: str) -> np.ndarray | None:
    """Read an image if it has more than 8 bits.

    Args:
        path: PNG, TIFF, PGM, or anything else.

    Returns:
        (H, W, 3) uint8 BGR; None: it has 8 bits or fewer.

    Raises:
        OSError: It cannot be read.
    """
    if not _is_deep(path):
        return None
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of each tag of GeoTIFFs
    try:
        image = cv2.imread(path, WITH_DEPTH)
        if image is None:
            image = cv2.imread(path, cv2.IMREAD_UNCHANGED)  # grey of 32 bits
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None:
        raise OSError('OpenCV cannot decode its pixels of more than 8 bits; convert it to a PNG of 8 or 16 bits')
    image = np.dstack([image] * 3) if image.ndim == 2 else image[..., :3]
    if image.dtype == np.uint8:
        return image
    say_once(f'images of more than 8 bits: the percentiles {PERCENTILES} of each become 0 and 255')
    return image_in_eight_bits(image)


def _is_deep(path: str) -> bool:
    with open(path, 'rb') as file:  # noqa: PTH123 (a path as text, once per image)
        start = file.read(64)
    if start.startswith(b'\x89PNG'):
        return start[24:25] == b'\x10'
    if start.startswith((b'P5', b'P6')):
        numbers = [word for line in start.split(b'\n') for word in line.partition(b'#')[0].split()]
        return len(numbers) > 3 and numbers[3].isdigit() and int(numbers[3]) > 255
    if not start.startswith(TIFF_STARTS):
        return False
    try:
        with Image.open(path) as image:  # reads the tags alone
            return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) > 8  # type: ignore[attr-defined]
    except UnidentifiedImageError:
        return True  # more bands or bits than pillow knows
