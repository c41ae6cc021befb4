"""The share of each pixel that a shape covers, for anti-aliased painting."""

import cv2
import numpy as np
import shapely
from shapely import Geometry, box

SUPERSAMPLING = 8  # subpixels per pixel and axis
SUBPIXEL_BITS = 4  # fractional bits of the coordinates handed to OpenCV


def coverage(shape: Geometry, size: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """How much of each pixel a shape covers.

    Args:
        shape: In pixels; the image's upper left corner is (0, 0).
        size: (height, width) of the image.

    Returns:
        The rows and columns of the image around the shape, and the share of each of their pixels that is covered,
        shape (rows, columns), in 0–1. Both are empty if nothing is covered.
    """
    # OpenCV fills every subpixel that an edge touches, half a subpixel too far on average.
    shrunk = shape.buffer(-0.5 / SUPERSAMPLING, join_style='mitre')
    if not shrunk.intersects(box(0, 0, size[1], size[0])):
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0))
    x0, y0, x1, y1 = shape.bounds
    left, top = max(int(x0), 0), max(int(y0), 0)
    right, bottom = min(int(np.ceil(x1)), size[1]), min(int(np.ceil(y1)), size[0])
    rings = [np.asarray(ring.coords) for part in shapely.get_parts(shrunk) for ring in (part.exterior, *part.interiors)]
    # OpenCV puts integer coordinates at the centres of subpixels, hence the half.
    scaled = [((ring - (left, top)) * SUPERSAMPLING - 0.5) * 2**SUBPIXEL_BITS for ring in rings]
    cover = np.zeros(((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING), dtype=np.uint8)
    cv2.fillPoly(cover, [ring.round().astype(np.int32) for ring in scaled], 255, shift=SUBPIXEL_BITS)
    share = cv2.resize(cover, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return (slice(top, bottom), slice(left, right)), share / 255
