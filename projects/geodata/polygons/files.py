"""Building polygons out of raster files, read window by window, and a picture of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from mmengine.logging import print_log
from PIL import Image

from projects.command_line import UsageError
from projects.reporting.progress import track
from projects.storage.atomic_files import replacing

from ..raster_files import NoDataError, Raster, open_band, open_raster
from ..raster_values import WINDOW_PX, ValueMeaning, check_one_band, value_meaning, windows_of
from ..vector_files import geopandas
from .vectorization import VectorizationSettings, vectorize_windows
from .windows import PredictionWindow

PICTURE_PX = 2000  # the longer side of the picture, at most
OUTLINE_RGB = (255, 60, 0)
SUBPIXEL_BITS = 4  # OpenCV draws to 1/16 of a pixel


def vectorize_raster(
    path: str | Path,
    settings: VectorizationSettings,
    *,
    heights_path: str | Path | None = None,
    is_instance_map: bool = False,
    values: str | None = None,
    window_px: int = WINDOW_PX,
) -> geopandas.GeoDataFrame:
    """Polygons of a raster in its coordinate system.

    Pixels without data (NaN, no-data value, mask) are not building.

    Args:
        path: One band: probabilities, a mask, or numbers of instances.
        settings: How polygons are made.
        heights_path: Raster on the same grid, metres above ground, see `PredictionWindow`.
        is_instance_map: The values are numbers of buildings, 0 = none.
        values: What they mean else; None: as `value_meaning` finds it out.
        window_px: Side of the windows that are read at once.

    Returns:
        As `Vectorizer.polygons` returns it.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: It is no such raster, has several bands or no data at all, or the heights lie on another grid.
    """
    with ExitStack() as stack:
        raster = stack.enter_context(open_band(path))
        heights = None
        if heights_path is not None:
            heights = stack.enter_context(open_band(heights_path))
            _check_same_grid(raster, heights, Path(path), Path(heights_path))
            check_one_band(heights, heights_path)
        check_one_band(raster, path)
        meaning = None if is_instance_map else value_meaning(raster, path, values)
        windows = _read_windows(raster, heights, meaning, window_px, Path(path))
        return vectorize_windows(windows, raster.size_px, raster.transform, raster.crs, settings)


def write_picture(polygons: geopandas.GeoDataFrame, image_path: str | Path, path: str | Path) -> None:
    """Draw outlines over an image, reduced to `PICTURE_PX`; the picture appears complete or not at all.

    Args:
        polygons: In any coordinate system.
        image_path: Image that GDAL reads, of one band or three.
        path: `.png` or `.jpg` in an existing folder.

    Raises:
        FileNotFoundError: There is no such image.
        ValueError: Another suffix, or the image is unfit.
    """
    path = Path(path)
    check_picture_name(path)
    with open_raster(image_path) as image:
        reduction = max(max(image.size_px) / PICTURE_PX, 1)
        gsd_m = None if reduction == 1 else image.gsd_m() * reduction
    with open_raster(image_path, gsd_m=gsd_m) as image:
        picture = np.ascontiguousarray(image.read(0, 0, *image.size_px)[0])
        placed = polygons.geometry.to_crs(image.crs).to_numpy()
        to_pixels = ~image.transform
    rings = shapely.get_rings(shapely.get_parts(placed))
    matrix = np.array(to_pixels[:6]).reshape(2, 3)
    # OpenCV's whole numbers are pixels' centres, those of the map are their corners
    lines = [shapely.get_coordinates(ring) @ matrix[:, :2].T + matrix[:, 2] - 0.5 for ring in rings]
    lines = [np.rint(points * 2**SUBPIXEL_BITS).astype(np.int32) for points in lines]
    cv2.polylines(picture, lines, True, OUTLINE_RGB, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)


def check_picture_name(path: Path) -> None:
    """Refuse a picture that `write_picture` could not write, before there is work to lose.

    Raises:
        FileNotFoundError: Its folder does not exist.
        UsageError: Its suffix names no format.
    """
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise UsageError(f'cannot write {path.name}: expected a name that ends in .png or .jpg')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'cannot write {path}: the folder {path.parent} does not exist')


def check_coverage(num_valid: int, size_px: tuple[int, int], path: Path) -> None:
    """Refuse a raster without data, and say how much of another has none.

    Args:
        num_valid: Pixels with data.
        size_px: Width and height.
        path: Its file, for messages.

    Raises:
        NoDataError: No pixel has data.
    """
    num_pixels = size_px[0] * size_px[1]
    if not num_valid:
        raise NoDataError(f'none of the {num_pixels} pixels of {path} has data; has the model diverged?')
    if num_valid < num_pixels:
        share = 1 - num_valid / num_pixels
        unknown = 'have no data or are ignored, and count as no building'
        print_log(f'{path}: {share:.1%} of the pixels {unknown}', logger='current')


def _check_same_grid(raster: Raster, heights: Raster, path: Path, heights_path: Path) -> None:
    corners = [np.array([one.transform @ (0, 0), one.transform @ one.size_px]) for one in (raster, heights)]
    placed_alike = np.abs(np.subtract(*corners)).max() <= abs(raster.transform.a) / 2
    if heights.crs != raster.crs or heights.size_px != raster.size_px or not placed_alike:
        west, south, east, north = raster.bounds
        raise ValueError(
            f'{heights_path} ({heights.size_px} pixels, {heights.crs}, {heights.bounds}) lies on another grid than '
            f'{path} ({raster.size_px} pixels, {raster.crs}, {raster.bounds}); resample it first: gdalwarp -t_srs '
            f'{raster.crs} -te {west} {south} {east} {north} -ts {raster.size_px[0]} {raster.size_px[1]} '
            f'{heights_path.name} on_grid.tif'
        )


def _read_windows(
    raster: Raster, heights: Raster | None, meaning: ValueMeaning | None, window_px: int, path: Path
) -> Iterator[PredictionWindow]:
    num_valid = 0
    corners = list(windows_of(raster.size_px, window_px))
    for column, row in track(corners, 'Vectorising'):
        place = (column, row, window_px, window_px)
        _, values, valid = raster.read_values(*place)
        if meaning is None:
            layers: dict[str, Any] = {'probabilities': None, 'instances': _whole(np.where(valid, values[0], 0))}
        else:
            layers = {'probabilities': meaning.probabilities(values[0], valid)}
            valid = np.isfinite(layers['probabilities'])
        num_valid += int(valid.sum())
        if heights is not None:
            _, heights_m, known = heights.read_values(*place)
            layers['heights_m'] = np.where(known, heights_m[0], np.float32('nan'))
        yield PredictionWindow(**layers, column=column, row=row)
    check_coverage(num_valid, raster.size_px, path)


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers that are stored as floating-point numbers, as integers; others as they are."""
    is_whole = numbers.dtype.kind == 'f' and (numbers == np.floor(numbers)).all()
    return numbers.astype(np.int64) if is_whole else numbers
