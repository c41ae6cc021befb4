"""The web-mercator tile grid: which ground a tile covers, and how large its pixels are.

Positions are in *grid units*: the square web-mercator world is [0, 1] x [0, 1], with x growing eastward from
180° W and y growing southward from 85.05° N. Tile (zoom, x, y) then covers [x, x + 1] x [y, y + 1] / 2**zoom.

Source of the formulas: OGC Two Dimensional Tile Matrix Set 2.0, `WebMercatorQuad` (annex D.1), and the spherical
Mercator projection, Snyder, Map Projections: A Working Manual (1987), equations 7-1, 7-2 and 7-4.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

EARTH_RADIUS_M = 6378137.0  # WGS 84 semi-major axis, the radius of the web-mercator sphere
MAX_LATITUDE_DEG = math.degrees(math.atan(math.sinh(math.pi)))  # 85.0511°: where the world becomes a square
MAX_ZOOM = 30

TILE_PATHS = tuple(  # zoom/x/y and zoom-x-y; OAM-x-y-zoom, as OpenAerialMap's tiles are collected in fAIr's data
    re.compile(rf'(?:.*/)?{name}\.(?:png|jpe?g|webp|tiff?)', re.IGNORECASE)
    for name in (r'(?P<zoom>\d+)([-/])(?P<x>\d+)\2(?P<y>\d+)', r'OAM-(?P<x>\d+)-(?P<y>\d+)-(?P<zoom>\d+)')
)
IMAGE_SUFFIXES = frozenset({'.png', '.jpg', '.jpeg', '.webp', '.tif', '.tiff'})


class Tile(NamedTuple):
    """One cell of the grid, numbered from the north-west corner (XYZ; TMS numbers y from the south)."""

    zoom: int
    x: int
    y: int

    def bounds(self) -> tuple[float, float, float, float]:
        """West, north, east and south edge in grid units (north < south)."""
        cells = 2**self.zoom
        return self.x / cells, self.y / cells, (self.x + 1) / cells, (self.y + 1) / cells

    def ancestor(self, zoom: int) -> 'Tile':
        """The tile of the coarser (or same) `zoom` that covers this one."""
        shift = self.zoom - zoom
        return Tile(zoom, self.x >> shift, self.y >> shift)

    def gsd_m(self, width_px: int) -> float:
        """Ground sample distance in metres at the tile's centre, for an image `width_px` pixels wide."""
        y = (self.y + 0.5) / 2**self.zoom
        cos_latitude = 1 / math.cosh(math.pi * (1 - 2 * y))
        return 2 * math.pi * EARTH_RADIUS_M * cos_latitude / (2**self.zoom * width_px)


def to_grid(lon_lat_deg: np.ndarray) -> np.ndarray:
    """Longitude and latitude in degrees (N, 2) to grid units (N, 2); latitudes are held to ±85.0511°."""
    longitude = lon_lat_deg[:, 0]
    latitude = np.radians(np.clip(lon_lat_deg[:, 1], -MAX_LATITUDE_DEG, MAX_LATITUDE_DEG))
    return np.stack([longitude / 360 + 0.5, 0.5 - np.arcsinh(np.tan(latitude)) / (2 * math.pi)], axis=1)


def to_lon_lat_deg(grid: np.ndarray) -> np.ndarray:
    """Grid units (N, 2) to longitude and latitude in degrees (N, 2)."""
    latitude = np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * grid[:, 1]))))
    return np.stack([360 * (grid[:, 0] - 0.5), latitude], axis=1)


def find_tiles(folder: Path) -> tuple[dict[Tile, Path], list[Path]]:
    """Find the tile images in `folder` and below it, named `zoom-x-y.png`, `zoom/x/y.png` or `OAM-x-y-zoom.png`.

    Args:
        folder: Folder of png, jpg, webp or tif images.

    Returns:
        The tiles with their files, sorted by zoom, x and y; and the images whose path names no tile.

    Raises:
        FileNotFoundError: `folder` does not exist or is no folder.
        ValueError: It holds no tile, or two files for one tile.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'the tiles folder {folder} does not exist or is not a folder')
    tiles: dict[Tile, Path] = {}
    unnamed = []
    for path in sorted(path for path in folder.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()):
        name = path.relative_to(folder).as_posix()
        match = next(filter(None, (pattern.fullmatch(name) for pattern in TILE_PATHS)), None)
        tile = Tile(*(int(match[part]) for part in Tile._fields)) if match else None
        if tile is None or tile.zoom > MAX_ZOOM or max(tile.x, tile.y) >= 2**tile.zoom:
            unnamed.append(path)
        elif tile in tiles:
            raise ValueError(f'two files for one tile: {tiles[tile]} and {path}; remove one of them')
        else:
            tiles[tile] = path
    if not tiles:
        seen = f'{len(unnamed)} images with other names, such as {unnamed[0].name}' if unnamed else 'no images'
        raise ValueError(
            f'no web-mercator tile in {folder} ({seen}): expected names like 20-619212-523272.png, '
            '20/619212/523272.png (zoom, x, y) or OAM-619212-523272-20.png (png, jpg, webp or tif)'
        )
    return dict(sorted(tiles.items())), unnamed
