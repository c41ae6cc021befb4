"""A picture of many tiles at once, their labels outlined in the colours of their classes of height."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from projects.reporting.palette import bright

from ...height_classes import HeightClasses

COLUMNS, MAX_ROWS, GAP_PX, LEGEND_PX = 6, 4, 4, 28
MAX_TILE_PX = 384


def sheet_indices(num_tiles: int) -> np.ndarray:
    """Which tiles of a split go onto its sheet: evenly spread, as many as there is room for."""
    return np.unique(np.linspace(0, num_tiles - 1, min(num_tiles, COLUMNS * MAX_ROWS)).astype(int))


def outlined(
    image: np.ndarray, instances: np.ndarray, instance_heights_m: np.ndarray, classes: HeightClasses
) -> np.ndarray:
    """Draws the borders of the label's buildings.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: (H, W) Numbers of buildings from 1; 0 is none.
        instance_heights_m: (N + 1,) Height of each number, that of 0 unused; NaN is unknown.
        classes: The classes of height.

    Returns:
        (h, w, 3) uint8, no larger than `MAX_TILE_PX`.
    """
    scale = min(1.0, MAX_TILE_PX / max(image.shape[:2]))
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ids = cv2.resize(instances.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
    border = ids != cv2.erode(ids, np.ones((3, 3), dtype=np.uint8), borderType=cv2.BORDER_REPLICATE)
    picture[border] = class_colors(classes)[classes.index(instance_heights_m)][ids[border]]
    return picture


def write_sheet(path: Path, pictures: Sequence[np.ndarray], classes: HeightClasses) -> None:
    """Lays pictures of equal size side by side over a legend, and writes them as PNG.

    Args:
        path: The file.
        pictures: At least one.
        classes: For the legend.
    """
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    sheet = np.full((rows * (height + GAP_PX) + LEGEND_PX, columns * (width + GAP_PX) - GAP_PX, 3), 30, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + GAP_PX), number % columns * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = picture
    left = 8
    for name, color in zip(classes.names_with_unknown, class_colors(classes).tolist(), strict=True):
        cv2.putText(sheet, name, (left, len(sheet) - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
        left += cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] + 20
    Image.fromarray(sheet).save(path)


def class_colors(classes: HeightClasses) -> np.ndarray:
    """(C, 3) uint8 The colour of each of `names_with_unknown`, to be seen on images."""
    return np.array([bright(color) for color in classes.colors.values()], dtype=np.uint8)
