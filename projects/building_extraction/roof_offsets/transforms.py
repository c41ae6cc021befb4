"""Offsets and heights of buildings through every transform of an image.

Beside mmdet's `gt_bboxes`, `gt_masks` and `gt_bboxes_labels` samples carry, in the same rows,

- `gt_offsets`: (N, 2) float32, roof - footprint in pixels, to the right and down; NaN where unknown
- `gt_heights_m`: (N,) float32 metres above ground; NaN where unknown

mmdet's transforms record as `homography_matrix` what they did to the pixels, and keep the rows of `gt_instances_ids`:
so whatever one of them does, its subclass here moves the offsets likewise.
"""

import math
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, RandomCrop, RandomFlip, Resize
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import TRANSFORMS

ROWS, MATRIX = 'gt_instances_ids', 'homography_matrix'


@TRANSFORMS.register_module()
class LoadRoofs(LoadAnnotations):
    """mmdet's LoadAnnotations with `gt_offsets` and `gt_heights_m`, of a data set that has `with_offsets`."""

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        unknown = {'offset': (math.nan, math.nan), 'height_m': math.nan}
        rows = [unknown | instance for instance in results.get('instances', [])]
        results['gt_offsets'] = np.array([row['offset'] for row in rows], np.float32).reshape(-1, 2)
        results['gt_heights_m'] = np.array([row['height_m'] for row in rows], np.float32)
        return results


class _MovesOffsets:
    """Mixin for mmdet's transforms: offsets follow the matrix that one records, and the rows that it keeps."""

    def transform(self, results: dict) -> dict | None:
        earlier = results.pop(MATRIX, None)
        results[ROWS] = np.arange(len(results['gt_offsets']))
        results = super().transform(results)  # type: ignore[misc]
        if results is None:  # a crop without buildings
            return None
        kept, matrix = results.pop(ROWS), results.get(MATRIX)
        if matrix is not None:
            results['gt_offsets'] = (results['gt_offsets'] @ matrix[:2, :2].T).astype(np.float32)
        if earlier is not None:
            results[MATRIX] = earlier if matrix is None else matrix @ earlier
        results['gt_offsets'], results['gt_heights_m'] = results['gt_offsets'][kept], results['gt_heights_m'][kept]
        return results


@TRANSFORMS.register_module()
class ResizeRoofs(_MovesOffsets, Resize):
    """mmdet's Resize; offsets are scaled by the factors of width and height, heights stay."""


@TRANSFORMS.register_module()
class RandomFlipRoofs(_MovesOffsets, RandomFlip):
    """mmdet's RandomFlip; offsets are mirrored."""


@TRANSFORMS.register_module()
class RandomCropRoofs(_MovesOffsets, RandomCrop):
    """mmdet's RandomCrop; the buildings that remain keep their whole offsets, wherever their footprints are."""


class _RandomTurn(BaseTransform):
    """See `RandomTurnRoofs`."""

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        for _ in range(self._quarters()):
            height, width = results['img'].shape[:2]
            matrix = np.array([[0, 1, 0], [-1, 0, width], [0, 0, 1]], np.float32)  # (x, y) becomes (y, width - x)
            results['img'] = np.ascontiguousarray(np.rot90(results['img']))
            results['img_shape'] = (width, height)
            results['gt_bboxes'].project_(matrix)
            if 'gt_masks' in results:
                turned = np.rot90(results['gt_masks'].masks, axes=(1, 2))
                results['gt_masks'] = BitmapMasks(np.ascontiguousarray(turned), width, height)
            results[MATRIX] = matrix @ results.get(MATRIX, np.eye(3, dtype=np.float32))
        return results

    @cache_randomness
    def _quarters(self) -> int:
        return int(np.random.randint(4))


@TRANSFORMS.register_module()
class RandomTurnRoofs(_MovesOffsets, _RandomTurn):
    """Turns an image, boxes, bitmap masks and offsets counterclockwise by 0 to 3 quarters, each as likely."""


@TRANSFORMS.register_module()
class PackRoofs(PackDetInputs):
    """mmdet's PackDetInputs with `offsets` and `heights_m` in `gt_instances`.

    A building whose roof has no pixel left, as a crop may leave its facade alone, is ignored.
    """

    mapping_table = PackDetInputs.mapping_table | {'gt_offsets': 'offsets', 'gt_heights_m': 'heights_m'}

    def transform(self, results: dict) -> dict[str, Any]:
        if isinstance(masks := results.get('gt_masks'), BitmapMasks):
            results['gt_ignore_flags'] = results['gt_ignore_flags'] | ~masks.masks.any(axis=(1, 2))
        return super().transform(results)
