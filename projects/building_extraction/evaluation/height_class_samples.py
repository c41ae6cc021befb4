"""What was found and what is labelled in mmengine's evaluation samples, of segmentors and of detectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from projects.training.label_survey import IGNORED

from ..mask_codes import BUILDING
from .object_matching import Objects, connected_parts


@dataclass(frozen=True)
class Labels:
    """Labelled buildings of an image.

    Attributes:
        ids: (H, W) integers, 0 is no building.
        heights_m: (max id + 1,) height of each; NaN is unknown.
        ignored: (H, W) bool, pixels that are left out; no building is there.
    """

    ids: np.ndarray
    heights_m: np.ndarray
    ignored: np.ndarray


def read_labels(sample: dict[str, Any]) -> Labels:
    """Labels of a sample.

    `gt_sem_seg` says which pixels are building, background and ignored; `building_ids` and `building_heights_m` say
    which building. Building pixels without an id, all of them where there are no ids, are taken by connected parts,
    of unknown height. Without `gt_sem_seg`, the ids say all but what `ignored_instances` cover. Without either, the
    masks of `gt_instances` are the buildings, of unknown height; where they overlap, the later one has the pixel.

    Args:
        sample: A data sample as a dict, as the evaluator gives it to metrics.

    Raises:
        ValueError: The sample has no labels, or they contradict one another in size; names the image.
    """
    mask = array(sample['gt_sem_seg']['data'])[0] if 'gt_sem_seg' in sample else None
    if 'building_ids' in sample:
        ids = np.asarray(sample['building_ids'])
        heights_m = np.asarray(sample['building_heights_m'], float)
        if mask is not None and mask.shape != ids.shape:
            raise ValueError(f'{name_of(sample)}: building_ids are of {ids.shape}, gt_sem_seg is of {mask.shape}')
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(heights_m):
            raise ValueError(
                f'{name_of(sample)}: building_ids are {ids.min()} to {ids.max()}; building_heights_m has '
                f'{len(heights_m)} entries, expected one more than the largest id'
            )
    elif mask is not None:
        ids, heights_m = np.zeros(mask.shape, np.int32), np.full(1, np.nan)
    elif 'gt_instances' in sample:
        ids, heights_m = _number(masks_of(sample['gt_instances']))
    else:
        raise ValueError(
            f'{name_of(sample)} has no labels: expected gt_sem_seg, building_ids or gt_instances. Load annotations in '
            'the test pipeline, and name building_ids and building_heights_m in the meta_keys of its last transform'
        )
    if mask is None:
        ignored = masks_of(sample['ignored_instances']).any(axis=0) if has_masks(sample, 'ignored_instances') else None
        return Labels(ids, heights_m, np.zeros(ids.shape, bool) if ignored is None else ignored & (ids == 0))
    return _complete(ids, heights_m, mask)


def read_objects(sample: dict[str, Any], ignored: np.ndarray, score_threshold: float) -> Objects:
    """Buildings that were found: the instances of a detector, else the connected parts of `pred_sem_seg`.

    Args:
        sample: A data sample as a dict, as the evaluator gives it to metrics.
        ignored: (H, W) bool, pixels to leave out before parts are connected.
        score_threshold: Lowest score of an instance that counts.

    Raises:
        ValueError: There are no masks, or of another size than the labels; names the image.
    """
    detected = has_masks(sample, 'pred_instances')
    if detected:
        scores = array(sample['pred_instances']['scores'])
        found = masks_of(sample['pred_instances'], np.flatnonzero(scores >= score_threshold))
    elif 'pred_sem_seg' in sample:
        found = array(sample['pred_sem_seg']['data']) == BUILDING
    else:
        raise ValueError(f'{name_of(sample)} has no predicted masks: expected pred_sem_seg, or masks in pred_instances')
    if len(found) and found.shape[1:] != ignored.shape:
        raise ValueError(
            f'{name_of(sample)}: predictions are of {found.shape[1:]}, labels of {ignored.shape}. Labels must have the '
            'size of the image file: load them behind Resize in the test pipeline'
        )
    return Objects.of_masks(found, ~ignored) if detected else Objects.of_parts(found[0] & ~ignored)


def _complete(ids: np.ndarray, heights_m: np.ndarray, mask: np.ndarray) -> Labels:
    """Labels of exactly the building pixels of a mask: ids elsewhere go, and those without an id get one."""
    building = mask == BUILDING
    unnamed = building & (ids == 0)
    ids = np.where(building, ids, 0)
    if unnamed.any():
        parts = connected_parts(unnamed)
        ids = np.where(unnamed, parts + (len(heights_m) - 1), ids)
        heights_m = np.concatenate([heights_m, np.full(parts.max(), np.nan)])
    return Labels(ids, heights_m, mask == IGNORED)


def _number(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids of masks (N, H, W), from 1, and unknown heights."""
    ids = np.zeros(masks.shape[1:], np.int32)
    for number, mask in enumerate(masks, start=1):
        ids[mask] = number
    return ids, np.full(len(masks) + 1, np.nan)


def has_masks(sample: dict[str, Any], instances: str) -> bool:
    """Whether a sample states the masks of its `pred_instances`, `gt_instances` or `ignored_instances`."""
    return instances in sample and 'masks' in sample[instances]


def masks_of(instances: dict[str, Any], chosen: np.ndarray | None = None) -> np.ndarray:
    """(N, H, W) bool masks of instances, of a tensor, an array, or mmdet's bitmaps or polygons."""
    masks = instances['masks']
    if chosen is not None:
        masks = masks[chosen]
    return np.asarray(masks.to_ndarray() if hasattr(masks, 'to_ndarray') else array(masks), bool)


def array(values: Any) -> np.ndarray:
    """A tensor on any device, or an array, as an array."""
    return values.cpu().numpy() if hasattr(values, 'cpu') else np.asarray(values)


def name_of(sample: dict[str, Any]) -> str:
    """The file of a sample, for messages."""
    return str(sample.get('img_path', 'a sample'))
