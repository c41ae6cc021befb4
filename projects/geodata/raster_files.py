"""Georeferenced images: read window by window as RGB, written as GeoTIFF; and polygons as pixels."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.coordinate_systems import metres_per_unit, parse_crs
from projects.geodata.gdal import rasterio
from projects.geodata.raster_rules import (
    PERCENTILES,
    MaskFlags,
    UnreadableWindowError,
    check_placed,
    choose_bands,
    full_range,
    placement_notes,
    resampled,
    value_limits,
)
from projects.geodata.raster_writing import rasterise, write_geotiff

__all__ = ['Raster', 'UnreadableWindowError', 'open_band', 'open_raster', 'rasterio', 'rasterise', 'write_geotiff']

CACHE_BYTES = 256 * 2**20  # not 5% of memory, GDAL's default; as megabytes it would slow rasterize() down 30 times
OPAQUE = 128  # of 255: a pixel that is at least half opaque has data


@dataclass
class Raster:
    """An open image that is read window by window; north-up in a projected coordinate system, unless taken as stored.

    Attributes:
        dataset: The open data set of rasterio, or a virtual one that resamples it as it is read.
        bands: Numbers of the bands that are read as red, green and blue (from 1); one of them: grey.
        limits: Values that become 0 and 255; None: 8-bit values are kept.
        notes: What was decided on opening, in words.
    """

    dataset: Any
    bands: tuple[int, ...]
    limits: tuple[float, float] | None
    notes: list[str]

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.dataset.width, self.dataset.height

    @property
    def crs(self) -> str:
        """Coordinate system, as 'EPSG:...' where it has a number, else as WKT."""
        return parse_crs(self.dataset.crs.to_wkt()).to_string()

    @property
    def transform(self) -> Any:
        """From (column, row) to (x, y) in `crs`."""
        return self.dataset.transform

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in `crs`."""
        return tuple(self.dataset.bounds)

    def gsd_m(self, column: float | None = None, row: float | None = None) -> float:
        """Ground sample distance in metres (mean of both axes) at a pixel, by default at the centre."""
        width, height = self.size_px
        place = self.transform @ (width / 2 if column is None else column, height / 2 if row is None else row)
        scale = metres_per_unit(self.crs, np.array([place]))[0]
        return float(np.mean(scale * (self.transform.a, -self.transform.e)))

    def window_transform(self, column: int, row: int) -> Any:
        """From (column, row) within a window that starts here to (x, y) in `crs`."""
        return self.transform @ rasterio.Affine.translation(column, row)

    def read(self, column: int, row: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one window; it may reach beyond the image.

        Args:
            column: Left edge in pixels.
            row: Upper edge in pixels.
            width: In pixels.
            height: In pixels.

        Returns:
            RGB (height, width, 3) uint8, black without data; and which pixels have data, boolean (height, width).

        Raises:
            UnreadableWindowError: This part of the file is broken.
        """
        rgb = np.zeros((height, width, 3), dtype=np.uint8)
        valid = np.zeros((height, width), dtype=bool)
        inside, values, has_data = self.read_values(column, row, width, height)
        valid[inside] = has_data
        rgb[inside] = self._to_eight_bits(values).transpose(1, 2, 0)
        rgb[~valid] = 0
        return rgb, valid

    def read_values(
        self, column: int, row: int, width: int, height: int
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """Read the part of a window that lies inside the image, as stored.

        Args:
            column: Left edge in pixels.
            row: Upper edge in pixels.
            width: In pixels.
            height: In pixels.

        Returns:
            Rows and columns of the window that lie inside the image, their bands (B, h, w), and which of these pixels
            have data (h, w).

        Raises:
            UnreadableWindowError: This part of the file is broken.
        """
        left, right = np.clip((column, column + width), 0, self.size_px[0]).tolist()
        top, bottom = np.clip((row, row + height), 0, self.size_px[1]).tolist()
        if right <= left or bottom <= top:
            kind = self.dataset.dtypes[self.bands[0] - 1]
            return np.s_[0:0, 0:0], np.zeros((len(self.bands), 0, 0), dtype=kind), np.zeros((0, 0), dtype=bool)
        window = rasterio.windows.Window(left, top, right - left, bottom - top)
        try:
            values = self.dataset.read(self.bands, window=window)
            valid = self._read_valid(window)
        except rasterio.errors.RasterioError as error:
            raise UnreadableWindowError(str(error.__cause__ or error)) from error
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(axis=0)
        return np.s_[top - row : bottom - row, left - column : right - column], values, valid

    def _read_valid(self, window: Any) -> np.ndarray:
        flags = self.dataset.mask_flag_enums[self.bands[0] - 1]
        if MaskFlags.all_valid in flags:
            return np.ones((window.height, window.width), dtype=bool)
        bands = self.bands[:1] if MaskFlags.per_dataset in flags else self.bands  # a no-data value masks each band
        return self.dataset.read_masks(bands, window=window).max(axis=0) >= OPAQUE

    def _to_eight_bits(self, values: np.ndarray) -> np.ndarray:
        if self.limits is not None:
            low, high = self.limits
            scaled = (np.nan_to_num(values.astype(np.float32), posinf=high, neginf=low) - low) / (high - low)
            values = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
        return np.broadcast_to(values, (3, *values.shape[1:])) if len(values) == 1 else values


@contextmanager
def open_raster(
    path: str | Path,
    *,
    bands: tuple[int, ...] | None = None,
    gsd_m: float | None = None,
    as_stored: bool = False,
    cached_rows: int = 0,
) -> Iterator[Raster]:
    """Open an image that GDAL reads (GeoTIFF, VRT, JPEG 2000, ...) as RGB, lazily.

    One band is read as grey; as red, green and blue those that the file calls so, else the first three. Eight-bit
    values are kept, all others scaled so that the percentiles `PERCENTILES` of a sample of the bands together become 0
    and 255. Pixels have data where the no-data value, mask or alpha band of the file says so. An image in longitude and
    latitude is resampled, as it is read, to its UTM zone, since its pixels are not square on the ground.

    Args:
        path: The image.
        bands: One or three numbers, from 1, instead of that rule.
        gsd_m: Ground sample distance to resample to; None: as it is.
        as_stored: Take any image pixel by pixel, wherever it lies and if it has no coordinate system; `notes` say so.
            Where no sampled pixel of more than 8 bits has data, the full range of the data type becomes 0 to 255.
        cached_rows: Rows that are read in full width again and again; the cache grows to hold them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, has no coordinate system, is not north-up, or has not the bands that are needed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'the image {path} does not exist')
    if gsd_m is not None and (as_stored or not gsd_m > 0):
        raise ValueError(f'gsd_m = {gsd_m}: expected metres per pixel, more than 0, and not as_stored')
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES))
        source = stack.enter_context(_open(path))
        if not as_stored:
            check_placed(source, path)
        chosen, note = choose_bands(source, path, bands)
        raster = Raster(source, chosen, None, [note])
        if as_stored:
            raster.notes += placement_notes(source)
        elif gsd_m is not None or source.crs.is_geographic:
            raster.dataset = stack.enter_context(resampled(source, gsd_m))
            raster.notes.append(f'resampled to {raster.crs}, {raster.transform.a:.4g} map units per pixel')
        row_bytes = source.width * sum(np.dtype(kind).itemsize for kind in source.dtypes)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES + cached_rows * row_bytes))
        if source.dtypes[chosen[0] - 1] != 'uint8':
            _choose_limits(raster, path, as_stored)
        yield raster


def _choose_limits(raster: Raster, path: Path, as_stored: bool) -> None:
    kind = raster.dataset.dtypes[raster.bands[0] - 1]
    rule = f'percentiles {PERCENTILES}'
    try:
        low, high = value_limits(raster, path)
    except ValueError:
        if not as_stored:
            raise
        low, high = full_range(kind)
        rule = 'no sampled pixel has data; the full range'
    raster.limits = low, high
    raster.notes.append(f'{kind} scaled: {rule} = {low:g}, {high:g} to 0, 255')


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)  # said by the rules, with the remedy
        try:
            source = rasterio.open(path)
        except rasterio.errors.RasterioError as error:
            raise ValueError(f'{path} is no image that GDAL reads: {error}') from error
    with source:
        yield source


@contextmanager
def open_band(path: str | Path) -> Iterator[Raster]:
    """Open the first band of a placed, north-up raster lazily, in its own coordinate system, for `read_values`.

    Args:
        path: Any file that GDAL reads as an image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, has no coordinate system, or is not north-up.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'the raster {path} does not exist')
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), ExitStack() as stack:
        source = stack.enter_context(_open(path))
        check_placed(source, path)
        yield Raster(source, (1,), None, [f'band 1 of {source.count}, as stored'])
