"""BONAI's per-image files -> its COCO layer."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from projects.atomic_files import replacing

from .bonai import contradiction_px
from .loading import known_heights_m

IMAGE_SUFFIXES = {'.png', '.jpg', '.jpeg', '.tif', '.tiff'}


def convert_bonai(folder: str | Path, out: str | Path, images: str | Path | None = None) -> dict[str, int]:
    """Write BONAI's per-image annotation files as one file of its COCO layer.

    Each `NAME.json` holds {"annotations": [{"roof": [x1, y1, …], "footprint": […], "offset": [dx, dy],
    "building_height": metres or NaN, "ignore": 0 or 1}, …]} in pixels of the image NAME. A missing footprint is
    roof - offset; a building without roof is `only_footprint`; a missing offset is that between their boxes. An
    unknown height is written as null.

    Args:
        folder: Holds the JSON files, in subfolders too; hidden ones are left out.
        out: The file to write, e.g. `coco/bonai_shanghai_trainval.json`.
        images: Folder of the images, which `file_name` is relative to; by default `folder`.

    Returns:
        Counts: images, annotations, ignored, unknown_height, only_footprint, left_out (no usable polygon) and
        contradicting (roof is not footprint + offset).

    Raises:
        FileNotFoundError: There are no JSON files, or a file has no image.
        ValueError: A file is not JSON or of another structure; names it.
    """
    folder, out, images = Path(folder), Path(out), Path(images or folder)
    image_paths = {path.stem: path for path in sorted(images.rglob('*')) if path.suffix.lower() in IMAGE_SUFFIXES}
    files = sorted(path for path in folder.rglob('[!.]*.json') if path.resolve() != out.resolve())
    if not files:
        raise FileNotFoundError(f'No *.json below {folder.absolute()}; expected one for each image of BONAI')
    counts: Counter[str] = Counter()
    content: dict[str, list] = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'building'}]}
    for image_id, file in enumerate(track(files, 'BONAI'), start=1):
        if file.stem not in image_paths:
            raise FileNotFoundError(f'{file} has no image of its name below {images.absolute()}')
        with Image.open(image_paths[file.stem]) as image:
            width, height = image.size
        name = image_paths[file.stem].relative_to(images).as_posix()
        content['images'].append({'id': image_id, 'file_name': name, 'width': width, 'height': height})
        for entry in _read(file):
            try:
                annotation = coco_annotation(entry)
            except (TypeError, ValueError) as error:
                raise ValueError(f'{file}: {error}: {str(entry)[:200]}') from error
            if annotation is None:
                counts['left_out'] += 1
                continue
            identity = {'id': len(content['annotations']) + 1, 'image_id': image_id}
            content['annotations'].append(identity | annotation)
    annotations = content['annotations']
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding='utf-8')
    return {
        'images': len(files),
        'annotations': len(annotations),
        'ignored': sum(annotation['ignore_flag'] for annotation in annotations),
        'unknown_height': sum(annotation['building_height'] is None for annotation in annotations),
        'only_footprint': sum(annotation['only_footprint'] for annotation in annotations),
        'left_out': counts['left_out'],
        'contradicting': sum(contradiction_px(annotation) > 1 for annotation in annotations),
    }


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f'{file} is not JSON: {error}') from error
    entries = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{file}: expected an object with a list "annotations" of objects')
    return entries


def coco_annotation(entry: dict[str, Any]) -> dict[str, Any] | None:
    """One annotation of the per-image layer as one of the COCO layer, without ids.

    Args:
        entry: As in the file.

    Returns:
        The annotation; None if neither roof nor footprint is a polygon.

    Raises:
        TypeError, ValueError: A value is of another kind than the format has.
    """
    roof, footprint = (_polygon(entry.get(kind)) for kind in ('roof', 'footprint'))
    only_footprint = roof is None
    offset_px = None if entry.get('offset') is None else np.array(entry['offset'], float)
    if offset_px is not None and (offset_px.shape != (2,) or not np.isfinite(offset_px).all()):
        raise ValueError('"offset" must be two finite numbers')
    if roof is None:
        roof = footprint
    if roof is None:
        return None
    if footprint is None:
        footprint = roof - (0.0 if offset_px is None else offset_px)
    if offset_px is None or only_footprint:
        offset_px = roof.min(0) - footprint.min(0)
    (height_m,) = known_heights_m([entry.get('building_height')]).tolist()
    ignored = int(bool(entry.get('ignore')))
    return {
        'category_id': 1,
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
        'building_height': None if np.isnan(height_m) else height_m,
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
