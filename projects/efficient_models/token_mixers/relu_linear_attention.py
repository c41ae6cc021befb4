"""ReLU linear attention at two scales, of EfficientViT (MIT).

Paper: https://arxiv.org/abs/2205.14756
"""

from typing import ClassVar

import torch

from ..backbones.efficientvit_mit import LiteMLA
from ..layers.options import Count
from .token_mixer import HEAD_DIM, Mechanism, TokenMixer, split_heads


class ReLULinearAttention(TokenMixer):
    """`LiteMLA` of the backbone EfficientViTMIT.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='ReLU linear attention',
        design='complexity',
        idea='Reordering',
        reads='summary',
        formula='φ(Q) (φ(K)ᵀ V) / φ(Q) Σφ(K), φ = ReLU, at two scales',
        cost='N d',
        source='https://arxiv.org/abs/2205.14756',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels)
        self.num_heads = 2 * split_heads('ReLULinearAttention', channels, head_dim)  # of both scales
        self.attn = LiteMLA(channels, head_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.attn(x)

    def macs(self, height: int, width: int) -> int:
        tokens, channels, head_dim = height * width, self.channels, self.attn.head_dim
        convolutions = tokens * 3 * channels * (channels + 25 + head_dim) + 2 * tokens * channels**2
        # values have one more channel, which sums up the weights; fewer tokens than channels meet one another
        pairs = tokens * min(tokens, head_dim)
        first, second = (head_dim, head_dim + 1) if tokens <= head_dim else (head_dim + 1, head_dim + 1)
        return convolutions + self.num_heads * pairs * (first + second)
