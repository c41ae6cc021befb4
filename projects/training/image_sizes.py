"""Sizes of images as they are decoded, compared with what an annotation file says."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import cv2
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from PIL import Image

from .findings_cache import FindingsCache

ORIENTATION = 0x0112  # tag of EXIF (version 2.32, 4.6.4 A): 1 as stored, 2 to 8 turned or mirrored
EXCHANGES_SIDES = 5  # from this value on
SAME_SHAPE = 0.02  # relative difference of width / height
IMAGES_WORTH_A_CACHE = 1000
NUM_THREADS = 8

Size = tuple[int, int]
File = tuple[str, int, int]
"""Path, width and height as an annotation file has them."""


@dataclass
class SizeCheck:
    """What images and an annotation file do not agree about.

    Attributes:
        wrong: Decoded width and height of images that have another size than the file says.
        turned: Images that are turned or mirrored on loading, by EXIF, in a way that sizes do not show.
    """

    wrong: dict[str, Size] = field(default_factory=dict)
    turned: list[str] = field(default_factory=list)


def check_sizes(files: Sequence[File], loader: LoadImageFromFile, most: int) -> SizeCheck:
    """Find images whose decoded size is another than the one that is said.

    Headers are read; only images that differ by them are decoded, by what loads them in training, to be sure. What
    was found for a large set is kept in the user's cache, until one of its files, a size or the way to decode changes.
    Images that cannot be read are not checked.

    Args:
        files: The images.
        loader: Decodes an image in training or evaluation.
        most: How many wrong ones to find before the search is given up; one more is found at most.
    """
    cached = None
    if len(files) >= IMAGES_WORTH_A_CACHE:
        sizes = [(width, height) for _, width, height in files]
        question = (loader, cv2.__version__, Image.__version__, most, sizes)
        cached = FindingsCache('image_sizes', question, (path for path, *_ in files))
        if known := cached.read():
            with contextlib.suppress(TypeError):
                return SizeCheck(**known)
        print_log(f'reading the sizes of {len(files)} images, once for this set', logger='current')
    follows_exif = loader.color_type in ('color', 'grayscale')  # as OpenCV and mmcv's pillow backend do
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        headers = list(pool.map(_read_header, (path for path, *_ in files), chunksize=64))
    check = SizeCheck()
    for (path, *said), (size, orientation) in zip(files, headers, strict=True):
        turned = follows_exif and orientation > 1
        if turned and orientation >= EXCHANGES_SIDES:
            size = size[::-1]
        if size == tuple(said):
            if turned and (orientation < EXCHANGES_SIDES or size[0] == size[1]):
                check.turned.append(path)
            continue
        with contextlib.suppress(OSError):  # an unreadable image is counted when it is needed
            height, width = loader.transform({'img_path': path})['img_shape'][:2]
            if [width, height] != said:
                check.wrong[path] = width, height
        if len(check.wrong) > most:
            break
    if cached is not None:
        cached.write(asdict(check))
    return check


def _read_header(path: str) -> tuple[Size, int]:
    """Width and height as stored, and EXIF orientation from 1 to 8; (0, 0) if only decoding can tell."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            if orientation > 1 and image.format not in ('JPEG', 'MPO'):  # versions of OpenCV and pillow differ
                return (0, 0), 1
            return image.size, orientation
    except Exception:  # whatever pillow says of damaged headers and of huge images
        return (0, 0), 1


def describe_sizes(path: str, said: Sequence[int], decoded: Sequence[int]) -> str:
    """What to tell of an image whose size, (width, height), is another than is said."""
    return f'{path} is {decoded[0]}x{decoded[1]} when decoded, {said[0]}x{said[1]} in the annotation file'


def likely_cause(said: Sequence[int], decoded: Sequence[int]) -> str:
    """Why the size of an image, (width, height), is probably another than is said, and what to do."""
    if tuple(said) == tuple(decoded)[::-1]:
        return (
            'Width and height are swapped, probably by an EXIF rotation that was followed on one side only: turn the '
            'pixels themselves (mogrify -auto-orient) and export the annotations anew; if they were made on the pixels '
            "as stored, load those: color_type='color_ignore_orientation' for LoadImage in all pipelines"
        )
    ratios = decoded[0] / said[0], decoded[1] / said[1]
    if abs(ratios[0] / ratios[1] - 1) < SAME_SHAPE:
        return f'The images are copies {ratios[0]:.3g} times as large as those that were annotated: use those'
    return 'Other images than these were annotated, or parts of them'
