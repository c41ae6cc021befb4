"""A raster and what was predicted of it, as a map."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.polygonal import translate
from projects.geodata.polygons.vectorization import VectorizationSettings, vectorize_windows
from projects.geodata.polygons.windows import PredictionWindow
from projects.geodata.raster_files import open_raster
from projects.geodata.raster_pictures import layer_windows, place_of, read_layer, read_picture, to_pixels
from projects.geodata.raster_rules import UnplacedError, check_placed
from projects.geodata.vector_files import geopandas
from projects.reporting.maps import MapView, Picture, level_for
from projects.reporting.palette import ORANGE, PURPLE

from ...model_info import ModelInfo
from ..image_files import InputFile
from ..map_pages import FOOTPRINTS, HEIGHT, ROOFS, colors_of, shapes_of
from .instances import RasterInstances, to_footprints
from .settings import RasterSettings

PIXELS, UPWARD = 'LOCAL_CS["pixels",UNIT["metre",1]]', (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
SHARES = {'probability': ORANGE, 'confidence': PURPLE}  # layers of numbers from 0 to 1


def raster_view(
    file: InputFile,
    layers: Mapping[str, Path],
    how: RasterSettings,
    info: ModelInfo,
    polygons: geopandas.GeoDataFrame | None,
    instances: RasterInstances | None,
) -> MapView:
    """A map of the image, the layers of its result and its polygons, or a detector's objects where there are none.

    Args:
        file: The image.
        layers: Files of its result.
        how: It was predicted.
        info: The model.
        polygons: Those that were asked for, in the raster's coordinate system.
        instances: What a detector found.

    Raises:
        FileNotFoundError: The image is not there any more.
        ValueError: It is not what was predicted any more.
    """
    with open_raster(file.path, bands=how.bands, gsd_m=how.gsd_m, as_stored=how.gsd_m is None) as raster:
        level = level_for(raster.size_px)
        rgba, num_unreadable = read_picture(raster, level, f'{file.path.name} for its map')
        place, transform, size_px = place_of(raster), raster.transform, raster.size_px
        notes = list(raster.notes)
        if polygons is None and 'probability' in layers and not _is_placed(raster.dataset, file.path):
            polygons, transform = _in_pixels(layers['probability'], size_px, info), UPWARD
            notes.append('polygons are in pixels, and in this map alone: the image does not say where it lies')
    if num_unreadable:
        notes.append(f'{num_unreadable} parts of the image could not be read, and are transparent')
    pictures = [Picture('image', rgba, level)]
    for name, path in layers.items():
        if name in SHARES:
            values, valid = read_layer(path, level)
            pictures.append(Picture.of_shares(name, _shares(values), valid, SHARES[name], level))
        elif name == 'labels':
            pictures.append(Picture.of_labels('classes', *read_layer(path, level), colors_of(info), level))
    if polygons is not None:
        columns = {name: polygons[name].to_numpy() for name in polygons.columns.drop('geometry')}
        placed = {}
        if (footprints := to_footprints(polygons)) is not None:
            placed[FOOTPRINTS] = to_pixels(footprints.geometry.to_numpy(), transform)
        placed[''] = to_pixels(polygons.geometry.to_numpy(), transform)
    elif instances is not None:
        columns, placed = _of_instances(instances, info)
    else:
        return MapView(file.path.name, size_px, pictures, (), place, notes)
    first = ROOFS if FOOTPRINTS in placed else 'buildings' if info.is_segmentor else 'objects'
    shapes = [shapes_of(name or first, outline, columns, info) for name, outline in placed.items()]
    return MapView(file.path.name, size_px, pictures, shapes, place, notes)


def _is_placed(dataset: Any, path: Path) -> bool:
    try:
        check_placed(dataset, path)
    except UnplacedError:
        return False
    return True


def _in_pixels(path: Path, size_px: tuple[int, int], info: ModelInfo) -> geopandas.GeoDataFrame:
    """Buildings of a raster without a place, in a system of its own whose unit is the pixel."""
    windows = (
        PredictionWindow(np.where(valid, _shares(values), np.float32('nan')), column=column, row=row)
        for column, row, values, valid in layer_windows(path)
    )
    settings = VectorizationSettings(0.5 if info.threshold is None else info.threshold)
    return vectorize_windows(windows, size_px, UPWARD, PIXELS, settings).rename(columns={'area_m2': 'area_px'})


def _shares(values: np.ndarray) -> np.ndarray:
    """Probabilities of a layer, 0 to 1."""
    return values / np.float32(255) if values.dtype == np.uint8 else values


def instances_of_report(path: Path) -> RasterInstances | None:
    """What a detector found, by the report that a finished raster has; None: nothing is said of objects."""
    report = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
    return RasterInstances.from_record(report['instances']) if 'instances' in report else None


def _of_instances(found: RasterInstances, info: ModelInfo) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    columns: dict[str, Any] = {'class': [info.classes[label] for label in found.labels], 'score': found.scores}
    if not len(found) or not np.isfinite(found.offsets).all():
        return columns, {'': found.polygons}
    columns[HEIGHT] = found.heights_m
    return columns, {FOOTPRINTS: translate(found.polygons, -found.offsets), '': found.polygons}
