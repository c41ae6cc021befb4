"""Georeferenced images: read window by window as RGB, written as GeoTIFF; and polygons as pixels."""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.coordinate_systems import metres_per_unit, parse_crs, utm_zone

try:
    import rasterio
    from rasterio import Affine
    from rasterio.enums import ColorInterp, MaskFlags, Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.features import rasterize
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import calculate_default_transform, transform_bounds
    from rasterio.windows import Window
except ImportError as error:
    raise ImportError(f"{error}; GeoTIFFs need the extra 'geo': pip install -e '.[geo]'") from error

PERCENTILES = (2.0, 98.0)  # of pixels that are not 8 bits deep: these values become 0 and 255
SAMPLE_GRID, SAMPLE_PX = 16, 64  # windows of 64 x 64 pixels, 16 x 16 of them, from which percentiles are taken
CACHE_BYTES = 256 * 2**20  # not 5% of memory, GDAL's default; as megabytes it would slow rasterize() down 30 times
OPAQUE = 128  # of 255: a pixel that is at least half opaque has data


class UnreadableWindowError(ValueError):
    """A part of an image that cannot be read, such as the end of a truncated file."""


@dataclass
class Raster:
    """An open image that lies north-up in a projected coordinate system, and is read window by window.

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
    def transform(self) -> Affine:
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

    def window_transform(self, column: int, row: int) -> Affine:
        """From (column, row) within a window that starts here to (x, y) in `crs`."""
        return self.transform @ Affine.translation(column, row)

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
        window = Window(left, top, right - left, bottom - top)
        try:
            values = self.dataset.read(self.bands, window=window)
            all_valid = MaskFlags.all_valid in self.dataset.mask_flag_enums[self.bands[0] - 1]
            valid = np.full(values.shape[1:], all_valid)
            if not all_valid:
                valid = self.dataset.read_masks(self.bands, window=window).max(axis=0) >= OPAQUE
        except RasterioError as error:
            raise UnreadableWindowError(str(error.__cause__ or error)) from error
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(axis=0)
        return np.s_[top - row : bottom - row, left - column : right - column], values, valid

    def _to_eight_bits(self, values: np.ndarray) -> np.ndarray:
        if self.limits is not None:
            low, high = self.limits
            scaled = (np.nan_to_num(values.astype(np.float32), posinf=high, neginf=low) - low) / (high - low)
            values = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
        return np.broadcast_to(values, (3, *values.shape[1:])) if len(values) == 1 else values


@contextmanager
def open_raster(
    path: str | Path, *, bands: tuple[int, ...] | None = None, gsd_m: float | None = None
) -> Iterator[Raster]:
    """Open an image that GDAL reads (GeoTIFF, VRT, JPEG 2000, ...) as RGB, lazily.

    One band is read as grey, of three or more the first three as red, green and blue. Eight-bit values are kept, all
    others scaled so that the percentiles `PERCENTILES` of a sample of the bands together become 0 and 255. Pixels have
    data where the no-data value, mask or alpha band of the file says so. An image in longitude and latitude is
    resampled, as it is read, to its UTM zone, since its pixels are not square on the ground.

    Args:
        path: The image.
        bands: One or three numbers, from 1, instead of that rule.
        gsd_m: Ground sample distance to resample to; None: as it is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, has no coordinate system, is not north-up, or has not the bands that are needed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'the image {path} does not exist')
    if gsd_m is not None and not gsd_m > 0:
        raise ValueError(f'gsd_m = {gsd_m}: expected metres per pixel, more than 0')
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', NotGeoreferencedWarning)  # said below, with the remedy
                source = stack.enter_context(rasterio.open(path))
        except RasterioError as error:
            raise ValueError(f'{path} is no image that GDAL reads: {error}') from error
        _check_placed(source, path)
        chosen, note = _choose_bands(source, path, bands)
        raster = Raster(source, chosen, None, [note])
        if gsd_m is not None or source.crs.is_geographic:
            raster.dataset = stack.enter_context(_resampled(source, gsd_m))
            raster.notes.append(f'resampled to {raster.crs}, {raster.transform.a:.4g} map units per pixel')
        if source.dtypes[chosen[0] - 1] != 'uint8':
            raster.limits = low, high = _limits(raster, path)
            raster.notes.append(f'{source.dtypes[0]} scaled: percentiles {PERCENTILES} = {low:g}, {high:g} to 0, 255')
        yield raster


def _check_placed(source: Any, path: Path) -> None:
    if not source.crs or source.transform.is_identity:
        raise ValueError(
            f'{path} has no {"geotransform" if source.crs else "coordinate system"}; place it first: gdal_translate '
            f'-a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH {path.name} placed.tif (-a_ullr where there is none yet)'
        )
    a, b, _, d, e, _ = source.transform[:6]
    if b or d or a <= 0 or e >= 0:
        raise ValueError(
            f'{path} is not north-up (geotransform {tuple(source.transform[:6])}); resample it first: '
            f'gdalwarp -r bilinear {path.name} north_up.tif'
        )


def _choose_bands(source: Any, path: Path, bands: tuple[int, ...] | None) -> tuple[tuple[int, ...], str]:
    if any(np.dtype(kind).kind == 'c' for kind in source.dtypes):
        raise ValueError(f'{path} has complex pixels ({source.dtypes[0]}); expected real numbers')
    colours = [n for n, use in enumerate(source.colorinterp, 1) if use != ColorInterp.alpha]
    if bands is not None:
        if len(bands) not in (1, 3) or not set(bands) <= set(range(1, source.count + 1)):
            raise ValueError(f'bands {list(bands)}: expected 1 or 3 numbers from 1 to {source.count} for {path}')
        return tuple(bands), f'bands {list(bands)} as asked'
    if source.colorinterp[0] == ColorInterp.palette:
        raise ValueError(f'{path} has a colour table; expand it first: gdal_translate -expand rgb {path.name} rgb.tif')
    if len(colours) == 2:
        raise ValueError(f'{path} has 2 bands besides alpha; choose 1 or 3 with bands')
    chosen = tuple(colours[:3])
    return chosen, f'bands {list(chosen)} of {source.count} ({"grey" if len(chosen) == 1 else "red, green, blue"})'


def _resampled(source: Any, gsd_m: float | None) -> WarpedVRT:
    """The image as it would be in a projected system at the wanted ground sample distance, computed when read."""
    crs = source.crs.to_wkt()
    if source.crs.is_geographic:
        west, south, east, north = transform_bounds(crs, 'EPSG:4326', *source.bounds)
        crs = utm_zone((west + east) / 2, (south + north) / 2).to_wkt()
    transform, width, height = calculate_default_transform(source.crs, crs, source.width, source.height, *source.bounds)
    reduction = 1.0
    if gsd_m is not None:
        scale = metres_per_unit(crs, np.array([transform @ (width / 2, height / 2)]))[0].mean()
        reduction = gsd_m / scale / transform.a
        width, height = max(round(width / reduction), 1), max(round(height / reduction), 1)
        transform @= Affine.scale(reduction)
    return WarpedVRT(
        source,
        crs=crs,
        transform=transform,
        width=width,
        height=height,
        resampling=Resampling.average if reduction > 1 else Resampling.bilinear,
        add_alpha=MaskFlags.all_valid in source.mask_flag_enums[0],
    )


def _limits(raster: Raster, path: Path) -> tuple[float, float]:
    """Percentiles of pixels with data, in windows on a regular grid."""
    width, height = raster.size_px
    sides = min(SAMPLE_PX, width), min(SAMPLE_PX, height)
    columns = np.unique(np.linspace(0, width - sides[0], SAMPLE_GRID).astype(int))
    rows = np.unique(np.linspace(0, height - sides[1], SAMPLE_GRID).astype(int))
    samples = []
    for row in rows.tolist():
        for column in columns.tolist():
            try:
                _, values, valid = raster.read_values(column, row, *sides)
            except UnreadableWindowError:
                continue
            samples.append(values[:, valid].ravel())
    sample = np.concatenate(samples) if samples else np.array([])
    if not sample.size:
        raise ValueError(
            f'{path}: no pixel with data in {len(rows) * len(columns)} sampled windows; convert it to 8 bits'
        )
    low, high = np.percentile(sample, PERCENTILES).tolist()
    return low, high if high > low else low + 1


def rasterise(
    shapes: np.ndarray, values: np.ndarray, size_px: tuple[int, int], transform: Any, dtype: Any
) -> np.ndarray:
    """Paint polygons with values, later ones over earlier ones; a pixel belongs to a polygon that holds its centre.

    Args:
        shapes: (N,) Polygons.
        values: (N,) What to paint.
        size_px: Width and height.
        transform: From (column, row) to the polygons' coordinates, six numbers a, b, c, d, e, f.
        dtype: Of the result.

    Returns:
        (height, width), 0 outside of all polygons.
    """
    result = np.zeros(size_px[::-1], dtype=dtype)
    if len(shapes):
        rasterize(zip(shapes, values.tolist(), strict=True), out=result, transform=Affine(*transform[:6]))
    return result


def write_geotiff(
    path: str | Path, pixels: np.ndarray, transform: Any = None, crs: Any = None, nodata: float | None = None
) -> None:
    """Write a tiled, compressed GeoTIFF; it appears complete or not at all.

    Args:
        path: `.tif` or `.tiff` in an existing folder. A file of that name is replaced.
        pixels: (H, W) or (H, W, bands).
        transform: From (column, row) to (x, y), six numbers a, b, c, d, e, f; None: not georeferenced.
        crs: Coordinate system of x and y.
        nodata: Value of pixels without data; None: all have data.

    Raises:
        ValueError: Another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.tif', '.tiff'):
        raise ValueError(f'cannot write {path.name}: expected a name that ends in .tif')
    bands = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, count = bands.shape
    profile: dict[str, Any] = {'driver': 'GTiff', 'width': width, 'height': height, 'count': count}
    profile |= {'dtype': bands.dtype, 'nodata': nodata, 'compress': 'deflate', 'interleave': 'pixel'}
    profile |= {'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'BIGTIFF': 'IF_SAFER'}
    profile |= {'transform': None if transform is None else Affine(*transform[:6])}
    profile |= {'crs': None if crs is None else parse_crs(crs).to_wkt(), 'photometric': 'rgb' if count == 3 else None}
    partial = path.with_name(f'.{path.stem}.{os.getpid()}.partial.tif')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)  # as asked
            with rasterio.open(
                partial, 'w', **{key: value for key, value in profile.items() if value is not None}
            ) as out:
                out.write(np.moveaxis(bands, -1, 0))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', NotGeoreferencedWarning)  # said below, with the remedy
                source = stack.enter_context(rasterio.open(path))
        except RasterioError as error:
            raise ValueError(f'{path} is no image that GDAL reads: {error}') from error
        _check_placed(source, path)
        yield Raster(source, (1,), None, [f'band 1 of {source.count}, as stored'])
