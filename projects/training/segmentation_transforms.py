"""mmseg's transforms of segmentation, with equal results for a part of the time and memory."""

import cv2
import numpy as np
import torch
from mmcv.transforms.utils import cache_randomness
from mmengine.registry import TRANSFORMS
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop
from numpy import random

VALUES = np.arange(256, dtype=np.uint8)


@TRANSFORMS.register_module()
class CropSegmentation(RandomCrop):
    """mmseg's RandomCrop of label maps of 8 bits: labels are counted, and not sorted for that."""

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of a crop, at random, in which no class has too large a share if that can be."""
        box = self._place(results['img'].shape)
        if self.cat_max_ratio < 1:
            for _ in range(10):  # as mmseg
                counts = np.bincount(self.crop(results['gt_seg_map'], box).ravel(), minlength=256)
                counts[self.ignore_index] = 0
                if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < self.cat_max_ratio:
                    break
                box = self._place(results['img'].shape)
        return box

    def _place(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        top, left = (
            np.random.randint(0, max(side - cropped, 0) + 1)
            for side, cropped in zip(shape, self.crop_size, strict=False)
        )
        return top, top + self.crop_size[0], left, left + self.crop_size[1]


@TRANSFORMS.register_module()
class DistortColors(PhotoMetricDistortion):
    """mmseg's PhotoMetricDistortion of images of 8 bits: what it makes of each of the 256 values stands in a table."""

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """Multiply an image by `alpha`, add `beta` and clip."""
        return cv2.LUT(img, super().convert(VALUES, alpha, beta))

    def saturation(self, img: np.ndarray) -> np.ndarray:
        """Multiply the saturation of an image (H, W, 3), BGR, at random, or leave it."""
        if not random.randint(2):
            return img
        return _in_hsv(img, 1, super().convert(VALUES, random.uniform(self.saturation_lower, self.saturation_upper)))

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turn the hue of an image (H, W, 3), BGR, at random, or leave it."""
        if not random.randint(2):
            return img
        turn = random.randint(-self.hue_delta, self.hue_delta)
        return _in_hsv(img, 0, ((VALUES.astype(int) + turn) % 180).astype(np.uint8))


def _in_hsv(img: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    """An image (H, W, 3), BGR, with the values of one of hue, saturation and value exchanged."""
    tables = VALUES[:, None].repeat(3, axis=1)
    tables[:, channel] = table
    hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_BGR2HSV), tables[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


@TRANSFORMS.register_module()
class PackSegmentation(PackSegInputs):
    """mmseg's PackSegInputs whose labels keep their 8 bits, an eighth of what goes from process to process.

    `QuickSegDataPreProcessor` makes int64 of them for the loss.
    """

    def transform(self, results: dict) -> dict:
        packed = super().transform({key: value for key, value in results.items() if key != 'gt_seg_map'})
        if 'gt_seg_map' in results:
            labels = torch.from_numpy(results['gt_seg_map'][None].copy())
            packed['data_samples'].gt_sem_seg = PixelData(data=labels)
        return packed
