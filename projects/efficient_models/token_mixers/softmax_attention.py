"""Softmax attention over all tokens, what the others are measured by.

Paper: https://arxiv.org/abs/1706.03762, Attention Is All You Need
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .token_mixer import HEAD_DIM, Mechanism, TokenMixer, split_heads


class SoftmaxAttention(TokenMixer):
    """Each token reads the mean of all values, weighted by the softmax of its scores.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
    """

    mechanism: ClassVar = Mechanism(
        title='Softmax attention',
        design='reference',
        idea='Self-attention',
        formula='softmax(Q Kᵀ / √d) V',
        cost='N²',
        source='https://arxiv.org/abs/1706.03762',
        is_quadratic=True,
    )

    def __init__(self, channels: int, head_dim: int = HEAD_DIM) -> None:
        super().__init__(channels)
        self.num_heads = split_heads('SoftmaxAttention', channels, head_dim)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        # (B, 3, heads, d, N) -> three of (B, heads, N, d)
        query, key, value = self.qkv(x).flatten(2).unflatten(1, (3, self.num_heads, -1)).transpose(3, 4).unbind(1)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        return 4 * tokens * self.channels**2 + 2 * tokens**2 * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * (height * width) ** 2
