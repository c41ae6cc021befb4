"""Segmentors: from images to probabilities or labels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .free_sizes import free_sizes
from .images import ImageGraph


class SegmentationGraph(ImageGraph):
    """mmseg's EncoderDecoder over whole images.

    Args:
        model: An EncoderDecoder.
        output: 'probabilities' (B, C, H, W) float32, or 'labels' (B, H, W), uint8 (int32 beyond 256 classes), or
            'logits' (B, h, w, C) float32 at the head's own scale, which `FullSizeSession` resizes.
        threshold: Of a network with one logit.
        images: See `ImageGraph`.

    Attributes:
        by_maximum: Whether to look for the largest logit first and for its class then: in float32 OpenVINO takes less
            than a third of the time of its own ArgMax for it; others, and OpenVINO in bfloat16, take longer.
    """

    by_maximum = False

    def __init__(self, model: Any, output: str, threshold: float | None, **images: Any) -> None:
        super().__init__(model, **images)
        self.decode_head, self.threshold = model.decode_head, threshold
        free_sizes(self.decode_head)
        self.output_names = (output,)
        if output == 'logits' and self.decode_head.align_corners:
            raise ValueError(
                f'{type(self.decode_head).__name__} aligns corners, which labels of logits are not found for: choose '
                'another --output'
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.extract_features(images)
        height, width = images.shape[1:3]
        size = (_padded(height, self.size_divisor), _padded(width, self.size_divisor))
        logits = self.decode_head(features)
        if self.output_names == ('logits',):
            return (logits.permute(0, 2, 3, 1).float(),)
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=self.decode_head.align_corners).float()
        if self.size_divisor > 1:
            logits = logits[..., :height, :width]
        if self.output_names == ('probabilities',):
            return (logits.sigmoid() if self.threshold is not None else logits.softmax(1),)
        if self.threshold is not None:
            return ((logits[:, 0].sigmoid() > self.threshold).to(torch.uint8),)
        classes = _place_of_maximum(logits) if self.by_maximum else logits.argmax(1)
        return (classes.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32),)

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits `cls` (B, C, h, w) at the head's own scale."""
        return {'cls': self.decode_head(self.extract_features(images))}


def _place_of_maximum(logits: Tensor) -> Tensor:
    """`argmax(1)` of (B, C, H, W) without an ArgMax; of equal ones the first."""
    number = logits.shape[1]
    falling = torch.arange(number, 0, -1, dtype=logits.dtype, device=logits.device).view(1, -1, 1, 1)
    is_largest = logits >= logits.amax(1, keepdim=True)
    return number - torch.where(is_largest, falling, torch.zeros_like(falling)).amax(1)


def _padded(size: int, divisor: int) -> int:
    return size + -size % divisor if divisor > 1 else size
