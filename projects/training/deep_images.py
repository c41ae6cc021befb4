"""Images of more than 8 bits, by the rule of `bit_depth`; the others are read as OpenMMLab reads them."""

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from projects.bit_depth import PERCENTILES, image_in_eight_bits

from .annotation_findings import say_once

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
BITS_PER_SAMPLE = 258  # tag of TIFF
WITH_DEPTH = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


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
