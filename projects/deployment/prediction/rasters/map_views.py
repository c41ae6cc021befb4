"""A raster and what was predicted of it, as a map."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.polygonal import translate
from projects.geodata.raster_files import open_raster
from projects.geodata.raster_pictures import place_of, read_layer, read_picture, to_pixels
from projects.geodata.vector_files import geopandas
from projects.reporting.maps import MapView, Picture, level_for
from projects.reporting.palette import ORANGE, PURPLE

from ...model_info import ModelInfo
from ..image_files import InputFile
from ..map_pages import FOOTPRINTS, HEIGHT, ROOFS, colors_of, shapes_of
from .instances import RasterInstances, to_footprints
from .settings import RasterSettings

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
    if num_unreadable:
        notes.append(f'{num_unreadable} parts of the image could not be read, and are transparent')
    pictures = [Picture('image', rgba, level)]
    for name, path in layers.items():
        if name in SHARES:
            values, valid = read_layer(path, level)
            shares = values / np.float32(255 if values.dtype == np.uint8 else 1)
            pictures.append(Picture.of_shares(name, shares, valid, SHARES[name], level))
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
