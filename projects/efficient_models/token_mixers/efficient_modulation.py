"""Efficient modulation: a perceptron whose hidden channels are multiplied by a convolutional context.

Paper: https://arxiv.org/abs/2403.19963, Efficient Modulation for Vision Networks
"""

from typing import ClassVar

import torch

from ..backbones.efficientmod import ModulationMLP
from ..layers.options import Count
from .token_mixer import Mechanism, TokenMixer


class EfficientModulation(TokenMixer):
    """The modulation of `EfficientMod`, between its norm and its layer scale.

    Args:
        channels: Channels of input and output.
        expansion: Hidden channels per channel, 1 or more. The authors alternate 1 and 4 or 6; with 1, the hidden
            channels have no activation.

    Raises:
        ValueError: If an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Efficient modulation',
        design='other',
        idea='Focal modulation',
        reads='near',
        formula='W₂(W₁x ⊙ G GELU(DW₇(Fx)))',
        cost='N',
        source='https://arxiv.org/abs/2403.19963',
    )

    def __init__(self, channels: Count, expansion: Count = 1) -> None:
        super().__init__(channels)
        self.mlp = ModulationMLP(channels, expansion)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def macs(self, height: int, width: int) -> int:
        context = 2 * self.channels**2 + 49 * self.channels
        return height * width * (context + 2 * self.mlp.expansion * self.channels**2)
