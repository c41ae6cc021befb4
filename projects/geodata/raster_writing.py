"""GeoTIFFs as they are written, at once or strip by strip, and polygons as pixels."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from projects.storage.atomic_files import replacing

from .coordinate_systems import parse_crs
from .gdal import rasterio


def rasterize(
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
        rasterio.features.rasterize(
            zip(shapes, values.tolist(), strict=True), out=result, transform=rasterio.Affine(*transform[:6])
        )
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
    profile |= {'transform': None if transform is None else rasterio.Affine(*transform[:6])}
    profile |= {'crs': None if crs is None else parse_crs(crs).to_wkt(), 'photometric': 'rgb' if count == 3 else None}
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)  # as asked
        with rasterio.open(partial, 'w', **{key: value for key, value in profile.items() if value is not None}) as out:
            out.write(np.moveaxis(bands, -1, 0))
