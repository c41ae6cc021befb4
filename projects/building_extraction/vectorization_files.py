"""Polygons from rasters on disk of any size, read window by window; and a picture of them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from shapely import get_rings

from projects.building_extraction.raster_files import Band, open_band, open_raster
from projects.building_extraction.vectorization import (
    VectorizationSettings,
    merge_across_borders,
    to_map,
    trace_instances,
    trace_probabilities,
)

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

WINDOW_PX = 4096
PICTURE_PX = 1200
Track = Callable[[list], Iterable[Any]]


def vectorize_raster(
    path: Path,
    settings: VectorizationSettings,
    *,
    instances: bool = False,
    heights_path: Path | None = None,
    window_px: int = WINDOW_PX,
    track: Track = iter,
) -> 'GeoDataFrame':
    """Polygons of a raster, in its coordinate system; memory holds one window and all outlines.

    Args:
        path: Probabilities 0 to 1, or 0 to 255 as bytes, or a mask of 0 and 1 or 255. Pixels without data: background.
        settings: How.
        instances: The raster holds instance numbers (0: background) instead.
        heights_path: Metres above ground on any grid; 0, NaN and pixels without data: unknown.
        window_px: Side of a window.
        track: Shows progress over a list, such as `rich.progress.track`.

    Returns:
        As `vectorization.to_map`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no placed raster, or its values are not as stated.
    """
    with open_band(path) as band:
        windows = _windows(band.size_px, window_px)
        divisor = 1.0 if instances else _divisor(band, windows, path)
        outlines = []
        if heights_path is None:
            outlines = [_trace(band, None, window, settings, instances, divisor, path) for window in track(windows)]
        else:
            with open_band(heights_path, like=band) as heights:
                outlines = [
                    _trace(band, heights, window, settings, instances, divisor, path) for window in track(windows)
                ]
        return to_map(merge_across_borders(outlines), band.transform, band.crs, settings)


def _windows(size_px: tuple[int, int], side_px: int) -> list[tuple[int, int, int, int]]:
    """Column, row, width and height of the windows that cover a raster."""
    width, height = size_px
    return [
        (column, row, min(side_px, width - column), min(side_px, height - row))
        for row in range(0, height, side_px)
        for column in range(0, width, side_px)
    ]


def _divisor(band: Band, windows: list[tuple[int, int, int, int]], path: Path) -> float:
    """What makes probabilities of a raster's values: bytes are read as 0 to 255, unless none is above 1."""
    if np.dtype(band.dataset.dtypes[0]).kind == 'f':
        return 1.0
    largest = 0
    for window in windows:
        values, valid = band.read(*window)
        largest = max(largest, int(values.max(initial=0, where=valid)))
    if largest > 255:
        raise ValueError(
            f'{path} holds integers up to {largest}; expected probabilities 0 to 1, bytes 0 to 255, or say that these '
            'are instance numbers (instances, --instances)'
        )
    return 1.0 if largest <= 1 else 255.0


def _trace(
    band: Band,
    heights: Band | None,
    window: tuple[int, int, int, int],
    settings: VectorizationSettings,
    instances: bool,
    divisor: float,
    path: Path,
) -> Any:
    values, valid = band.read(*window)
    values = np.where(valid, values, np.zeros((), values.dtype))
    heights_m = None
    if heights is not None:
        heights_m, known = heights.read(*window)
        heights_m = np.where(known, heights_m, np.nan)
    try:
        if instances:
            return trace_instances(values, heights_m=heights_m, origin_px=window[:2])
        if divisor != 1.0:
            values = values.astype(np.float32) / np.float32(divisor)
        return trace_probabilities(values, settings.threshold, heights_m=heights_m, origin_px=window[:2])
    except ValueError as error:
        raise ValueError(f'{path}, window from column {window[0]}, row {window[1]}: {error}') from error


def write_picture(frame: 'GeoDataFrame', image_path: Path, path: Path) -> None:
    """Draw outlines over the part of an image, at most `PICTURE_PX` wide and high, that holds most polygons.

    Args:
        frame: Polygons in a coordinate system.
        image_path: Any placed image.
        path: `.png` in an existing folder.
    """
    if path.suffix.lower() != '.png':
        raise ValueError(f'cannot write {path.name}: expected a name that ends in .png')
    with open_raster(image_path) as raster:
        frame = frame.to_crs(raster.crs)
        bounds = frame.bounds.to_numpy().reshape(-1, 2, 2)
        to_pixel = ~raster.transform
        columns, rows = to_pixel @ tuple(bounds.mean(axis=1).T) if len(frame) else (np.zeros(0), np.zeros(0))
        width, height = (min(side, PICTURE_PX) for side in raster.size_px)
        column = _densest(columns, width, raster.size_px[0])
        row = _densest(rows[(columns >= column) & (columns < column + width)], height, raster.size_px[1])
        rgb, _ = raster.read(column, row, width, height)
        rings = get_rings(frame.geometry.to_numpy())
        lines = [np.stack(to_pixel @ tuple(np.asarray(ring.coords).T), axis=1) - (column, row) for ring in rings]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(rgb, extent=(0, width, height, 0), interpolation='nearest')
    axes.add_collection(LineCollection(lines, colors='#ffd000', linewidths=1.2))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis('off')
    partial = path.with_name(f'.{path.name}.partial')
    canvas.print_png(partial)
    partial.replace(path)


def _densest(places: np.ndarray, side: int, length: int) -> int:
    """Where an interval of length `side` in 0 to `length` starts that holds most places."""
    starts = np.unique(np.linspace(0, length - side, 33).astype(int))
    places = np.sort(places)
    counts = np.searchsorted(places, starts + side) - np.searchsorted(places, starts)
    return int(starts[np.argmax(counts)])
