"""BONAI's per-image files -> its COCO layer."""

import json
import logging
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from projects.geodata.heights import read_heights
from projects.reporting.progress import track
from projects.storage.atomic_files import write_file
from projects.storage.image_errors import PILLOW_ERRORS

from ..bonai_annotations import contradiction_px
from .tile_set import CATEGORY_ID, LICENSE_NOTE, Origin, WrittenTile, coco_file, write_license_note

IMAGE_SUFFIXES = {'.png', '.jpg', '.jpeg', '.tif', '.tiff'}
SHOWN = 5
TERMS = 'none is stated at github.com/jwwangchn/BONAI, whose authors ask to be cited (arXiv 2204.13637)'


def convert_bonai(folder: str | Path, out: str | Path, images: str | Path | None = None) -> dict[str, int]:
    """Write BONAI's per-image annotation files as one file of its COCO layer.

    Each `NAME.json` holds {"annotations": [{"roof": [x1, y1, …], "footprint": […], "offset": [dx, dy],
    "building_height": metres or NaN, "ignore": 0 or 1}, …]} in pixels of the image NAME; see `pair_images` for names
    that repeat. A missing footprint is roof - offset; a building without roof is `only_footprint`; a missing offset is
    that between their boxes. Heights are read as `read_heights` does; unknown ones are written as null. Files and
    buildings that cannot be used are left out, counted, and some of them named in the log. Beside `out` stands its
    `LICENSE.md`, with the name of the file before it.

    Args:
        folder: Holds the JSON files, in subfolders too; hidden ones are left out.
        out: The file to write, e.g. `coco/bonai_shanghai_trainval.json`.
        images: Folder of the images, which `file_name` is relative to; by default `folder`.

    Returns:
        Counts: images, annotations, ignored, unknown_height, only_footprint, left_out (buildings without usable
        polygon or with values of another kind), contradicting (roof is not footprint + offset) and unusable_files.

    Raises:
        FileNotFoundError: There are no JSON files.
        ValueError: None of the files can be used, or none of heights that are text; says why of some.
    """
    folder, out, images = Path(folder), Path(out), Path(images or folder)
    files = sorted(path for path in folder.rglob('[!.]*.json') if path.resolve() != out.resolve())
    if not files:
        raise FileNotFoundError(f'No *.json below {folder.absolute()}; expected one for each image of BONAI')
    paired, unusable = pair_images(files, folder, images)
    left_out: list[str] = []
    tiles: list[WrittenTile] = []
    for file, picture in track(paired.items(), 'BONAI'):
        try:
            entries = _read(file)
            with Image.open(picture) as image:
                width, height = image.size
        except PILLOW_ERRORS as error:
            unusable.append(str(error))
            continue
        name = picture.relative_to(images).as_posix()
        tiles.append(WrittenTile({'file_name': name, 'width': width, 'height': height}, []))
        for number, entry in enumerate(entries):
            try:
                tiles[-1].annotations.append(coco_annotation(entry))
            except (TypeError, ValueError) as error:
                left_out.append(f'{file}: building {number}: {error}')
    annotations = [annotation for tile in tiles for annotation in tile.annotations]
    _report(unusable, len(files), 'files', folder)
    _report(left_out, len(left_out) + len(annotations), 'buildings', folder)
    if not tiles:
        raise ValueError(f'none of the {len(files)} *.json below {folder} can be used: {"; ".join(unusable[:SHOWN])}')
    heights_m = read_heights([one['building_height'] for one in annotations], 'building_height', folder)
    for annotation, height_m in zip(annotations, heights_m.tolist(), strict=True):
        annotation['building_height'] = None if math.isnan(height_m) else height_m
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, json.dumps(coco_file(tiles), allow_nan=False))
    origins = [Origin(part, f'BONAI, {place}', TERMS) for part, place in (('images', images), ('labels', folder))]
    write_license_note(out.with_suffix(f'.{LICENSE_NOTE}'), origins)
    return {
        'images': len(tiles),
        'annotations': len(annotations),
        'ignored': sum(annotation['ignore_flag'] for annotation in annotations),
        'unknown_height': sum(annotation['building_height'] is None for annotation in annotations),
        'only_footprint': sum(annotation['only_footprint'] for annotation in annotations),
        'left_out': len(left_out),
        'contradicting': sum(contradiction_px(annotation) > 1 for annotation in annotations),
        'unusable_files': len(unusable),
    }


def pair_images(files: list[Path], folder: Path, images: Path) -> tuple[dict[Path, Path], list[str]]:
    """Find the image of each annotation file: the one of its name, and of several the one in folders of the same names.

    So `labels/beijing/L18_1.json` and `beijing/labels/L18_1.json` belong to `images/beijing/L18_1.png` and
    `beijing/images/L18_1.png`, whatever other cities have an L18_1. Where that leaves a choice, none is made.

    Args:
        files: Annotation files below `folder`.
        folder: Their folder.
        images: Folder of the images, searched to the bottom.

    Returns:
        The image of each file, and what is wrong with those that have none.
    """
    pictures = defaultdict(list)
    for path in sorted(images.rglob('[!.]*')):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            pictures[path.stem].append(path)
    claims = defaultdict(list)
    problems = []
    for file in files:
        candidates = _most_alike(file, folder, pictures[file.stem], images)
        if len(candidates) == 1:
            claims[candidates[0]].append(file)
        elif candidates:
            problems.append(
                f'{file} may belong to {_listed(candidates)}: give folders of labels and images equal names'
            )
        else:
            problems.append(f'{file} has no image of its name below {images.absolute()}')
    paired = {}
    for picture, claimants in claims.items():
        best = _most_alike(picture, images, claimants, folder)
        if len(best) == 1:
            paired[best[0]] = picture
        problems += [
            f'{file}: {picture} may belong to {_listed(best)}'
            for file in claimants
            if file not in best or len(best) > 1
        ]
    return paired, problems


def _most_alike(path: Path, root: Path, others: list[Path], others_root: Path) -> list[Path]:
    """Those in the same folder below their root, else those that share the most names of folders with a path."""
    own = path.relative_to(root).parts[:-1]
    folders = [other.relative_to(others_root).parts[:-1] for other in others]
    alike = [(its == own, sum((Counter(its) & Counter(own)).values())) for its in folders]
    return [other for other, likeness in zip(others, alike, strict=True) if likeness == max(alike)]


def _listed(paths: list[Path]) -> str:
    return ' or '.join(map(str, paths[:SHOWN]))


def _report(problems: list[str], total: int, what: str, folder: Path) -> None:
    if problems:
        examples = '; '.join(problems[:SHOWN])
        print_log(
            f'{folder}: {len(problems)} of {total} {what} are left out: {examples}',
            logger='current',
            level=logging.WARNING,
        )


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{file} is not JSON: {error}') from error
    entries = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{file}: expected an object with a list "annotations" of objects')
    return entries


def coco_annotation(entry: dict[str, Any]) -> dict[str, Any]:
    """One annotation of the per-image layer as one of the COCO layer, without ids.

    Args:
        entry: As in the file.

    Returns:
        The annotation, its height as in the file.

    Raises:
        TypeError, ValueError: Neither roof nor footprint is a polygon, or a value is of another kind than the format
            has.
    """
    roof, footprint = (_polygon(entry.get(kind)) for kind in ('roof', 'footprint'))
    only_footprint = roof is None
    offset_px = None if entry.get('offset') is None else np.array(entry['offset'], float)
    if offset_px is not None and (offset_px.shape != (2,) or not np.isfinite(offset_px).all()):
        raise ValueError('"offset" must be two finite numbers')
    if roof is None:
        roof = footprint
    if roof is None:
        raise ValueError('neither "roof" nor "footprint" is a polygon with an area')
    if footprint is None:
        footprint = roof - (0.0 if offset_px is None else offset_px)
    if offset_px is None or only_footprint:
        offset_px = roof.min(0) - footprint.min(0)
    ignored = int(bool(entry.get('ignore')))
    return {
        'category_id': CATEGORY_ID,
        'area': _area(roof),
        'iscrowd': ignored,
        'ignore_flag': ignored,
        'only_footprint': int(only_footprint),
        'bbox': _box(roof),
        'roof_bbox': _box(roof),
        'footprint_bbox': _box(footprint),
        'building_bbox': _box(np.concatenate([roof, footprint])),
        'segmentation': [roof.ravel().tolist()],
        'roof_mask': roof.ravel().tolist(),
        'footprint_mask': footprint.ravel().tolist(),
        'offset': offset_px.tolist(),
        'building_height': entry.get('building_height'),
    }


def _polygon(flat: list[float] | None) -> np.ndarray | None:
    """(N, 2) points of [x1, y1, …]; None if they are no polygon with an area."""
    values = np.asarray(flat or [], float)
    if values.ndim != 1 or len(values) < 6 or len(values) % 2 or not np.isfinite(values).all():
        return None
    points = values.reshape(-1, 2)
    return points if _area(points) > 0 else None


def _area(points: np.ndarray) -> float:
    """Area in square pixels, by the shoelace formula."""
    x, y = points.T - points[:1].T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _box(points: np.ndarray) -> list[float]:
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]
