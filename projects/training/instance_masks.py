"""Masks of instances as small as they are: polygons until a head cuts out its targets, parts until pixels are read."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, TRANSFORMS
from torch import Tensor

from projects.pixels.pasting import paste_mask
from projects.pixels.run_lengths import encode_parts


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


class PlacedMasks(BitmapMasks):
    """Mmdet's masks of an image, of which each is known in a part of it.

    100 masks of an image at 1333x800 are 107 MB: they become whole for those alone who read pixels of the image, as
    pictures and scores of buildings do.

    Args:
        parts: Rows and columns of the image, and the boolean mask there, of each.
        height: Of the image.
        width: Of the image.
    """

    def __init__(self, parts: Sequence[tuple[slice, slice, np.ndarray]], height: int, width: int) -> None:
        self.parts, self.height, self.width = list(parts), height, width

    @cached_property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool."""
        whole = np.zeros((len(self.parts), self.height, self.width), dtype=bool)
        for mask, (rows, columns, part) in zip(whole, self.parts, strict=True):
            mask[rows, columns] = part
        return whole

    def run_lengths(self) -> list[dict]:
        """Of each, as `encode_masks` gives them."""
        return encode_parts(self.parts, (self.height, self.width))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Their number, height and width."""
        return len(self.parts), self.height, self.width

    def cpu(self) -> 'PlacedMasks':
        """Itself, for code that expects the tensor which mmdet's own heads give."""
        return self

    def numpy(self) -> np.ndarray:
        """(N, H, W) bool; see `cpu`."""
        return self.masks

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: Any) -> 'PlacedMasks':
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return PlacedMasks([self.parts[number] for number in chosen], self.height, self.width)

    @classmethod
    def cat(cls, masks: Sequence['PlacedMasks']) -> 'PlacedMasks':
        """Those of several together, which are of one image."""
        return cls([part for one in masks for part in one.parts], masks[0].height, masks[0].width)


@MODELS.register_module()
class PlacedMaskHead(FCNMaskHead):
    """Mmdet's FCNMaskHead whose masks become no whole images: `PlacedMasks`, pasted where their boxes lie.

    The masks are those of mmdet's `_do_paste_mask`, but for pixels whose probability is the threshold to rounding. With
    a negative `mask_thr_binary`, which asks for probabilities (times 255), they are mmdet's own.
    """

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> PlacedMasks | Tensor:
        threshold = rcnn_test_cfg.mask_thr_binary
        if threshold < 0:
            return super()._predict_by_feat_single(
                mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale, activate_map
            )
        across, down = img_meta['scale_factor']
        height, width = img_meta['ori_shape'][:2]
        if rescale:
            bboxes /= bboxes.new_tensor([across, down] * 2)  # in place: mmdet leaves the boxes of the results to it
        else:
            height, width = round(height * down), round(width * across)
        of_class = mask_preds[:, 0] if self.class_agnostic else mask_preds[range(len(labels)), labels]
        probabilities = of_class if activate_map else of_class.sigmoid()
        pairs = zip(probabilities.float().cpu().numpy(), bboxes.float().cpu().numpy(), strict=True)
        parts = [paste_mask(mask, box, (height, width), threshold) for mask, box in pairs]
        return PlacedMasks(parts, height, width)
