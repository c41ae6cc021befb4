"""Georeferenced images: read window by window as RGB, written as GeoTIFF; and polygons as pixels."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.pixels.bit_depth import eight_bits

from .coordinate_systems import meters_per_unit, parse_crs
from .gdal import rasterio
from .raster_data import DataRule, NoDataError, UnreadableWindowError, find_data_rule, read_bands
from .raster_resampling import fit_to_resample, resampled
from .raster_rules import (
    UnplacedError,
    check_placed,
    choose_bands,
    choose_limits,
    is_north_up,
    placement_notes,
)
from .raster_sources import HTTP_OPTIONS, SAFE, UnreachableError, check_sources
from .raster_writing import rasterize, write_geotiff

__all__ = [
    'NoDataError',
    'Raster',
    'UnplacedError',
    'UnreachableError',
    'UnreadableWindowError',
    'open_band',
    'open_raster',
    'rasterio',
    'rasterize',
    'write_geotiff',
]

CACHE_BYTES = 256 * 2**20  # not 5% of memory, GDAL's default; as megabytes it would slow rasterize() down 30 times
MAX_CACHE_BYTES = 4 * 2**30


@dataclass
class Raster:
    """An open image that is read window by window; north-up in a projected coordinate system, unless taken as stored.

    Attributes:
        dataset: The open data set of rasterio, or a virtual one that resamples it as it is read.
        bands: Numbers of the bands that are read as red, green and blue (from 1); one of them: grey.
        rule: Which pixels have data.
        notes: What was decided on opening, in words.
        limits: Values that become 0 and 255, numbers or arrays (B, 1, 1); None: 8-bit values are kept.
        is_remote: Whether something of it is read from a server, which may not answer.
    """

    dataset: Any
    bands: tuple[int, ...]
    rule: DataRule
    notes: list[str]
    limits: tuple[Any, Any] | None = None
    is_remote: bool = False

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
        a, _, c, _, e, f = self.dataset.transform[:6]
        return rasterio.Affine(a, 0, c, 0, e, f) if is_north_up(self.dataset) else self.dataset.transform

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in `crs`."""
        return tuple(self.dataset.bounds)

    def gsd_m(self, column: float | None = None, row: float | None = None) -> float:
        """Ground sample distance in metres (mean of both axes) at a pixel, by default at the centre."""
        width, height = self.size_px
        place = self.transform @ (width / 2 if column is None else column, height / 2 if row is None else row)
        scale = meters_per_unit(self.crs, np.array([place]))[0]
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
            kind = np.result_type(*(self.dataset.dtypes[band - 1] for band in self.bands))
            return np.s_[0:0, 0:0], np.zeros((len(self.bands), 0, 0), dtype=kind), np.zeros((0, 0), dtype=bool)
        window = rasterio.windows.Window(left, top, right - left, bottom - top)
        try:
            values = read_bands(self.dataset, self.bands, window)
            valid = self.rule.read(self.dataset, window, values)
        except rasterio.errors.RasterioError as error:
            if self.is_remote:
                raise UnreachableError(f'{self.dataset.name}: the server stopped answering: {error}') from error
            raise UnreadableWindowError(str(error.__cause__ or error)) from error
        return np.s_[top - row : bottom - row, left - column : right - column], values, valid

    def _to_eight_bits(self, values: np.ndarray) -> np.ndarray:
        if self.limits is not None:
            values = eight_bits(values, *self.limits)
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
    values are kept, all others scaled as `bit_depth` says. Which pixels have data is found as `raster_data` says. An
    image in longitude and latitude is resampled, as it is read, to its UTM zone, since its pixels are not square on the
    ground.

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
        is_remote = check_sources(path)
        options = SAFE | (HTTP_OPTIONS if is_remote else {})
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, **options))
        source = stack.enter_context(_open(path))
        if not as_stored:
            check_placed(source, path)
        chosen, note = choose_bands(source, path, bands)
        try:
            rule, sample, found = find_data_rule(source, chosen, strict=is_remote)
        except rasterio.errors.RasterioError as error:
            raise UnreachableError(f'{path}: the server stopped answering: {error}') from error
        raster = Raster(source, chosen, rule, [note], is_remote=is_remote)
        if as_stored:
            raster.notes += placement_notes(source)
        elif gsd_m is not None or source.crs.is_geographic:
            fit = stack.enter_context(fit_to_resample(source, rule))
            raster.dataset, raster.rule = resampled(fit, gsd_m, rule)
            stack.enter_context(raster.dataset)
            raster.notes.append(f'resampled to {raster.crs}, {raster.transform.a:.4g} map units per pixel')
        row_bytes = source.width * sum(np.dtype(kind).itemsize for kind in source.dtypes)
        cache_bytes = min(CACHE_BYTES + cached_rows * row_bytes, MAX_CACHE_BYTES)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache_bytes))
        raster.limits, scaled = choose_limits(source, chosen, sample, path, as_stored)
        raster.notes += [scaled, *found] if scaled else found
        yield raster


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
    options = SAFE | (HTTP_OPTIONS if check_sources(path) else {})
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, **options), ExitStack() as stack:
        source = stack.enter_context(_open(path))
        check_placed(source, path)
        rule, _, notes = find_data_rule(source, (1,), look_closer=False)
        yield Raster(source, (1,), rule, [f'band 1 of {source.count}, as stored', *notes])
