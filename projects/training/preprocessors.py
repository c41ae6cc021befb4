"""Batches of images on a processor, normalised and padded in one pass, for a tenth of the time.

mmengine and mmseg copy each image when they exchange its channels, convert, subtract, divide, pad and stack it. One of
8 bits has 256 values: a table says what these steps make of each, and puts it straight into its place in the batch.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS
from mmseg.models import SegDataPreProcessor
from mmseg.utils import stack_batch
from torch import Tensor


def batch_of_bytes(
    images: Sequence[Tensor], mean: Tensor, std: Tensor, flip_channels: bool, size: tuple[int, int], padding: float
) -> Tensor:
    """Normalise images and pad them to the right and to the bottom.

    Args:
        images: (3, h, w) uint8, on the processor.
        mean: (3, 1, 1), of the channels in the batch.
        std: (3, 1, 1).
        flip_channels: Whether the last channel of an image is the first of the batch.
        size: Height and width of the batch, at least those of each image.
        padding: Value around images.

    Returns:
        (B, 3, H, W) float32.
    """
    tables = ((torch.arange(256.0).expand(3, 1, 256) - mean) / std).numpy()
    batch = torch.empty(len(images), 3, *size)
    for image, place in zip(images, batch, strict=True):
        height, width = image.shape[1:]
        place[:, height:] = padding
        place[:, :height, width:] = padding
        for channel, table, out in zip(image.flip(0) if flip_channels else image, tables, place, strict=True):
            cv2.LUT(channel.numpy(), table[0], dst=out[:height, :width].numpy())
    return batch


def are_bytes(images: Any, preprocessor: Any) -> bool:
    """Whether images are a list of colour images of 8 bits on the processor, that are to be normalised."""
    return (
        isinstance(images, list)
        and preprocessor._enable_normalize
        and preprocessor.mean.device.type == 'cpu'
        and len(preprocessor.mean) == 3
        and all(one.dtype == torch.uint8 and one.ndim == 3 and len(one) == 3 for one in images)
    )


class _BatchOfBytes(ImgDataPreprocessor):
    """mmengine's ImgDataPreprocessor, in one pass where that is possible."""

    def forward(self, data: dict, training: bool = False) -> dict | list:
        if not are_bytes(data['inputs'], self):
            return super().forward(data, training)
        data = self.cast_data(data)
        images, divisor = data['inputs'], self.pad_size_divisor
        height, width = (-(-max(one.shape[axis] for one in images) // divisor) * divisor for axis in (1, 2))
        data['inputs'] = batch_of_bytes(
            images, self.mean, self.std, self._channel_conversion, (height, width), self.pad_value
        )
        data.setdefault('data_samples', None)
        return data


@MODELS.register_module()
class QuickDetDataPreprocessor(DetDataPreprocessor, _BatchOfBytes):
    """mmdet's DetDataPreprocessor, images of 8 bits in one pass each on processors; the same batches."""


@MODELS.register_module()
class QuickSegDataPreProcessor(SegDataPreProcessor):
    """mmseg's SegDataPreProcessor, images of 8 bits in one pass each on processors; the same batches.

    In training, labels arrive as `PackSegmentation` packs them, in 8 bits, and become int64 here, on the device.
    """

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        if not are_bytes(data['inputs'], self) or self.batch_augments is not None or (self.test_cfg and not training):
            batch = super().forward(data, training)
        else:
            batch = self._quick(data, training)
        for sample in batch['data_samples'] if training else ():
            sample.gt_sem_seg.data = sample.gt_sem_seg.data.long()
        return batch

    def _quick(self, data: dict, training: bool) -> dict[str, Any]:
        data = self.cast_data(data)
        images, samples = data['inputs'], data.get('data_samples')
        if training:  # sizes, and all but the images
            stacked, samples = stack_batch(images, samples, self.size, self.size_divisor, seg_pad_val=self.seg_pad_val)
            size = stacked.shape[-2:]
        else:
            size = images[0].shape[-2:]
            assert all(one.shape[-2:] == size for one in images), 'The image size in a batch should be the same.'
        batch = batch_of_bytes(images, self.mean, self.std, self.channel_conversion, size, self.pad_val)
        return {'inputs': batch, 'data_samples': samples}
