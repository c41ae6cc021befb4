"""Parts of a raster, with their labels, as they are read for an alignment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from projects.geodata.raster_files import Raster, open_band, open_raster
from projects.geodata.raster_values import check_one_band, value_meaning

from .edges import EdgeMaps

FINEST_M = 0.3  # a pixel is not smaller when buildings are placed
COARSEST_SEARCH_M = 0.6  # nor than this when lines are searched
FINER = 0.9  # times these: the image is taken as it is
CORE_PX = 1536  # side of a block, at most
AROUND_M = 40.0  # of a building beyond its centre that is seen


@dataclass(frozen=True)
class Source:
    """The image, and what else is looked at.

    Attributes:
        image: Its file.
        gsd_m: Ground sample distance at which it is read; None: its own.
        bands: As `open_raster` takes them.
        probabilities: Raster of probabilities of roof; None: none.
        values: What its values mean.
    """

    image: Path
    gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    probabilities: Path | None = None
    values: str | None = None


@dataclass(frozen=True)
class Block:
    """Part of a raster, with its labels.

    Attributes:
        number: From 0.
        place: (column, row) in the grid of blocks.
        window_px: Left, upper edge, width and height of what is read, in pixels of the raster as it is read.
        rows: (N,) Of the labels that lie here.
        polygons: (N,) In the raster's coordinate system.
        heights_m: (N,) NaN is unknown.
    """

    number: int
    place: tuple[int, int]
    window_px: tuple[int, int, int, int]
    rows: np.ndarray
    polygons: np.ndarray
    heights_m: np.ndarray


def cut_into_blocks(
    raster: Raster, polygons: np.ndarray, heights_m: np.ndarray, reach_m: float, core_px: int = CORE_PX
) -> list[Block]:
    """Blocks of equal size that have labels; each is read with so much around that all roofs are seen whole."""
    width, height = raster.size_px
    across, down = (max(int(np.ceil(side / core_px)), 1) for side in (width, height))
    margin_px = int(np.ceil((reach_m + AROUND_M) / raster.gsd_m()))
    inverse = ~raster.transform
    middles = shapely.get_coordinates(shapely.centroid(polygons))
    columns = np.clip((inverse.a * middles[:, 0] + inverse.c) * across / width, 0, across - 1).astype(int)
    rows = np.clip((inverse.e * middles[:, 1] + inverse.f) * down / height, 0, down - 1).astype(int)
    blocks: list[Block] = []
    for row in range(down):
        for column in range(across):
            own = np.flatnonzero((columns == column) & (rows == row))
            if not len(own):
                continue
            left, right = (round(width * edge / across) for edge in (column, column + 1))
            top, bottom = (round(height * edge / down) for edge in (row, row + 1))
            left, top = max(left - margin_px, 0), max(top - margin_px, 0)
            right, bottom = min(right + margin_px, width), min(bottom + margin_px, height)
            window_px = left, top, right - left, bottom - top
            blocks.append(Block(len(blocks), (column, row), window_px, own, polygons[own], heights_m[own]))
    return blocks


@dataclass(frozen=True)
class BlockImage:
    """The edges of a block, its labels in pixels, and what edges are of."""

    edges: EdgeMaps
    polygons_px: np.ndarray
    gsd_m: float
    rgb: np.ndarray
    valid: np.ndarray


def read_block(source: Source, block: Block, *, is_coarse: bool, with_probabilities: bool = False) -> BlockImage:
    """Read the edges of a block, of the image or of it and the probabilities.

    Args:
        source: The image.
        block: Of it.
        is_coarse: As lines are searched on, with pixels of at least `COARSEST_SEARCH_M`.
        with_probabilities: Look at these, too.
    """
    with open_raster(source.image, bands=source.bands, gsd_m=source.gsd_m) as raster:
        rgb, valid = raster.read(*block.window_px)
        gsd_m, transform = raster.gsd_m(), raster.window_transform(*block.window_px[:2])
        crs = raster.crs
    images = [rgb]
    if with_probabilities and source.probabilities is not None:
        images.append(_read_probabilities(source, transform, rgb.shape[:2], crs))
    scale = gsd_m / COARSEST_SEARCH_M if is_coarse and gsd_m < FINER * COARSEST_SEARCH_M else 1.0
    if scale < 1:
        size = tuple(max(round(side * scale), 1) for side in rgb.shape[1::-1])
        images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
        valid = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    inverse = ~transform
    polygons_px = shapely.transform(
        block.polygons,
        lambda xy: np.column_stack([inverse.a * xy[:, 0] + inverse.c, inverse.e * xy[:, 1] + inverse.f]) * scale,
    )
    return BlockImage(EdgeMaps(*images, valid=valid), polygons_px, gsd_m / scale, images[0], valid)


def _read_probabilities(source: Source, transform: Any, size_px: tuple[int, int], crs: str) -> np.ndarray:
    """(H, W) uint8 Probabilities of 0 to 255 on the pixels of a block; 0 where there are none.

    Raises:
        ValueError: The raster is in another coordinate system than the image, or its values mean nothing.
    """
    path = source.probabilities
    assert path is not None
    with open_band(path) as raster:
        check_one_band(raster, path)
        if raster.crs != crs:
            raise ValueError(f'{path} is in {raster.crs}, the image in {crs}; reproject it: gdalwarp -t_srs {crs} ...')
        meaning = value_meaning(raster, path, source.values)
        (left, top), (right, bottom) = (
            ~raster.transform @ (transform @ corner) for corner in ((0, 0), (size_px[1], size_px[0]))
        )
        column, row = int(np.floor(left)), int(np.floor(top))
        width, height = max(round(right - left), 1), max(round(bottom - top), 1)
        probabilities = np.zeros((height, width), np.float32)
        inside, values, valid = raster.read_values(column, row, width, height)
        probabilities[inside] = np.nan_to_num(meaning.probabilities(values[0], valid))
    return cv2.resize((probabilities * 255).astype(np.uint8), size_px[::-1], interpolation=cv2.INTER_LINEAR)
