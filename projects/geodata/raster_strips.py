"""Rasters that are computed strip by strip: each strip is a file of its own until all of them are one GeoTIFF."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .gdal import rasterio

TILE_PX = 256
CHUNK_BYTES = 64 * 2**20  # read, and written, at once when strips become one file
CACHE_BYTES = 256 * 2**20
STRIP_CODEC = {'compress': 'zstd', 'zstd_level': 1}  # three times as fast as deflate; only this program reads strips
PREDICTORS = {'u': 2, 'f': 3}  # of TIFF, by kind of number; they make deflate faster and files a quarter smaller


@dataclass(frozen=True)
class RasterLayer:
    """What a raster holds.

    Attributes:
        dtype: Of its pixels: 'uint8', 'uint16' or 'float32'.
        bands: Their descriptions.
        overviews: How overviews are computed: 'average', or 'mode' for labels.
        colors: RGB of the values 0, 1, ... of a band of labels, uint8 alone; (): none.
    """

    dtype: str
    bands: tuple[str, ...]
    overviews: str = 'average'
    colors: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class RasterGrid:
    """Where a raster lies: its size, and what places it for rasterio (None: nothing, it is known in pixels alone).

    Attributes:
        width: In pixels.
        height: In pixels.
        crs: Coordinate system, of the geotransform or else of the control points.
        transform: Geotransform.
        gcps: Ground control points.
        rpcs: Rational polynomial coefficients.
    """

    width: int
    height: int
    crs: Any = None
    transform: Any = None
    gcps: Any = None
    rpcs: Any = None

    @classmethod
    def of(cls, dataset: Any) -> 'RasterGrid':
        """That of an open data set."""
        size = dataset.width, dataset.height
        if not dataset.transform.is_identity:
            return cls(*size, dataset.crs, dataset.transform)
        points, crs = dataset.gcps
        return cls(*size, crs if points else dataset.crs, None, points or None, dataset.rpcs)


class LayerFile:
    """A file that is being written, window by window."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def write(self, column: int, row: int, bands: np.ndarray, valid: np.ndarray | None) -> None:
        """Write (B, h, w) values, and which of these pixels have data, (h, w) boolean; None: the file has no mask."""
        window = rasterio.windows.Window(column, row, bands.shape[2], bands.shape[1])
        self._dataset.write(bands, window=window)
        if valid is not None:
            self._dataset.write_mask(valid, window=window)


@contextmanager
def create_strip(path: Path, layer: RasterLayer, width: int, height: int) -> Iterator[LayerFile]:
    """Write one strip of a layer, quickly; windows that are never written have no data."""
    grid = RasterGrid(width, height)
    with _raising(path), _created(path, layer, grid, sparse_ok=True, **STRIP_CODEC) as dataset:
        yield LayerFile(dataset)


def read_strip(path: Path, bounds: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values (B, h, w) and which pixels have data (h, w), of the parts of a strip between columns."""
    with _OpenStrips() as opened:
        for left, right in pairwise(bounds):
            yield opened.read(path, rasterio.windows.Window(left, 0, right - left, opened.height(path)))


def join_strips(
    path: Path,
    layer: RasterLayer,
    grid: RasterGrid,
    strips: list[tuple[int, Path | None]],
    has_mask: bool,
    tags: dict[str, str],
    advance: Callable[[int], None],
) -> None:
    """Write a tiled, compressed GeoTIFF with overviews, in constant memory.

    Args:
        path: The file to write; not atomic.
        layer: What it holds.
        grid: Where it lies.
        strips: First row and file of each strip, from top to bottom; None: it holds no data.
        has_mask: Whether the file says which pixels have data; False: all have.
        tags: Metadata.
        advance: Called with the number of rows that were written.

    Raises:
        OSError: The disk is full, or a strip is broken.
    """
    rows_px = TILE_PX * len(layer.bands) * np.dtype(layer.dtype).itemsize
    step = max(CHUNK_BYTES // rows_px // TILE_PX, 1) * TILE_PX
    codec = {'compress': 'deflate', 'zlevel': 1, 'predictor': PREDICTORS[np.dtype(layer.dtype).kind]}
    placed = list(zip(strips, [row for row, _ in strips[1:]] + [grid.height], strict=True))
    with (
        _raising(path),
        rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES),
        _created(path, layer, grid, num_threads='all_cpus', **codec) as out,
        _OpenStrips() as opened,
    ):
        out.update_tags(**tags)
        target = LayerFile(out)
        for top in range(0, grid.height, TILE_PX):
            bottom = min(top + TILE_PX, grid.height)
            touched = [(*strip, end) for strip, end in placed if strip[0] < bottom and end > top]
            opened.keep([file for _, file, _ in touched])
            for left in range(0, grid.width, step):
                shape = bottom - top, min(step, grid.width - left)
                bands, valid = np.zeros((len(layer.bands), *shape), layer.dtype), np.zeros(shape, dtype=bool)
                for row, file, end in touched:
                    if file is not None:
                        rows = slice(max(row, top), min(end, bottom))
                        window = rasterio.windows.Window(left, rows.start - row, shape[1], rows.stop - rows.start)
                        inside = slice(rows.start - top, rows.stop - top)
                        bands[:, inside], valid[inside] = opened.read(file, window)
                target.write(left, top, bands, valid if has_mask else None)
            advance(bottom - top)
    factors = [2**level for level in range(1, 32) if max(grid.width, grid.height) > TILE_PX * 2 ** (level - 1)]
    options = {'GDAL_CACHEMAX': CACHE_BYTES, 'GDAL_NUM_THREADS': 'ALL_CPUS'}
    with _raising(path), rasterio.Env(**options):
        _quietly(rasterio.open, path).close()  # 'r+' has a TypeError for what is no image
        with _quietly(rasterio.open, path, 'r+') as out:  # reads the whole file
            out.build_overviews(factors, rasterio.enums.Resampling[layer.overviews])
        _check_readable(path, len(factors))


class _OpenStrips(ExitStack):
    """Strips that are open as long as they are needed."""

    def __init__(self) -> None:
        super().__init__()
        self._datasets: dict[Path, Any] = {}
        self.callback(self.keep, [])

    def keep(self, files: list[Path | None]) -> None:
        for file in [file for file in self._datasets if file not in files]:
            self._datasets.pop(file).close()

    def height(self, file: Path) -> int:
        return self._open(file).height

    def read(self, file: Path, window: Any) -> tuple[np.ndarray, np.ndarray]:
        dataset = self._open(file)
        return dataset.read(window=window), dataset.read_masks(1, window=window) > 0

    def _open(self, file: Path) -> Any:
        if file not in self._datasets:
            self._datasets[file] = _quietly(rasterio.open, file)
        return self._datasets[file]


@contextmanager
def _created(path: Path, layer: RasterLayer, grid: RasterGrid, **codec: Any) -> Iterator[Any]:
    profile: dict[str, Any] = {'driver': 'GTiff', 'width': grid.width, 'height': grid.height, 'dtype': layer.dtype}
    profile |= {'count': len(layer.bands), 'tiled': True, 'blockxsize': TILE_PX, 'blockysize': TILE_PX}
    profile |= {'BIGTIFF': 'IF_SAFER', 'interleave': 'band', 'photometric': 'minisblack', **codec}
    placed = {key: getattr(grid, key) for key in ('crs', 'transform', 'gcps', 'rpcs')}
    profile |= {key: value for key, value in placed.items() if value is not None}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), _quietly(rasterio.open, path, 'w', **profile) as dataset:
        for number, description in enumerate(layer.bands, 1):
            dataset.set_band_description(number, description)
        if layer.colors:
            dataset.write_colormap(1, {value: (*color, 255) for value, color in enumerate(layer.colors)})
        yield dataset


@contextmanager
def _raising(path: Path) -> Iterator[None]:
    """Make an OSError of all that GDAL raises."""
    try:
        yield
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError) as error:  # the latter has no public name
        raise OSError(f'cannot write {path}: {error.__cause__ or error}; is the disk full?') from error


def _check_readable(path: Path, num_overviews: int) -> None:
    """Read what was written last: rasterio closes a file without an exception when the end does not fit on the disk."""
    for options in [{'overview_level': level} for level in range(num_overviews)] or [{}]:
        with _quietly(rasterio.open, path, **options) as source:
            for _, window in source.block_windows(1):
                source.read(window=window)
                source.read_masks(1, window=window)


def _quietly(function: Callable, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        return function(*args, **options)
