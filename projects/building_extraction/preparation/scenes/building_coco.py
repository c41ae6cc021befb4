"""Buildings of rendered tiles as a COCO instance file, with BONAI's additional fields."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_api

from projects.city_scenes.labels import BuildingRecord

Box = tuple[int, ...]
CATEGORIES = [{'id': 1, 'name': 'building'}]


def annotate(
    instances: np.ndarray, roof_ids: np.ndarray, footprint_ids: np.ndarray, records: Sequence[BuildingRecord]
) -> list[dict[str, Any]]:
    """Writes the buildings of a tile as annotations, without `id` and `image_id`.

    `segmentation` is the label's mask as run lengths: exact, holes and all. Beside COCO's fields there are those of
    BONAI (jwwangchn/BONAI, mmdet/datasets/bonai.py): `building_height`, `offset` (footprint + offset = roof),
    `roof_mask` and `footprint_mask` (outline of the largest part, x and y in turn), `roof_bbox`, `footprint_bbox` and
    `building_bbox`; empty where the roof is wholly hidden or the footprint lies outside of the tile. `bbox` is that
    of the label, BONAI's that of the roof.

    Args:
        instances: (H, W) Numbers of the label's buildings; 0 is none.
        roof_ids: (H, W) Buildings whose roof is seen; the same numbers.
        footprint_ids: (H, W) Buildings that stand there; the same numbers.
        records: The buildings to write.

    Returns:
        One annotation for each building that has pixels in the label, in the order of the records.
    """
    boxes, roofs, footprints = (_bounding_boxes(ids) for ids in (instances, roof_ids, footprint_ids))
    by_column = np.asfortranarray(instances)
    annotations = []
    for record in records:
        number = record.instance
        if number not in boxes:
            continue
        encoded = mask_api.encode((by_column == number).view(np.uint8))
        known = np.isfinite(record.height_m)
        annotations.append(
            {
                'category_id': 1,
                'segmentation': {'size': encoded['size'], 'counts': encoded['counts'].decode('ascii')},
                'area': int(mask_api.area(encoded)),
                'bbox': _corner_and_size(boxes[number]),
                'iscrowd': 0,
                'ignore_flag': 0,
                'building_height': record.height_m if known else None,
                'offset': [round(float(value), 3) for value in record.offset_px] if known else None,
                'roof_mask': outline(roof_ids, number, roofs.get(number)),
                'footprint_mask': outline(footprint_ids, number, footprints.get(number)),
                'roof_bbox': _corner_and_size(roofs.get(number)),
                'footprint_bbox': _corner_and_size(footprints.get(number)),
                'building_bbox': _corner_and_size(_union(roofs.get(number), footprints.get(number))),
            }
        )
    return annotations


def _bounding_boxes(ids: np.ndarray) -> dict[int, Box]:
    """Left, top, right and bottom of each number that occurs; 0 is none."""
    places = np.flatnonzero(ids)
    numbers = ids.ravel()[places].astype(np.uint16)
    order = np.argsort(numbers, kind='stable')
    present, first = np.unique(numbers[order], return_index=True)
    if not len(present):
        return {}
    points = np.stack([places % ids.shape[1], places // ids.shape[1]], axis=1)[order]
    corners = np.hstack([np.minimum.reduceat(points, first), np.maximum.reduceat(points, first) + 1])
    return {number: tuple(corner) for number, corner in zip(present.tolist(), corners.tolist(), strict=True)}


def _union(first: Box | None, second: Box | None) -> Box | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def _corner_and_size(box: Box | None) -> list[int]:
    return [] if box is None else [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def outline(ids: np.ndarray, number: int, box: Box | None) -> list[float]:
    """Outline of the largest part of a building's pixels, along the pixels' corners.

    Args:
        ids: (H, W) Numbers of buildings.
        number: The building.
        box: Left, top, right and bottom of its pixels; None if it has none.

    Returns:
        [x1, y1, x2, y2, ...] in pixels, (0, 0) being the upper left corner of the image; empty without box.
    """
    if box is None:
        return []
    left, top, right, bottom = box
    mask = (ids[top:bottom, left:right] == number).astype(np.uint8)
    corners = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    for down in (0, 1):
        for across in (0, 1):
            corners[down : down + mask.shape[0], across : across + mask.shape[1]] |= mask
    parts, _ = cv2.findContours(corners, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(parts, key=cv2.contourArea)[:, 0]
    return (largest + np.array([left, top])).astype(float).ravel().tolist()


def coco_file(
    images: list[dict[str, Any]], annotations: list[list[dict[str, Any]]], info: dict[str, Any]
) -> dict[str, Any]:
    """Puts the tiles of a split together, numbering images and annotations from 1.

    Args:
        images: One entry for each tile, without `id`.
        annotations: The annotations of each tile.
        info: What the set was made with.

    Returns:
        The contents of the file.
    """
    entries: list[dict[str, Any]] = []
    numbered: list[dict[str, Any]] = []
    for image_id, (image, own) in enumerate(zip(images, annotations, strict=True), start=1):
        entries.append({'id': image_id} | image)
        for annotation in own:
            numbered.append({'id': len(numbered) + 1, 'image_id': image_id} | annotation)
    return {'info': info, 'images': entries, 'annotations': numbered, 'categories': CATEGORIES}
