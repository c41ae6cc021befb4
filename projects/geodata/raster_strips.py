"""Rasters that are computed strip by strip: each strip is a file of its own until all of them are one GeoTIFF."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from .gdal import rasterio

TILE_PX = 256
CACHE_BYTES = 256 * 2**20
STRIP_CODEC = {'compress': 'zstd', 'zstd_level': 1}  # three times as fast as deflate; only this program reads strips
# Predictors make deflate faster and files a quarter smaller
CODEC = {'COMPRESS': 'DEFLATE', 'BIGTIFF': 'IF_SAFER', 'NUM_THREADS': 'ALL_CPUS'}
COG = {'driver': 'COG', 'BLOCKSIZE': str(TILE_PX), 'LEVEL': '1', 'PREDICTOR': 'YES'}
BAND_BY_BAND = {'driver': 'GTiff', 'ZLEVEL': '1', 'TILED': 'YES', 'INTERLEAVE': 'BAND'}
PREDICTORS = {'u': '2', 'f': '3'}  # of TIFF, by kind of number
FEW_BANDS = 4  # GDAL before 3.11 writes COGs pixel by pixel only: whoever reads one of 150 classes would read them all
GDAL_TYPES = {'uint8': 'Byte', 'uint16': 'UInt16', 'float32': 'Float32'}


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
    profile: dict[str, Any] = {'driver': 'GTiff', 'width': width, 'height': height, 'dtype': layer.dtype}
    profile |= {'count': len(layer.bands), 'tiled': True, 'blockxsize': TILE_PX, 'blockysize': TILE_PX}
    profile |= {'BIGTIFF': 'IF_SAFER', 'interleave': 'band', 'photometric': 'minisblack', 'sparse_ok': True}
    with (
        _raising(path),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        _quietly(rasterio.open, path, 'w', **profile, **STRIP_CODEC) as dataset,
    ):
        yield LayerFile(dataset)


def read_strip(path: Path, bounds: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values (B, h, w) and which pixels have data (h, w), of the parts of a strip between columns."""
    with _quietly(rasterio.open, path) as strip:
        for left, right in pairwise(bounds):
            window = rasterio.windows.Window(left, 0, right - left, strip.height)
            yield strip.read(window=window), strip.read_masks(1, window=window) > 0


def join_strips(
    path: Path,
    layer: RasterLayer,
    grid: RasterGrid,
    strips: list[tuple[int, Path | None]],
    has_mask: bool,
    tags: dict[str, str],
    advance: Callable[[int], None],
) -> None:
    """Write a cloud-optimised GeoTIFF (OGC 21-026) in constant memory; of many bands one with overviews, band by band.

    Args:
        path: The file to write; not atomic.
        layer: What it holds.
        grid: Where it lies.
        strips: First row and file of each strip, from top to bottom; None: it holds no data.
        has_mask: Whether the file says which pixels have data; False: all have.
        tags: Metadata.
        advance: Called with the number of rows that were written, when they all are: GDAL does not tell before.

    Raises:
        OSError: The disk is full, or a strip is broken.
    """
    mosaic = path.with_suffix('.vrt')
    try:
        mosaic.write_text(_mosaic(layer, grid, strips, has_mask), encoding='utf-8')
        with _raising(path), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            with _quietly(rasterio.open, mosaic, 'r+') as dataset:
                _describe(dataset, layer, grid)
                dataset.update_tags(**tags)
            _copy(mosaic, path, layer)
            _check_readable(path)
    finally:
        mosaic.unlink(missing_ok=True)
    advance(grid.height)


def _copy(mosaic: Path, path: Path, layer: RasterLayer) -> None:
    """Write a file with overviews from a virtual data set."""
    if len(layer.bands) <= FEW_BANDS:
        _quietly(rasterio.shutil.copy, mosaic, path, OVERVIEW_RESAMPLING=layer.overviews, **CODEC, **COG)
        return
    predictor = PREDICTORS[np.dtype(layer.dtype).kind]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS='ALL_CPUS'):
        _quietly(rasterio.shutil.copy, mosaic, path, PREDICTOR=predictor, **CODEC, **BAND_BY_BAND)
        _quietly(rasterio.open, path).close()  # 'r+' has a TypeError for what is no image
        with _quietly(rasterio.open, path, 'r+') as out:
            side = max(out.width, out.height)
            factors = [2**level for level in range(1, 32) if side > TILE_PX * 2 ** (level - 1)]
            out.build_overviews(factors, rasterio.enums.Resampling[layer.overviews])


def _mosaic(layer: RasterLayer, grid: RasterGrid, strips: list[tuple[int, Path | None]], has_mask: bool) -> str:
    """All strips as one virtual data set (https://gdal.org/drivers/raster/vrt.html)."""
    ends = [row for row, _ in strips[1:]] + [grid.height]
    kind = GDAL_TYPES[layer.dtype]
    root = ElementTree.Element('VRTDataset', rasterXSize=str(grid.width), rasterYSize=str(grid.height))

    def add_band(parent: ElementTree.Element, source: str, dtype: str, **attributes: Any) -> None:
        band = ElementTree.SubElement(parent, 'VRTRasterBand', dataType=dtype, **attributes)
        for (row, file), end in zip(strips, ends, strict=True):
            if file is not None:
                part = ElementTree.SubElement(band, 'SimpleSource')
                ElementTree.SubElement(part, 'SourceFilename', relativeToVRT='0').text = str(file.absolute())
                ElementTree.SubElement(part, 'SourceBand').text = source
                size: dict[str, Any] = {'xSize': str(grid.width), 'ySize': str(end - row)}
                ElementTree.SubElement(part, 'SrcRect', xOff='0', yOff='0', **size)
                ElementTree.SubElement(part, 'DstRect', xOff='0', yOff=str(row), **size)

    for number in range(1, len(layer.bands) + 1):
        add_band(root, str(number), kind, band=str(number))
    if has_mask:
        add_band(ElementTree.SubElement(root, 'MaskBand'), 'mask,1', 'Byte')
    return ElementTree.tostring(root, encoding='unicode')


def _describe(dataset: Any, layer: RasterLayer, grid: RasterGrid) -> None:
    """Say of a virtual data set what its bands are and where it lies."""
    for number, description in enumerate(layer.bands, 1):
        dataset.set_band_description(number, description)
    if layer.colors:
        dataset.write_colormap(1, {value: (*color, 255) for value, color in enumerate(layer.colors)})
    if grid.gcps:
        dataset.gcps = grid.gcps, grid.crs
    elif grid.crs is not None:
        dataset.crs = grid.crs
    if grid.transform is not None:
        dataset.transform = grid.transform
    if grid.rpcs is not None:
        dataset.rpcs = grid.rpcs


@contextmanager
def _raising(path: Path) -> Iterator[None]:
    """Make an OSError of all that GDAL raises."""
    try:
        yield
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, SystemError) as error:  # no public names
        raise OSError(f'cannot write {path}: {error.__cause__ or error}; is the disk full?') from error


def _check_readable(path: Path) -> None:
    """Read what was written last: rasterio closes a file without an exception when the end does not fit on the disk."""
    with _quietly(rasterio.open, path) as source:
        levels = len(source.overviews(1))
    for options in [{}, *({'overview_level': level} for level in range(levels))]:
        with _quietly(rasterio.open, path, **options) as source:
            last = max(source.height - source.block_shapes[0][0], 0)
            window = rasterio.windows.Window(0, last, source.width, source.height - last)
            source.read(window=window)
            source.read_masks(1, window=window)


def _quietly(function: Callable, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        return function(*args, **options)
