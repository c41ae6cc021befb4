"""Buildings of rendered tiles as COCO annotations, with BONAI's additional fields."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from projects.city_scenes.labels import BuildingRecord

from ..tile_set import boxes, instance_masks

Box = tuple[int, ...]


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
    masks, roofs, footprints = dict(instance_masks(instances)), boxes(roof_ids), boxes(footprint_ids)
    annotations = []
    for record in records:
        number = record.instance
        if number not in masks:
            continue
        known = np.isfinite(record.height_m)
        annotations.append(
            masks[number]
            | {
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
