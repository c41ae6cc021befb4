"""Masks of instances as polygons until a mask head cuts out its targets."""

from typing import Any

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.structures.mask import PolygonMasks
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadInstances(LoadAnnotations):
    """mmdet's LoadAnnotations of boxes, labels and masks, whose masks stay polygons where annotations have these.

    As bitmaps, the masks of a COCO image at 1333x800 are 38 MB, which are drawn, resized, flipped and packed for each
    sample, while the mask head reads 28x28 cells of each: of polygons it draws these alone
    (`PolygonMasks.crop_and_resize`). Images with an instance that has a run-length code keep bitmaps; regions of crowds
    have codes, too, but no head reads them.

    Args:
        **kwargs: Of mmdet's `LoadAnnotations`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(with_bbox=True, with_mask=True, **kwargs)

    def _load_masks(self, results: dict) -> None:
        instances = results.get('instances', [])
        if any(not isinstance(one['mask'], list) and not one['ignore_flag'] for one in instances):
            super()._load_masks(results)
            return
        masks = [mask if isinstance(mask, list) else [np.zeros(6)] for mask in self._process_masks(results)]
        results['gt_masks'] = PolygonMasks(masks, *results['ori_shape'])
