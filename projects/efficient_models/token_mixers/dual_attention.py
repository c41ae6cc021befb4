"""Dual attention: over tokens, then over channels, as in DAE-Former.

Paper: https://arxiv.org/abs/2212.13504, DAE-Former: Dual Attention-guided Efficient Transformer for Medical Image
Segmentation
Code: https://github.com/xmindflow/DAEFormer

In the paper's block, four residual branches follow one another, each with a norm: efficient attention, a perceptron,
transposed attention (cross-covariance attention without the name) and a perceptron; the authors' code swaps the two
attentions. A mixer has neither perceptrons nor norms; its residual connection is outside. What remains are the two
attentions in the paper's order, with the residual connection between them.
"""

from typing import ClassVar

import torch

from ..layers.options import Count
from .cross_covariance_attention import CrossCovarianceAttention
from .efficient_attention import EfficientAttention
from .token_mixer import HEAD_DIM, HeadedMixer, Mechanism


class DualAttention(HeadedMixer):
    """Efficient attention over tokens, and cross-covariance attention over the channels of its sum with the input.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head, in both.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Dual attention',
        design='channel_spatial',
        idea='Channel and spatial attention',
        reads='channels',
        formula='y + XCA(x + y), y = E(x); E: efficient attention',
        cost='N d',
        source='https://arxiv.org/abs/2212.13504',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels, head_dim)
        self.spatial = EfficientAttention(channels, head_dim)
        self.channel = CrossCovarianceAttention(channels, head_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        spatial = self.spatial(x)
        return spatial + self.channel(x + spatial)

    def macs(self, height: int, width: int) -> int:
        return self.spatial.macs(height, width) + self.channel.macs(height, width)

    def num_scores(self, height: int, width: int) -> int:
        return self.channel.num_scores(height, width)
