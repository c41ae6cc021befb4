"""Convolutional additive attention: gated queries and keys are added, not multiplied.

Paper: https://arxiv.org/abs/2408.03703, CAS-ViT
Code: https://github.com/Tianfang-Zhang/CAS-ViT
"""

from typing import ClassVar

import torch
from torch import nn

from ..layers.conv_norm import ConvNorm
from ..layers.options import Count
from .token_mixer import Mechanism, TokenMixer


class SpatialGate(nn.Module):
    """Multiplies each token by a gate that its 3x3 neighbourhood opens.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            ConvNorm(channels, channels, 3, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x * self.gate(x)


class ChannelGate(nn.Module):
    """Multiplies each channel by a gate that the means of all channels open.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x * self.gate(x.mean((2, 3), keepdim=True))


class ConvAdditiveAttention(TokenMixer):
    """The sum of gated queries and keys, convolved, multiplies the values.

    Args:
        channels: Channels of input and output.

    Raises:
        ValueError: If the channels are of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Convolutional additive attention',
        design='other',
        idea='Additive attention',
        reads='near_and_all',
        formula='DW₃(DW₃(Φ(q) + Φ(k)) ⊙ v), Φ = channel gate of spatial gate',
        cost='N',
        source='https://arxiv.org/abs/2408.03703',
    )

    def __init__(self, channels: Count) -> None:
        super().__init__(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.query_gates = nn.Sequential(SpatialGate(channels), ChannelGate(channels))
        self.key_gates = nn.Sequential(SpatialGate(channels), ChannelGate(channels))
        self.dwc = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=1)
        return self.proj(self.dwc(self.query_gates(query) + self.key_gates(key)) * value)

    def macs(self, height: int, width: int) -> int:
        channel_gates = 2 * self.channels**2
        return height * width * (3 * self.channels**2 + 38 * self.channels) + channel_gates
