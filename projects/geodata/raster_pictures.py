"""A whole raster as one picture, however large it is, and where its pixels lie on the Earth."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from projects.reporting.maps import Place
from projects.reporting.progress import track

from .coordinate_systems import WGS84, Transformer, is_local, meters_per_unit, parse_crs
from .gdal import rasterio
from .raster_files import Raster, UnreadableWindowError
from .raster_values import windows_of

WINDOW_PX = 2048  # read at once
PLACES = 17  # of known longitude and latitude along each side; between them, straight lines are near enough


def read_picture(raster: Raster, level: int, name: str = '') -> tuple[np.ndarray, int]:
    """Read an image at 1 / 2**level of its size, in constant memory besides the result.

    An overview of the file is read where it has one, and the rest of the way is taken by means. Pixels without data are
    transparent, as are windows that cannot be read.

    Args:
        raster: The image.
        level: From 0.
        name: To tell of long reading.

    Returns:
        (ceil(H / 2**level), ceil(W / 2**level), 4) uint8, red, green, blue and opacity; how many windows could not be
        read.
    """
    size = tuple(-(-side // 2**level) for side in raster.size_px)
    result = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    num_unreadable = 0
    with _overview(raster, level) as (reduced, left):
        side = max(WINDOW_PX >> left, 1)
        for column, row in track(list(windows_of(size, side)), f'Reading {name}'.strip()):
            width, height = min(side, size[0] - column), min(side, size[1] - row)
            try:
                rgb, valid = reduced.read(*(place << left for place in (column, row, width, height)))
            except UnreadableWindowError:
                num_unreadable += 1
                continue
            rgba = np.dstack([rgb, valid.astype(np.uint8) * 255])
            if left:
                rgba = _reduced(rgba, (width, height))
            result[row : row + height, column : column + width] = rgba
    return result, num_unreadable


def read_layer(path: Path, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the first band of a file that `join_strips` has written, at 1 / 2**level of its size, by its overviews.

    Returns:
        Values as stored, and which of them have data, both (ceil(H / 2**level), ceil(W / 2**level)).
    """
    options = {'overview_level': level - 1} if level else {}
    with _opened(path, **options) as source:
        return source.read(1), source.read_masks(1) > 0


def layer_windows(path: Path) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Column, row, values and which pixels have data (h, w), of windows that cover the first band of such a file."""
    with _opened(path) as source:
        for column, row in windows_of((source.width, source.height), WINDOW_PX):
            size = min(WINDOW_PX, source.width - column), min(WINDOW_PX, source.height - row)
            window = rasterio.windows.Window(column, row, *size)
            yield column, row, source.read(1, window=window), source.read_masks(1, window=window) > 0


@contextmanager
def _opened(path: Any, **options: Any) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)  # said by `place_of`
        source = rasterio.open(path, **options)
    with source:
        yield source


@contextmanager
def _overview(raster: Raster, level: int) -> Iterator[tuple[Raster, int]]:
    """The file's own smaller image that is nearest above a level, and how many halvings are left."""
    source = raster.dataset
    factors = set.intersection(*(set(source.overviews(band)) for band in raster.bands))
    for factor in sorted(factors, reverse=True):
        halvings = factor.bit_length() - 1
        if factor != 2**halvings or halvings > level or isinstance(source, rasterio.vrt.WarpedVRT):
            continue
        with _opened(source.name, overview_level=source.overviews(raster.bands[0]).index(factor)) as smaller:
            expected = tuple(-(-side // factor) for side in raster.size_px)
            if (smaller.width, smaller.height) != expected or smaller.mask_flag_enums != source.mask_flag_enums:
                continue
            yield replace(raster, dataset=smaller), level - halvings
            return
    yield raster, level


def _reduced(rgba: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Means of blocks, of the pixels that are seen; the others are black, so that sums need no weights."""
    means = cv2.resize(rgba, size_px, interpolation=cv2.INTER_AREA)
    shares = means[..., 3:]
    if shares.min() < 255:
        scaled = means[..., :3] * (255 / np.maximum(shares, 1).astype(np.float32))
        means[..., :3] = np.rint(scaled.clip(0, 255))
    return means


def place_of(raster: Raster) -> Place | None:
    """Where an image lies; None: it is known in its pixels alone."""
    dataset = raster.dataset
    if dataset.transform.is_identity:
        return None
    transform = tuple(raster.transform[:6])
    if not dataset.crs:
        return Place('', transform)
    crs = parse_crs(dataset.crs.to_wkt())
    number = crs.to_epsg()
    name = crs.name if number is None else f'EPSG:{number}'
    a, b, _, d, e, _ = transform
    width, height = raster.size_px
    try:
        along_x, along_y = meters_per_unit(crs, np.array([raster.transform @ (width / 2, height / 2)]))[0]
        sides = np.hypot([a * along_x, b * along_x], [d * along_y, e * along_y])
        degrees = None if is_local(crs) else _degrees(raster, crs)
    except ValueError:  # beyond what the system can express
        return Place(name, transform)
    return Place(name, transform, degrees, crs.is_geographic, float(sides.mean()))


def _degrees(raster: Raster, crs: Any) -> np.ndarray:
    columns, rows = np.meshgrid(*(np.linspace(0, side, PLACES) for side in raster.size_px))
    a, b, c, d, e, f = raster.transform[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    found = np.stack(Transformer.from_crs(crs, WGS84, always_xy=True).transform(x, y), axis=-1)
    if not np.isfinite(found).all():
        raise ValueError('a corner of the raster is no place on the Earth')
    return found


def to_pixels(polygons: np.ndarray, transform: Any) -> np.ndarray:
    """Polygons in (x, y) as polygons in (column, row), by the six numbers that lead from there to here."""
    a, b, c, d, e, f = (~rasterio.Affine(*transform[:6]))[:6]
    matrix, origin = np.array([[a, b], [d, e]]), np.array([c, f])
    return shapely.transform(polygons, lambda places: places @ matrix.T + origin)
