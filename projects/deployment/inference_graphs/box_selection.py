"""Choosing boxes with operators that exporters know, for any number of images and boxes."""

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms


class _NonMaxSuppression(torch.autograd.Function):
    """ONNX's operator of this name; https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html."""

    @staticmethod
    def forward(
        ctx: Any, boxes: Tensor, scores: Tensor, max_boxes: int, iou_threshold: float, score_threshold: float
    ) -> Tensor:
        selected = [boxes.new_zeros(0, 3, dtype=torch.long)]
        for image in range(scores.shape[0]):
            for group in range(scores.shape[1]):
                candidates = (scores[image, group] > score_threshold).nonzero()[:, 0]
                kept = nms(boxes[image, candidates], scores[image, group, candidates], iou_threshold)[:max_boxes]
                place = boxes.new_tensor([image, group], dtype=torch.long).expand(len(kept), 2)
                selected.append(torch.cat((place, candidates[kept, None]), 1))
        return torch.cat(selected)

    @staticmethod
    def symbolic(
        graph: Any, boxes: Any, scores: Any, max_boxes: int, iou_threshold: float, score_threshold: float
    ) -> Any:
        def constant(value: float, dtype: torch.dtype) -> Any:
            return graph.op('Constant', value_t=torch.tensor([value], dtype=dtype))

        return graph.op(
            'NonMaxSuppression',
            boxes,
            scores,
            constant(max_boxes, torch.long),
            constant(iou_threshold, torch.float),
            constant(score_threshold, torch.float),
        )


def suppress(boxes: Tensor, scores: Tensor, max_boxes: int, iou_threshold: float, score_threshold: float) -> Tensor:
    """Non-maximum suppression within groups of boxes.

    Args:
        boxes: (B, N, 4), left, top, right, bottom.
        scores: (B, G, N) of each box in each group; boxes of different groups do not suppress one another.
        max_boxes: Kept per image and group, at most.
        iou_threshold: Boxes that overlap a better one more than this are left out.
        score_threshold: As are those that do not score more than this.

    Returns:
        (K, 3) image, group and box, by falling score within each group.
    """
    return _NonMaxSuppression.apply(boxes.float(), scores.float(), max_boxes, iou_threshold, score_threshold)


def spread_classes(boxes: Tensor, classes: Tensor, last: Tensor) -> Tensor:
    """Move boxes of different classes apart, so that they do not suppress one another, as mmcv's `batched_nms` does.

    Args:
        boxes: (..., N, 4).
        classes: (..., N) numbers.
        last: The largest coordinate there may be, without dimensions.
    """
    return boxes + (classes.to(boxes.dtype) * (last + 1))[..., None]


def top(scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The best along the last dimension, by falling score, and their indices: `most`, or all if there are fewer."""
    if torch.jit.is_tracing():  # the exporter follows tensors
        count: Any = torch.minimum(torch.tensor(most), torch._shape_as_tensor(scores)[-1])
    else:
        count = min(most, scores.shape[-1])
    return torch.topk(scores, count)


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Rows (B, K, D) of (B, N, D) at indices (B, K)."""
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[-1]))


def clip_boxes(boxes: Tensor, images: Tensor) -> Tensor:
    """Clip (..., 4) to images (B, H, W, 3)."""
    height, width = _size(images, boxes.dtype)
    x = torch.minimum(boxes[..., 0::2].clamp(min=0), width)
    y = torch.minimum(boxes[..., 1::2].clamp(min=0), height)
    return torch.stack((x[..., 0], y[..., 0], x[..., 1], y[..., 1]), -1)


def larger_than(size: float, boxes: Tensor) -> Tensor:
    """Whether both sides of (..., 4) are longer than `size` pixels; clipping may leave boxes without area."""
    wide, high = (boxes[..., 2:] - boxes[..., :2] > size).unbind(-1)  # not `all`: ONNX Runtime 1.20 fails on no boxes
    return wide & high


def largest_side(images: Tensor, dtype: torch.dtype) -> Tensor:
    """The larger of height and width of images (B, H, W, 3)."""
    return torch.maximum(*_size(images, dtype))


def _size(images: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    shape = torch._shape_as_tensor(images).to(images.device, dtype)
    return shape[1], shape[2]
