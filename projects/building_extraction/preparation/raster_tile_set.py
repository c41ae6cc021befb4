"""The folder of a set of building tiles: collected under a hidden name, complete under its own."""

import json
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from projects.building_extraction.preparation.out_dir import check_contents
from projects.building_extraction.preparation.raster_blocks import PARTS
from projects.building_extraction.preparation.raster_tile_labels import CATEGORY_ID, IGNORED
from projects.geodata.raster_files import write_geotiff
from projects.storage.atomic_files import replacing
from projects.storage.parameters import differences

LAYERS = {'images': '.png', 'masks': '.png', 'instances': '.png', 'heights': '.tif', 'buildings': '.json'}
SET_ENTRIES = {*PARTS, 'labels', 'parameters.json', 'overview.png'}


def check_out_dir(out_dir: Path, sources: Sequence[Path], overwrite: bool) -> None:
    """Refuse a folder that holds something else, a set unless it may be replaced, or the sources.

    Args:
        out_dir: The folder to write.
        sources: The files to read.
        overwrite: Whether a set may be replaced.

    Raises:
        FileExistsError: It is in use.
        ValueError: A source lies in it.
    """
    for source in sources:
        if source.resolve().is_relative_to(out_dir.resolve()):
            raise ValueError(f'the output folder {out_dir} must lie apart from {source}')
    check_contents(out_dir, SET_ENTRIES, overwrite)


def open_staging(out_dir: Path, parameters: dict[str, Any], sources: Sequence[Path], overwrite: bool) -> Path:
    """The folder where tiles are collected; that of an interrupted run if it made the same tiles.

    Args:
        out_dir: The folder of the set.
        parameters: What the set is made with; `settings` hold `blocks`, on which tiles do not depend.
        sources: The files to read.
        overwrite: Whether an interrupted run of other tiles may be forgotten.

    Raises:
        FileExistsError: There is one, and it may not.
    """
    staging = out_dir.with_name(f'.{out_dir.name}.partial')
    same_tiles = {key: value for key, value in parameters.items() if key != 'settings'}
    same_tiles['settings'] = {key: value for key, value in parameters['settings'].items() if key != 'blocks'}
    same_tiles['files'] = [[path.stat().st_size, path.stat().st_mtime_ns] for path in sources]
    stated = staging / 'fingerprint.json'
    if stated.exists() and (differing := differences(json.loads(stated.read_text()), same_tiles)):
        if not overwrite:
            raise FileExistsError(
                f'{staging} holds an interrupted run with other settings or sources ({"; ".join(differing)}); repeat '
                'those to go on with it, or pass --overwrite to start anew'
            )
        shutil.rmtree(staging)
    for layer in (*LAYERS, 'records'):
        (staging / layer).mkdir(parents=True, exist_ok=True)
    write_json(stated, same_tiles)
    return staging


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


def move_tiles(staging: Path, part: str, ignored: Mapping[str, Sequence[int]]) -> None:
    """Move tiles into the folder of their part, wherever a run that was interrupted here had left them.

    Args:
        staging: Where the tiles are collected.
        part: The part.
        ignored: For each of its tiles the instances that belong to another part. In its maps they become pixels to
            ignore, as those without data; the maps as they were stay in `staging` until the set is finished.
    """
    for layer, suffix in LAYERS.items():
        (staging / part / layer).mkdir(parents=True, exist_ok=True)
        for name in ignored:
            home, *left = (staging / place / layer / f'{name}{suffix}' for place in ('', *PARTS))
            left = [path for path in left if path.exists()]
            if not home.exists():
                left.pop().replace(home)
            for path in left:
                path.unlink()
    for name, instances in ignored.items():
        for layer, suffix in LAYERS.items():
            home, path = staging / layer / f'{name}{suffix}', staging / part / layer / f'{name}{suffix}'
            if layer == 'images' or not instances:
                home.replace(path)
        if instances:
            _write_without(staging, part, name, instances)


def _write_without(staging: Path, part: str, name: str, instances: Sequence[int]) -> None:
    """Write the maps of a tile without some of its instances."""
    home, path = (
        {layer: place / layer / f'{name}{suffix}' for layer, suffix in LAYERS.items()}
        for place in (staging, staging / part)
    )
    numbers = np.asarray(Image.open(home['instances']))
    hidden = np.isin(numbers, instances)
    Image.fromarray(np.where(hidden, 0, numbers)).save(path['instances'])
    Image.fromarray(np.where(hidden, np.uint8(IGNORED), np.asarray(Image.open(home['masks'])))).save(path['masks'])
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


def finish(staging: Path, out_dir: Path) -> None:
    """Remove what was needed on the way, and let the set appear under its name."""
    for entry in list(staging.iterdir()):
        if entry.name in SET_ENTRIES:
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    old = out_dir.with_name(f'.{out_dir.name}.old')
    if out_dir.exists():
        out_dir.replace(old)
    staging.replace(out_dir)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON; the file appears complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent))
