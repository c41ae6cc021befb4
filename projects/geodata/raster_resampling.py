"""Images as they would be on another grid, computed as they are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np

from .coordinate_systems import meters_per_unit, to_degrees, utm_zone
from .gdal import rasterio
from .raster_data import OPAQUE, ColorInterp, DataRule

MAX_SIDE_PX = 400_000  # rows of windows must fit into memory


def resampled(source: Any, gsd_m: float | None, rule: DataRule) -> tuple[Any, DataRule]:
    """The image as it would be in a projected system at the wanted ground sample distance, computed when read.

    Args:
        source: Open data set.
        gsd_m: Ground sample distance; None: its own.
        rule: Which of its pixels have data.

    Returns:
        The virtual data set, and which of its pixels have data.

    Raises:
        ValueError: It would be too large.
    """
    crs = source.crs.to_wkt()
    if source.crs.is_geographic:
        crs = utm_zone(*to_degrees(source.crs, source.transform @ (source.width / 2, source.height / 2))).to_wkt()
    transform, width, height = rasterio.warp.calculate_default_transform(
        source.crs, crs, source.width, source.height, *source.bounds
    )
    reduction = 1.0
    if gsd_m is not None:
        scale = meters_per_unit(crs, np.array([transform @ (width / 2, height / 2)]))[0].mean()
        reduction = gsd_m / scale / transform.a
        width, height = max(round(width / reduction), 1), max(round(height / reduction), 1)
        transform @= rasterio.Affine.scale(reduction)
    if max(width, height) > MAX_SIDE_PX:
        raise ValueError(
            f'{source.name} would be {width} x {height} px at {gsd_m or "its own"} m a pixel, more than {MAX_SIDE_PX} '
            'on a side; choose a coarser gsd_m, or cut it into parts: gdal_translate -srcwin ...'
        )
    absent = rule.undeclared[0] if rule.undeclared else np.nan if source.dtypes[0].startswith('float') else None
    no_data = {} if absent is None or source.nodata is not None else {'src_nodata': absent}
    if rule.alpha is None:
        opacity = {'add_alpha': True, 'DST_ALPHA_MAX': '255'}
        warped_rule = replace(rule, masked=(), alpha=source.count + 1, opaque=OPAQUE)
    else:
        full = str(rule.opaque * 2)
        opacity = {'src_alpha': rule.alpha, 'SRC_ALPHA_MAX': full, 'DST_ALPHA_MAX': full}
        warped_rule = replace(rule, masked=())
    warped = rasterio.vrt.WarpedVRT(
        source,
        crs=crs,
        transform=transform,
        width=width,
        height=height,
        resampling=rasterio.enums.Resampling.average if reduction > 1 else rasterio.enums.Resampling.bilinear,
        **opacity,
        **no_data,
    )
    return warped, warped_rule


@contextmanager
def fit_to_resample(source: Any, rule: DataRule) -> Iterator[Any]:
    """The same pixels, described so that GDAL resamples them rightly.

    GDAL takes for opacity what is called alpha, which may be a picture, and finds no pixels at longitudes beyond 180
    degrees: these are counted from the middle of the image.

    Args:
        source: Open data set.
        rule: Which of its pixels have data.
    """
    changes: dict[str, Any] = {}
    if rule.alpha is None and ColorInterp.alpha in source.colorinterp:
        uses = source.colorinterp
        changes['colorinterp'] = [ColorInterp.undefined if use == ColorInterp.alpha else use for use in uses]
    west, _, east, _ = source.bounds
    if source.crs.is_geographic and not -180 <= west < east <= 180:
        middle = (west + east) / 2
        changes['crs'] = rasterio.crs.CRS.from_dict(source.crs.to_dict() | {'pm': middle})
        changes['transform'] = rasterio.Affine.translation(-middle, 0) @ source.transform
    if not changes:
        yield source
        return
    name = f'/vsimem/{uuid4().hex}.vrt'
    rasterio.shutil.copy(source.name, name, driver='VRT')
    try:
        with rasterio.open(name, 'r+') as copy:
            for key, value in changes.items():
                setattr(copy, key, value)
        with rasterio.open(name) as copy:
            yield copy
    finally:
        rasterio.shutil.delete(name, driver='VRT')
