"""Feed-forward network of convolutions, and the downsampling built on it."""

import torch
from timm.layers import SqueezeExcite
from torch import nn

from .conv_norm import ConvNorm, Residual


class FFN(nn.Module):
    """Feed-forward network of two 1x1 convolutions.

    Args:
        dim: Channels of input and output.
        hidden_dim: Channels in between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.pw1 = ConvNorm(dim, hidden_dim)
        self.act = nn.ReLU(inplace=True)
        self.pw2 = ConvNorm(hidden_dim, dim, norm_scale=0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.pw2(self.act(self.pw1(x)))


class PatchMerging(nn.Module):
    """Inverted bottleneck with squeeze-and-excitation that halves the resolution.

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        hidden_dim = 4 * dim
        self.conv1 = ConvNorm(dim, hidden_dim)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = ConvNorm(hidden_dim, hidden_dim, 3, stride=2, groups=hidden_dim)
        self.act2 = nn.ReLU(inplace=True)
        self.se = SqueezeExcite(hidden_dim, 0.25)
        self.conv3 = ConvNorm(hidden_dim, out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, out_dim, ceil(H / 2), ceil(W / 2))."""
        x = self.act1(self.conv1(x))
        x = self.act2(self.conv2(x))
        return self.conv3(self.se(x))


def downsample(dim: int, out_dim: int) -> nn.Sequential:
    """Patch merging between two pairs of depthwise convolution and feed-forward network."""
    return nn.Sequential(
        Residual(ConvNorm(dim, dim, 3, groups=dim)),
        Residual(FFN(dim, 2 * dim)),
        PatchMerging(dim, out_dim),
        Residual(ConvNorm(out_dim, out_dim, 3, groups=out_dim)),
        Residual(FFN(out_dim, 2 * out_dim)),
    )
