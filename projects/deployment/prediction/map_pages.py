"""Predictions as maps that one can look around on, a page for each image or raster."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from PIL import Image
from pycocotools import mask as run_lengths

from projects.geodata.heights import CLASS_LIMITS_M, CLASS_NAMES
from projects.geodata.polygonal import mask_outline, translate
from projects.pixels.decoding import read_image
from projects.reporting.map_shapes import SCORES, Coloring, Ranges, Shapes
from projects.reporting.maps import MapView, Picture, level_for, write_map_page
from projects.reporting.pages import render_page
from projects.reporting.palette import HEIGHTS
from projects.reporting.progress import track
from projects.reporting.tile_pyramids import halved
from projects.storage.atomic_files import write_file

from ..model_info import ModelInfo
from .drawing import NOT_TINTED
from .image_files import InputFile
from .journal import Entry, InputJournal
from .rasters.settings import MapSettings

FOLDER, INDEX = 'maps', 'maps.html'
ROOFS, FOOTPRINTS = 'roofs', 'footprints'
HEIGHT = 'height_m'
HEIGHT_CLASSES = Ranges('height class', CLASS_LIMITS_M, CLASS_NAMES, HEIGHTS)


def colors_of(info: ModelInfo) -> dict[str, str | None]:
    """Colours of a model's classes; backgrounds have none."""
    colors = ['#{:02X}{:02X}{:02X}'.format(*color) for color in info.palette]
    pairs = zip(info.classes, colors, strict=True)
    return {name: None if name.lower() in NOT_TINTED else color for name, color in pairs}


def shapes_of(name: str, polygons: np.ndarray, columns: Mapping[str, Any], info: ModelInfo) -> Shapes:
    """Polygons in pixels, coloured by score, class and height, as far as columns say them."""
    scores = np.asarray(columns.get('score', np.full(len(polygons), np.nan)), dtype=float)
    colorings = [SCORES.coloring(scores)]
    if 'class' in columns and len(info.classes) > 1:
        known = {label: color or '#000000' for label, color in colors_of(info).items()}
        colorings.append(Coloring.by_value('class', columns['class'], known))
    if HEIGHT in columns:
        colorings.insert(0, HEIGHT_CLASSES.coloring(np.asarray(columns[HEIGHT], dtype=float)))
    return Shapes(name, polygons, columns, colorings, scores)


def image_view(file: InputFile, entry: Entry, out: Path, info: ModelInfo) -> MapView:
    """A picture with what was found in it, from the files of its results.

    Args:
        file: The image.
        entry: Of the journal.
        out: Folder of the results.
        info: The model.

    Raises:
        UnreadableImageError: The image is not there any more.
    """
    image = read_image(file.path)
    size, level = (image.shape[1], image.shape[0]), level_for(image.shape[1::-1])
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    for _ in range(level):
        rgba = halved(rgba)
    pictures, shapes, step = [Picture('image', rgba, level)], [], 2**level
    if masks := [name for name in entry['files'] if name.endswith('.png')] if info.is_segmentor else []:
        labels = np.asarray(Image.open(out / masks[0]))[step // 2 :: step, step // 2 :: step]
        labels = np.pad(labels, [(0, a - b) for a, b in zip(rgba.shape, labels.shape, strict=False)], mode='edge')
        pictures.append(Picture.of_labels('classes', labels, np.ones(labels.shape, bool), colors_of(info), level))
    if (found := entry.get('annotations')) is not None:
        polygons = np.array([_outline(one) for one in found], dtype=object)
        columns = {'class': [info.classes[one['category_id'] - 1] for one in found]}
        columns |= {'score': [one['score'] for one in found]}
        name = 'objects'
        if found and all('offset' in one for one in found):
            columns[HEIGHT] = [one['building_height'] for one in found]
            name, placed = ROOFS, translate(polygons, -np.array([one['offset'] for one in found]))
            shapes.append(shapes_of(FOOTPRINTS, placed, columns, info))
        shapes.append(shapes_of(name, polygons, columns, info))
    return MapView(file.file_name, size, pictures, shapes)


def _outline(annotation: dict[str, Any]) -> shapely.Geometry:
    """An object's mask along the edges of its pixels, or its box."""
    left, top, width, height = annotation['bbox']
    if 'segmentation' in annotation and (mask := run_lengths.decode(annotation['segmentation'])).any():
        return mask_outline(mask > 0)
    return shapely.box(left, top, left + width, top + height)


def write_prediction_map(file: InputFile, view: MapView, out: Path, info: ModelInfo, settings: MapSettings) -> Path:
    """Write the page of a raster or image, and return its path.

    Args:
        file: What was predicted.
        view: The map.
        out: Folder of the results.
        info: The model.
        settings: What else the page says.
    """
    facts = {
        'image': str(file.path),
        'size': f'{view.size_px[0]:,} x {view.size_px[1]:,} pixels',
        'coordinate system': (view.place.crs if view.place else '') or 'not known: places are in pixels',
        'model': settings.model or info.config,
        'recipe': f'{info.config}, {info.task}, {info.precision}',
        'command': settings.command,
    }
    path = page_of(file, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_map_page(path, f'Predictions on {view.title}', [view], facts, settings.limit_mb)
    return path


def page_of(file: InputFile, out: Path) -> Path:
    """Where the map of an image or raster is."""
    return out / FOLDER / f'{file.name}.html'


def write_image_maps(
    files: Sequence[InputFile],
    predicted: Container[str],
    journal: InputJournal,
    info: ModelInfo,
    settings: MapSettings,
) -> tuple[list[Path], list[tuple[str, str]]]:
    """Write the pages of images, those that failed have none; all paths, and path and reason of what has no page.

    Args:
        files: Images.
        predicted: Names of those that were predicted now; of the others, pages that exist are kept.
        journal: Of their results.
        info: The model.
        settings: What the pages say.
    """
    pages, failed, by_name = [], [], {file.name: file for file in files}
    for entry in track(journal.entries(files), 'Maps', len(files)):
        if 'error' in entry:
            continue
        file = by_name[entry['name']]
        try:
            if file.name in predicted or not page_of(file, journal.out).exists():
                view = image_view(file, entry, journal.out, info)
                write_prediction_map(file, view, journal.out, info, settings)
            pages.append(page_of(file, journal.out))
        except Exception as error:  # the image itself is predicted
            failed.append((str(file.path), f'no map: {type(error).__name__}: {error}'))
    return pages, failed


def write_index(out: Path, pages: Sequence[Path]) -> Path:
    """Write the list of all pages, which links them, and return its path."""
    names = [path.relative_to(out / FOLDER).with_suffix('').as_posix() for path in pages]
    listed = [(name, quote(path.relative_to(out).as_posix())) for name, path in zip(names, pages, strict=True)]
    write_file(out / INDEX, render_page(Path(__file__).with_name('maps.html'), 'Maps of predictions', pages=listed))
    return out / INDEX
