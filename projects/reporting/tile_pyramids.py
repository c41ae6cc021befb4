"""A picture as a pyramid of tiles, as web maps have them, that together stay below a size."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import cv2
import numpy as np
from PIL import Image

TILE_PX = 512
QUALITIES = (80, 55, 30)  # of WebP, 0 to 100; the finest levels have the best that still fits
CHUNK_ROWS = 1024  # halved at once; even


@dataclass(frozen=True)
class TilePyramid:
    """Tiles of `TILE_PX` x `TILE_PX` pixels; those without any visible pixel are left out.

    Attributes:
        tiles: WebP in base64, by 'level/column/row'. A pixel of level n stands for 2**n x 2**n pixels of the raster.
        finest: The lowest level that there is.
        coarsest: The highest one, which is a single tile.
    """

    tiles: dict[str, str]
    finest: int
    coarsest: int

    @property
    def size_bytes(self) -> int:
        """Of all tiles, as they stand in a page."""
        return sum(map(len, self.tiles.values()))


def build_pyramid(rgba: np.ndarray, level: int, max_bytes: float) -> TilePyramid:
    """Cut a picture into tiles, from the coarsest level to the finest whose tiles stay below a size together.

    Args:
        rgba: (H, W, 4) uint8, at least one pixel.
        level: Of the picture: each of its pixels stands for 2**level x 2**level of the raster's.
        max_bytes: Of all tiles in base64; the coarsest level is there whatever its size.
    """
    levels = [rgba]
    while max(levels[-1].shape[:2]) > TILE_PX:
        levels.append(halved(levels[-1]))
    coarsest = level + len(levels) - 1
    finest, tiles = coarsest, dict(_encoded(levels.pop(), coarsest, QUALITIES[0]))
    while levels:
        left, picture = max_bytes - sum(map(len, tiles.values())), levels.pop()
        fitting = (_encoded_below(picture, finest - 1, quality, left) for quality in QUALITIES)
        finer = next((one for one in fitting if one is not None), None)
        if finer is None:
            break
        tiles |= finer
        finest -= 1
    return TilePyramid(tiles, finest, coarsest)


def halved(rgba: np.ndarray) -> np.ndarray:
    """Every 2 x 2 pixels as one, whose colour is the mean of what is seen of them; beyond the border nothing is.

    Args:
        rgba: (H, W, 4) uint8.

    Returns:
        (ceil(H / 2), ceil(W / 2), 4) uint8.
    """
    height, width = (-(-side // 2) for side in rgba.shape[:2])
    result = np.empty((height, width, 4), dtype=np.uint8)
    for top in range(0, rgba.shape[0], CHUNK_ROWS):
        chunk = rgba[top : top + CHUNK_ROWS]
        odd_rows, odd_columns = chunk.shape[0] % 2, chunk.shape[1] % 2
        if odd_rows or odd_columns:
            chunk = np.pad(chunk, ((0, odd_rows), (0, odd_columns), (0, 0)), mode='edge')
        rows = slice(top // 2, top // 2 + chunk.shape[0] // 2)
        size = chunk.shape[1] // 2, chunk.shape[0] // 2
        if chunk[..., 3].min() == 255:
            result[rows] = cv2.resize(chunk, size, interpolation=cv2.INTER_AREA)
            continue
        weights = chunk[..., 3:].astype(np.float32)
        seen = cv2.resize(
            np.concatenate([chunk[..., :3] * weights, weights], axis=2), size, interpolation=cv2.INTER_AREA
        )
        seen[..., :3] = seen[..., :3] / np.maximum(seen[..., 3:], 1e-6)
        result[rows] = np.rint(seen).astype(np.uint8)
    return result


def _encoded_below(rgba: np.ndarray, level: int, quality: int, max_bytes: float) -> dict[str, str] | None:
    """The tiles of a level by their names; None as soon as they are too large together."""
    tiles: dict[str, str] = {}
    for name, tile in _encoded(rgba, level, quality):
        tiles[name] = tile
        max_bytes -= len(tile)
        if max_bytes < 0:
            return None
    return tiles


def _encoded(rgba: np.ndarray, level: int, quality: int) -> Iterator[tuple[str, str]]:
    """Names and tiles of a level, encoded by several threads, a few ahead of what is asked for."""
    corners = ((x, y) for y in range(0, rgba.shape[0], TILE_PX) for x in range(0, rgba.shape[1], TILE_PX))
    with ThreadPoolExecutor() as threads:
        while some := list(islice(corners, 16)):
            parts = [rgba[y : y + TILE_PX, x : x + TILE_PX] for x, y in some]
            for (x, y), tile in zip(some, threads.map(partial(_encode_tile, quality=quality), parts), strict=True):
                if tile:
                    yield f'{level}/{x // TILE_PX}/{y // TILE_PX}', tile


def _encode_tile(part: np.ndarray, quality: int) -> str:
    """A tile of full size in base64; '' if nothing of it is seen."""
    if not part[..., 3].any():
        return ''
    height, width = part.shape[:2]
    if height < TILE_PX or width < TILE_PX:  # the colour goes on unseen: a sharp end would blur what is beside it
        part = np.pad(part, ((0, TILE_PX - height), (0, TILE_PX - width), (0, 0)), mode='edge')
        part[height:, :, 3] = part[:, width:, 3] = 0
    buffer = io.BytesIO()
    is_opaque = part[..., 3].min() == 255
    picture = Image.fromarray(np.ascontiguousarray(part[..., :3] if is_opaque else part))
    picture.save(buffer, 'WEBP', quality=quality, method=2)
    return base64.b64encode(buffer.getvalue()).decode()
