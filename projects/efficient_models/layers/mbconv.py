"""Inverted bottlenecks, which EfficientViT (MIT) and its segmentation head share.

The layers bear the names that timm and the authors give them: `inverted_conv`, `depth_conv`, `spatial_conv`,
`point_conv`, each with `conv` and `norm`, and `main` for a residual branch.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F

Activation = Callable[[], nn.Module]


class HardSwish(nn.Module):
    """`x * relu6(x + 3) / 6`, in place unless gradients need the input, which an operation in place would copy."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a tensor to the same shape; the input must be of no further use."""
        return F.hardswish(x, inplace=not x.requires_grad)


class GELUTanh(nn.GELU):
    """GELU in the approximation by tanh."""

    def __init__(self) -> None:
        super().__init__(approximate='tanh')


class ConvNormAct(nn.Sequential):
    """Convolution, batch normalisation and activation, called `conv`, `norm` and `act`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel; the padding keeps the size at stride 1.
        stride: Stride of the convolution.
        groups: Groups of the convolution.
        norm: Whether to normalise; otherwise the convolution has a bias.
        act: The activation, or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: Activation | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=not norm
        )
        if norm:
            self.norm = nn.BatchNorm2d(out_channels)
        if act is not None:
            self.act = act()

    def fused(self) -> nn.Module:
        """Return the convolution that computes the same in eval mode, followed by the activation if there is one."""
        normalized = hasattr(self, 'norm')
        convolution = torch.nn.utils.fuse_conv_bn_eval(self.conv, self.norm) if normalized else self.conv
        return nn.Sequential(convolution, self.act) if hasattr(self, 'act') else convolution


class MBConv(nn.Sequential):
    """Inverted bottleneck: 1x1 expansion, 3x3 depthwise convolution, 1x1 projection.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the depthwise convolution.
        expand_ratio: Channels in between, as a multiple of `in_channels`.
        act: The activation after the first two convolutions.
        norm_last_only: Whether the first two convolutions have biases in place of normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expand_ratio: int,
        act: Activation,
        norm_last_only: bool = False,
    ) -> None:
        hidden, norm = in_channels * expand_ratio, not norm_last_only
        super().__init__(
            OrderedDict(
                inverted_conv=ConvNormAct(in_channels, hidden, norm=norm, act=act),
                depth_conv=ConvNormAct(hidden, hidden, 3, stride, groups=hidden, norm=norm, act=act),
                point_conv=ConvNormAct(hidden, out_channels),
            )
        )


class FusedMBConv(nn.Sequential):
    """Inverted bottleneck whose expansion is a full 3x3 convolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the 3x3 convolution.
        expand_ratio: Channels in between, as a multiple of `in_channels`.
        act: The activation between the two convolutions.
        norm_last_only: Whether the first convolution has a bias in place of normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expand_ratio: int,
        act: Activation,
        norm_last_only: bool = False,
    ) -> None:
        hidden = in_channels * expand_ratio
        super().__init__(
            OrderedDict(
                spatial_conv=ConvNormAct(in_channels, hidden, 3, stride, norm=not norm_last_only, act=act),
                point_conv=ConvNormAct(hidden, out_channels),
            )
        )


class ResidualBlock(nn.Module):
    """`x + drop_path(main(x))`, or `main(x)` alone.

    Args:
        main: The branch.
        shortcut: Whether to add the input, which then has the shape of the output.
        drop_path: Probability of dropping the branch of a sample in training (stochastic depth).
    """

    def __init__(self, main: nn.Module, shortcut: bool = True, drop_path: float = 0.0) -> None:
        super().__init__()
        self.main = main
        self.shortcut = shortcut
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the branch on a map of shape (B, C, H, W), and add the map itself if there is a shortcut."""
        main = self.main(x)
        return x + self.drop_path(main) if self.shortcut else main


def set_norm_eps(network: nn.Module, norm_eps: float) -> None:
    """Set what keeps every batch normalisation inside `network` from dividing by zero."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = norm_eps
