"""Detections as COCO writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely

from projects.pixels.pasting import paste_mask
from projects.pixels.run_lengths import encode_parts
from projects.storage.atomic_files import replacing

from ..predictions import Detections

if TYPE_CHECKING:  # it needs the extra 'geo'
    from .rasters.instances import RasterInstances


class InstanceMask(NamedTuple):
    """An instance's pixels: rows and columns of a window in the image, and the boolean mask there."""

    rows: slice
    columns: slice
    mask: np.ndarray


def paste_masks(detections: Detections, size: tuple[int, int], threshold: float) -> list[InstanceMask] | None:
    """Masks in the image of a height and width, or None for a detector of boxes alone."""
    if detections.masks is None:
        return None
    pairs = zip(detections.masks, detections.boxes, strict=True)
    return [InstanceMask(*paste_mask(mask, box, size, threshold)) for mask, box in pairs]


def to_annotations(
    detections: Detections, masks: list[InstanceMask] | None, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """One dict per instance: `category_id` (from 1), `bbox` (left, top, width, height), `score`, `area`, its mask.

    Of a building with an offset also `offset` and `building_height`.

    Args:
        detections: Of one image, in its pixels.
        masks: From `paste_masks`.
        size: Height and width of the image.
    """
    annotations = []
    codes = [] if masks is None else encode_parts(masks, size)
    for index, box in enumerate(detections.boxes.tolist()):
        area = round((box[2] - box[0]) * (box[3] - box[1]), 2)
        annotation = _annotation(detections.labels[index], box, detections.scores[index], area)
        if detections.offsets is not None and detections.heights_m is not None:
            annotation |= _offset(detections.offsets[index], detections.heights_m[index])
        if masks is not None:
            annotation['area'] = int(masks[index].mask.sum())
            annotation['segmentation'] = codes[index]
        annotations.append(annotation)
    return annotations


def polygons_to_annotations(instances: RasterInstances) -> Iterator[dict[str, Any]]:
    """One dict per object of a raster, in its pixels; the segmentation is a list of outer rings, without holes."""
    for index, box in enumerate(instances.boxes.tolist()):
        polygon = instances.polygons[index]
        annotation = _annotation(instances.labels[index], box, instances.scores[index], float(polygon.area))
        if np.isfinite(instances.offsets[index]).all():
            annotation |= _offset(instances.offsets[index], instances.heights_m[index])
        parts = shapely.get_parts(polygon)
        annotation['segmentation'] = [shapely.get_coordinates(part.exterior)[:-1].ravel().tolist() for part in parts]
        yield annotation


def _annotation(label: Any, box: list[float], score: Any, area: float) -> dict[str, Any]:
    left, top, right, bottom = box
    return {
        'category_id': int(label) + 1,
        'bbox': [round(value, 2) for value in (left, top, right - left, bottom - top)],
        'score': round(float(score), 5),
        'area': area,
        'iscrowd': 0,
    }


def _offset(offset: np.ndarray, height_m: Any) -> dict[str, Any]:
    """As BONAI has them: roof - footprint in pixels to the right and down, metres above ground."""
    return {'offset': [round(float(value), 2) for value in offset], 'building_height': round(float(height_m), 2)}


def write_coco(
    path: str | Path, classes: Sequence[str], images: Iterable[dict[str, Any]], annotations: Iterable[dict[str, Any]]
) -> None:
    """Write an object with `images`, `categories` and `annotations`, which COCO's tools open as a data set.

    Its `annotations` alone are a list in COCO's format of results. Categories count from 1 in the order of the model's
    classes: the identifiers of a data set may be others, its names are the same.

    Args:
        path: `.json`.
        classes: Names.
        images: `id`, `file_name`, `width` and `height` of each.
        annotations: Results with their `image_id`; they are numbered from 1 and written as they come, never all held.
    """
    categories = [{'id': index, 'name': name} for index, name in enumerate(classes, 1)]
    with replacing(path) as partial, partial.open('w', encoding='utf-8') as file:
        file.write(f'{{"categories": {json.dumps(categories)},\n"images": [\n')
        file.writelines(f'{"," if index else ""}{json.dumps(image)}\n' for index, image in enumerate(images))
        file.write('],\n"annotations": [\n')
        for number, annotation in enumerate(annotations, 1):
            file.write(f'{"," if number > 1 else ""}{json.dumps({"id": number, **annotation})}\n')
        file.write(']}\n')
