"""Convolution with batch normalisation, residual connection, and their folding for inference."""

from typing import Protocol, runtime_checkable

import torch
from timm.layers import DropPath
from torch import nn


@runtime_checkable
class Fusible(Protocol):
    """A layer that a simpler one can replace in eval mode."""

    def fused(self) -> nn.Module:
        """Return the replacement, or the layer itself where there is none; its children are fused already."""


class ConvNorm(nn.Sequential):
    """Convolution without bias, followed by batch normalisation.

    The two layers are called `c` and `bn`, as in the LeViT family of networks and in timm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel; the padding keeps the size at stride 1.
        stride: Stride of the convolution.
        groups: Groups of the convolution.
        norm_scale: Initial value of the normalisation's scale; 0 makes a residual branch start as the identity.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.constant_(self.bn.weight, norm_scale)

    def fused(self) -> nn.Conv2d:
        """Return the one convolution that computes the same in eval mode."""
        return torch.nn.utils.fuse_conv_bn_eval(self.c, self.bn)


class Residual(nn.Module):
    """`x + drop_path(m(x))`.

    Args:
        m: The residual branch; its output has the shape of its input.
        drop_path: Probability of dropping the branch of a sample in training (stochastic depth).
    """

    def __init__(self, m: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.m = m
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch to its input, shape (B, C, H, W)."""
        return x + self.drop_path(self.m(x))

    def fused(self) -> nn.Module:
        """Return the depthwise convolution with the identity in its kernel, or this block where it has none."""
        convolution = self.m
        if not isinstance(convolution, nn.Conv2d) or convolution.groups != convolution.in_channels:
            return self
        center_row, center_column = (side // 2 for side in convolution.kernel_size)
        with torch.no_grad():
            convolution.weight[:, :, center_row, center_column] += 1
        return convolution


def fuse(module: nn.Module) -> nn.Module:
    """Fold every normalisation and depthwise residual inside `module` into the convolution that it belongs to.

    Works in place, children first; each `Fusible` layer is replaced by what its `fused()` returns.

    Args:
        module: A network in eval mode.

    Returns:
        The module itself, or its replacement.
    """
    for name, child in module.named_children():
        setattr(module, name, fuse(child))
    return module.fused() if isinstance(module, Fusible) else module
