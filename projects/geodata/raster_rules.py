"""What is decided when an image is opened: which bands are read, on which grid, and what becomes black and white.

Each rule is stated in words, for the notes of the open image.
"""

from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.coordinate_systems import metres_per_unit, utm_zone
from projects.geodata.gdal import rasterio

ColorInterp, MaskFlags = rasterio.enums.ColorInterp, rasterio.enums.MaskFlags
RGB = ColorInterp.red, ColorInterp.green, ColorInterp.blue
PERCENTILES = (2.0, 98.0)  # of pixels that are not 8 bits deep: these values become 0 and 255
MAX_SIDE_PX = 400_000  # of what is resampled; rows of windows must fit into memory
SAMPLE_GRID, SAMPLE_PX = 16, 64  # windows of 64 x 64 pixels, 16 x 16 of them, from which percentiles are taken


class UnreadableWindowError(ValueError):
    """A part of an image that cannot be read, such as the end of a truncated file."""


def check_placed(source: Any, path: Path) -> None:
    """Refuse an image without coordinate system, or one that is not north-up.

    Raises:
        ValueError: It is such an image; the message names the remedy.
    """
    if not source.crs or source.transform.is_identity:
        raise ValueError(
            f'{path} has no {"geotransform" if source.crs else "coordinate system"}; place it first: gdal_translate '
            f'-a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH {path.name} placed.tif (-a_ullr where there is none yet)'
        )
    if not _is_north_up(source):
        raise ValueError(
            f'{path} is not north-up (geotransform {tuple(source.transform[:6])}); resample it first: '
            f'gdalwarp -r bilinear {path.name} north_up.tif'
        )


def placement_notes(source: Any) -> list[str]:
    """What `check_placed` would refuse and open_raster would resample, where an image is taken as it is stored."""
    notes = []
    if not source.crs:
        notes.append('no coordinate system: places are known in pixels alone')
    elif source.crs.is_geographic:
        notes.append(
            'in degrees: taken pixel by pixel, though pixels are not square on the ground; gsd_m would resample'
        )
    if source.transform.is_identity:
        notes.append('no geotransform: places are known in pixels alone')
    elif not _is_north_up(source):
        notes.append(f'not north-up (geotransform {tuple(source.transform[:6])}): taken pixel by pixel')
    return notes


def _is_north_up(source: Any) -> bool:
    a, b, _, d, e, _ = source.transform[:6]
    return not b and not d and a > 0 and e < 0


def choose_bands(source: Any, path: Path, bands: tuple[int, ...] | None) -> tuple[tuple[int, ...], str]:
    """One band is grey; red, green and blue are those that the file calls so, else the first three besides alpha.

    Args:
        source: Open data set.
        path: Its file, for messages.
        bands: One or three numbers, from 1, instead of that rule.

    Returns:
        Numbers of bands, and the rule in words.

    Raises:
        ValueError: There are no such bands, or the rule finds none.
    """
    if any(np.dtype(kind).kind == 'c' for kind in source.dtypes):
        raise ValueError(f'{path} has complex pixels ({source.dtypes[0]}); expected real numbers')
    colours = [n for n, use in enumerate(source.colorinterp, 1) if use != ColorInterp.alpha]
    if bands is not None:
        if len(bands) not in (1, 3) or not set(bands) <= set(range(1, source.count + 1)):
            raise ValueError(f'bands {list(bands)}: expected 1 or 3 numbers from 1 to {source.count} for {path}')
        return tuple(bands), f'bands {list(bands)} as asked'
    if source.colorinterp[0] == ColorInterp.palette:
        raise ValueError(f'{path} has a colour table; expand it first: gdal_translate -expand rgb {path.name} rgb.tif')
    if len(colours) in (0, 2):
        raise ValueError(f'{path} has {len(colours)} bands besides alpha; choose 1 or 3 with bands')
    named = [source.colorinterp.index(use) + 1 for use in RGB if use in source.colorinterp]
    chosen = tuple(named if len(named) == 3 else colours[:3])
    return chosen, f'bands {list(chosen)} of {source.count} ({"grey" if len(chosen) == 1 else "red, green, blue"})'


def resampled(source: Any, gsd_m: float | None) -> Any:
    """The image as it would be in a projected system at the wanted ground sample distance, computed when read."""
    crs = source.crs.to_wkt()
    if source.crs.is_geographic:
        west, south, east, north = rasterio.warp.transform_bounds(crs, 'EPSG:4326', *source.bounds)
        crs = utm_zone((west + east) / 2, (south + north) / 2).to_wkt()
    transform, width, height = rasterio.warp.calculate_default_transform(
        source.crs, crs, source.width, source.height, *source.bounds
    )
    reduction = 1.0
    if gsd_m is not None:
        scale = metres_per_unit(crs, np.array([transform @ (width / 2, height / 2)]))[0].mean()
        reduction = gsd_m / scale / transform.a
        width, height = max(round(width / reduction), 1), max(round(height / reduction), 1)
        transform @= rasterio.Affine.scale(reduction)
    if max(width, height) > MAX_SIDE_PX:
        raise ValueError(
            f'{source.name} would be {width} x {height} px at {gsd_m or "its own"} m a pixel, more than {MAX_SIDE_PX} '
            'on a side; choose a coarser gsd_m, or cut it into parts: gdal_translate -srcwin ...'
        )
    return rasterio.vrt.WarpedVRT(
        source,
        crs=crs,
        transform=transform,
        width=width,
        height=height,
        resampling=rasterio.enums.Resampling.average if reduction > 1 else rasterio.enums.Resampling.bilinear,
        add_alpha=MaskFlags.all_valid in source.mask_flag_enums[0],
    )


def value_limits(raster: Any, path: Path) -> tuple[float, float]:
    """Percentiles `PERCENTILES` of pixels with data, in windows on a regular grid.

    Args:
        raster: An open `Raster`.
        path: Its file, for messages.

    Raises:
        ValueError: None of these windows holds data.
    """
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


def full_range(kind: str) -> tuple[float, float]:
    """Smallest and largest value of a data type of whole numbers, 0 and 1 for any other."""
    if np.dtype(kind).kind in 'iu':
        return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    return 0.0, 1.0
