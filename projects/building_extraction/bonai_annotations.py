"""One annotation of BONAI's COCO layer: roof, footprint and offset, in pixels; roof = footprint + offset."""

from collections.abc import Sequence
from typing import Any

import numpy as np

LABELS = ('roof', 'footprint', 'building')


def check_label(label: str) -> str:
    """The label itself; ValueError if it is not one of `LABELS`."""
    if label not in LABELS:
        raise ValueError(f'label={label!r} of BONAI: expected one of {LABELS}')
    return label


def labeled(annotation: dict[str, Any], label: str) -> dict[str, Any] | None:
    """An annotation of BONAI's COCO layer whose segmentation and box are those of one label.

    The building is what its roof sweeps on the way to its footprint: the facades that are seen and those that are not.
    What BONAI ignores (`ignore_flag`, `ignore`) becomes a crowd. `only_footprint` says that the roof is not known, so
    that it becomes a crowd too, except as footprint.

    Args:
        annotation: As in the file.
        label: One of `LABELS`.

    Returns:
        A new annotation; None if it lacks `roof_mask`, or both `footprint_mask` and the `offset` to it.
    """
    roof, footprint = (_ring(annotation.get(key)) for key in ('roof_mask', 'footprint_mask'))
    offset = offset_px(annotation)
    if footprint is None and roof and offset:
        footprint = (_points(roof) - offset).ravel().tolist()
    if roof is None or footprint is None:
        return None
    rings = {'roof': [roof], 'footprint': [footprint], 'building': [roof, footprint, *_facades(roof, offset)]}[label]
    points = np.concatenate([_points(ring) for ring in rings])
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    ignored = any(annotation.get(flag) for flag in ('iscrowd', 'ignore_flag', 'ignore'))
    without_roof = bool(annotation.get('only_footprint')) and label != 'footprint'
    return {key: value for key, value in annotation.items() if key != 'ignore'} | {
        'segmentation': rings,
        'bbox': [left, top, right - left, bottom - top],
        'iscrowd': int(ignored or without_roof),
    }


def _ring(flat: Any) -> list[float] | None:
    """[x1, y1, …] if it is a polygon of finite points."""
    usable = isinstance(flat, list) and len(flat) >= 6 and len(flat) % 2 == 0 and _are_finite(flat)
    return flat if usable else None


def offset_px(annotation: dict[str, Any]) -> Sequence[float] | None:
    """[dx, dy], roof - footprint in pixels to the right and down; None if it is not known."""
    stated = annotation.get('offset')
    usable = isinstance(stated, list | tuple) and len(stated) == 2 and _are_finite(stated)
    return stated if usable else None


def _are_finite(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values) and bool(np.isfinite(values).all())


def _points(ring: list[float]) -> np.ndarray:
    return np.asarray(ring, float).reshape(-1, 2)


def _facades(roof: list[float], offset: Sequence[float] | None) -> list[list[float]]:
    """The parallelogram that each edge of a roof sweeps."""
    if not offset or not np.any(offset):
        return []
    start = _points(roof)
    end = np.roll(start, -1, axis=0)
    return np.stack([start, end, end - offset, start - offset], axis=1).reshape(len(start), 8).tolist()


def contradiction_px(annotation: dict[str, Any]) -> float:
    """How far roof and footprint + offset are apart; their boxes, if they differ in the number of points.

    Args:
        annotation: Of BONAI's COCO layer.

    Returns:
        Largest distance in x or y; NaN if a part is not given.
    """
    rings = [_ring(annotation.get(key)) for key in ('roof_mask', 'footprint_mask')]
    offset = offset_px(annotation)
    if None in rings or offset is None:
        return float('nan')
    roof, footprint = (_points(ring) for ring in rings if ring is not None)
    moved = footprint + offset
    if roof.shape != moved.shape:
        roof, moved = (np.stack([points.min(0), points.max(0)]) for points in (roof, moved))
    return float(np.abs(roof - moved).max())
