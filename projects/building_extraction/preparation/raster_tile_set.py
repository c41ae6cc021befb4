"""The folder of a set of building tiles: collected under a hidden name, complete under its own."""

import json
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from projects.building_extraction.mask_codes import IGNORED_GREY
from projects.building_extraction.preparation.raster_blocks import PARTS
from projects.building_extraction.preparation.raster_tile_labels import CATEGORY_ID
from projects.geodata.raster_files import write_geotiff
from projects.storage.atomic_files import replacing

LAYERS = {'images': '.png', 'masks': '.png', 'instances': '.png', 'heights': '.tif', 'buildings': '.json'}
SET_ENTRIES = {*PARTS, 'labels', 'parameters.json', 'overview.png'}


def ignore_buildings(record: dict[str, Any], buildings: Set[int]) -> dict[str, Any]:
    """The record of a tile in which these buildings are ignored, as they belong to another part: `iscrowd` is set."""
    hidden = [annotation for annotation in record['annotations'] if annotation['building'] in buildings]
    annotations = [
        annotation | {'iscrowd': 1} if annotation['building'] in buildings else annotation
        for annotation in record['annotations']
    ]
    building_px = record['building_px'] - sum(annotation['area'] for annotation in hidden)
    return record | {
        'annotations': annotations,
        'building_px': building_px,
        'ignored': [annotation['instance'] for annotation in hidden],
    }


def write_part(tiles: Path, part: Path, ignored: Mapping[str, Sequence[int]]) -> None:
    """Write the tiles of one part.

    Args:
        tiles: Where all tiles are; they stay there.
        part: The folder of the part.
        ignored: For each of its tiles the instances that belong to another part. In its maps they become pixels to
            ignore, as those without data.
    """
    for layer, suffix in LAYERS.items():
        (part / layer).mkdir(parents=True)
        for name, instances in ignored.items():
            if layer == 'images' or not instances:
                _link(tiles / layer / f'{name}{suffix}', part / layer / f'{name}{suffix}')
    for name, instances in ignored.items():
        if instances:
            _write_without(tiles, part, name, instances)


def _link(path: Path, other: Path) -> None:
    """A second name for a file; on a disk that knows none, a copy."""
    try:
        other.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, other)


def _write_without(tiles: Path, part: Path, name: str, instances: Sequence[int]) -> None:
    """Write the maps of a tile without some of its instances."""
    home, path = (
        {layer: place / layer / f'{name}{suffix}' for layer, suffix in LAYERS.items()} for place in (tiles, part)
    )
    numbers = np.asarray(Image.open(home['instances']))
    hidden = np.isin(numbers, instances)
    Image.fromarray(np.where(hidden, 0, numbers)).save(path['instances'])
    Image.fromarray(np.where(hidden, np.uint8(IGNORED_GREY), np.asarray(Image.open(home['masks'])))).save(path['masks'])
    write_geotiff(path['heights'], np.where(hidden, np.float32(0), np.asarray(Image.open(home['heights']))))
    rows = json.loads(home['buildings'].read_text())
    write_json(path['buildings'], [row for row in rows if row['instance'] not in instances])


def coco(records: dict[str, dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """The COCO instance file of the tiles of one part, from the records of each."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, record in records.items():
        width, height = record['size_px']
        image = {'id': len(images) + 1, 'file_name': f'{name}{LAYERS["images"]}', 'width': width, 'height': height}
        images.append(image | {key: record[key] for key in ('gsd_m', 'cell', 'transform')})
        for annotation in record['annotations']:
            annotations.append({'id': len(annotations) + 1, 'image_id': image['id']} | annotation)
    return {
        'info': {'description': 'Buildings in tiles of one image', 'parameters': parameters},
        'images': images,
        'annotations': annotations,
        'categories': [{'id': CATEGORY_ID, 'name': 'building'}],
    }


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON; the file appears complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent))
