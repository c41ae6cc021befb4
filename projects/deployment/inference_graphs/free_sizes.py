"""Layers that follow the size of each image where those they replace would keep that of the traced one."""

from typing import Any

import torch
from mmseg.models.utils import Upsample
from torch import Tensor, nn


class AdaptiveAveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, which ONNX has for any size of the input.

    Bin i of k along a side of n pixels averages the pixels from floor(i n / k) to ceil((i + 1) n / k), as PyTorch's
    does.

    Args:
        rows: Of the result.
        columns: Of the result.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C, H, W) to (B, C, rows, columns)."""
        height, width = torch._shape_as_tensor(x)[-2:]
        return _averages(self.rows, height, x) @ x @ _averages(self.columns, width, x).transpose(0, 1)


def _averages(bins: int, size: Any, like: Tensor) -> Tensor:
    """(bins, size) weights of each pixel in each bin."""
    size = size.to(like.device)
    index, pixel = torch.arange(bins, device=like.device)[:, None], torch.arange(size, device=like.device)
    first = torch.div(index * size, bins, rounding_mode='floor')
    last = torch.div((index + 1) * size + bins - 1, bins, rounding_mode='floor')
    weights = ((pixel >= first) & (pixel < last)).to(like.dtype)
    return weights / weights.sum(1, keepdim=True)


def free_sizes(module: nn.Module) -> None:
    """Replace such layers in place: mmseg's `Upsample` and average pooling to more than one bin."""
    for name, child in module.named_children():
        if isinstance(child, Upsample):
            setattr(module, name, nn.Upsample(child.size, child.scale_factor, child.mode, child.align_corners))
        elif isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
            size: Any = child.output_size
            rows, columns = (size, size) if isinstance(size, int) else size
            setattr(module, name, AdaptiveAveragePool(rows, columns))
        else:
            free_sizes(child)
