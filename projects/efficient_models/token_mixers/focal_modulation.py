"""Focal modulation: context from growing neighbourhoods in place of attention.

Paper: https://arxiv.org/abs/2203.11926, Focal Modulation Networks
Code: https://github.com/microsoft/FocalNet (MIT)
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, OddCounts
from .token_mixer import Mechanism, TokenMixer


class FocalModulation(TokenMixer):
    """Each token's query is multiplied by the context around it, gathered at several levels.

    A level is a depthwise convolution of the one before; the last is the mean of the map. Each token weights the levels
    by gates of its own. Parameters bear timm's names.

    Args:
        channels: Channels of input and output.
        kernel_sizes: Sides of the convolutions, odd; the authors take (3, 5) or (3, 5, 7), and 6 more for detection.

    Raises:
        ValueError: If an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Focal modulation',
        design='other',
        idea='Focal modulation',
        reads='near_and_all',
        formula='q ⊙ W(Σ g_l c_l + g_L GELU(mean c)), c_l = GELU(DW(c_{l-1}))',
        cost='N',
        source='https://arxiv.org/abs/2203.11926',
    )

    def __init__(self, channels: Count, kernel_sizes: OddCounts = (3, 5)) -> None:
        super().__init__(channels)
        self.kernel_sizes = tuple(kernel_sizes)
        self.f = nn.Conv2d(channels, 2 * channels + len(kernel_sizes) + 1, 1)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels, bias=False), nn.GELU()
            )
            for side in kernel_sizes
        )
        self.h = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, context, gates = self.f(x).split([self.channels, self.channels, len(self.kernel_sizes) + 1], dim=1)
        *local_gates, global_gate = gates.split(1, dim=1)
        gathered = torch.zeros_like(query)
        for layer, gate in zip(self.focal_layers, local_gates, strict=True):
            context = layer(context)
            gathered = gathered + context * gate
        gathered = gathered + F.gelu(context.mean((2, 3), keepdim=True)) * global_gate
        return self.proj(query * self.h(gathered))

    def macs(self, height: int, width: int) -> int:
        local = sum(side**2 for side in self.kernel_sizes)
        return height * width * self.channels * (4 * self.channels + len(self.kernel_sizes) + 1 + local)
