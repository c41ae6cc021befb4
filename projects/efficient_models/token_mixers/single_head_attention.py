"""Single-head attention on some of the channels, of SHViT.

Paper: https://arxiv.org/abs/2401.16456
"""

from typing import ClassVar

import torch

from ..backbones.shvit import SHSA
from ..layers.options import Count
from .token_mixer import Mechanism, TokenMixer

PARTIAL_RATIO = 0.214  # rounded, it gives the widths of all variants of SHViT


class SingleHeadAttention(TokenMixer):
    """`SHSA` of the backbone SHViT.

    Note:
        It normalises over all tokens, and so what a padded image gives depends on its padding.

    Args:
        channels: Channels of input and output, at least 3.
        qk_dim: Channels of queries and keys.

    Raises:
        ValueError: If there are fewer than 3 channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Single-head attention',
        design='complexity',
        idea='Fewer heads and channels',
        reads='all',
        formula='[softmax(Q Kᵀ / √d) V, X_rest], on 0.214 C channels',
        cost='N²',
        source='https://arxiv.org/abs/2401.16456',
        is_quadratic=True,
    )

    def __init__(self, channels: Count, qk_dim: Count = 16) -> None:
        super().__init__(channels)
        self.partial_dim = round(PARTIAL_RATIO * channels)
        if not self.partial_dim:
            raise ValueError(f'channels of SingleHeadAttention must be 3 or more, got {channels}.')
        self.qk_dim = qk_dim
        self.attn = SHSA(channels, self.partial_dim, qk_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.attn(x)

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        projections = self.partial_dim * (2 * self.qk_dim + self.partial_dim) + self.channels**2
        return tokens * projections + tokens**2 * (self.qk_dim + self.partial_dim)

    def num_scores(self, height: int, width: int) -> int:
        return (height * width) ** 2
