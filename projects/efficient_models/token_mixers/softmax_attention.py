"""Softmax attention over all tokens, what the others are measured by.

Paper: https://arxiv.org/abs/1706.03762, Attention Is All You Need
"""

from typing import ClassVar

import torch

from .token_mixer import Mechanism, MultiHeadMixer, attend_pairs


class SoftmaxAttention(MultiHeadMixer):
    """Each token reads the mean of all values, weighted by the softmax of its scores.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Softmax attention',
        design='reference',
        idea='Self-attention',
        reads='all',
        formula='softmax(Q Kᵀ / √d) V',
        cost='N²',
        source='https://arxiv.org/abs/1706.03762',
        is_quadratic=True,
    )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = map(self.to_tokens, self.qkv(x).chunk(3, dim=1))
        return self.proj(self.to_map(attend_pairs(query, key, value), x))

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        return 4 * tokens * self.channels**2 + 2 * tokens**2 * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * (height * width) ** 2
