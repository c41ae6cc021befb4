"""Convolution and pooling in the place of attention.

Papers: https://arxiv.org/abs/2210.13452, MetaFormer Baselines for Vision; https://arxiv.org/abs/2111.11418, MetaFormer
Is Actually What You Need for Vision
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, OddCount
from .token_mixer import Mechanism, TokenMixer


class Convolution(TokenMixer):
    """A large depthwise convolution between two projections, as in ConvFormer and the first stages of CAFormer.

    The activation is GELU; the authors' StarReLU squares, which float16 does not stand.

    Args:
        channels: Channels of input and output.
        kernel_size: Side of the convolution, odd.
        expansion: Hidden channels per channel, 1 or more.

    Raises:
        ValueError: If an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Depthwise convolution',
        design='other',
        idea='Convolution',
        reads='near',
        formula='W₂ DW₇(GELU(W₁x))',
        cost='N',
        source='https://arxiv.org/abs/2210.13452',
    )

    def __init__(self, channels: Count, kernel_size: OddCount = 7, expansion: Count = 2) -> None:
        super().__init__(channels)
        hidden = expansion * channels
        self.pwconv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(hidden, hidden, kernel_size, padding=kernel_size // 2, groups=hidden, bias=False)
        self.pwconv2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.pwconv2(self.dwconv(F.gelu(self.pwconv1(x))))

    def macs(self, height: int, width: int) -> int:
        hidden = self.pwconv1.out_channels
        return height * width * hidden * (2 * self.channels + self.dwconv.kernel_size[0] ** 2)


class Pooling(TokenMixer):
    """The mean of the 3x3 neighbours inside the map, less the token itself, which the residual connection adds.

    Args:
        channels: Channels of input and output.

    Raises:
        ValueError: If the channels are of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Pooling',
        design='other',
        idea='Convolution',
        reads='near',
        formula='mean of 3x3 - x',
        cost='N',
        source='https://arxiv.org/abs/2111.11418',
    )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) - x

    def macs(self, height: int, width: int) -> int:
        del height, width
        return 0  # additions only
