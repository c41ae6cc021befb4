"""Attention between channels: what DaViT calls channel group attention.

Paper: https://arxiv.org/abs/2204.03645, DaViT: Dual Attention Vision Transformers
"""

from typing import ClassVar

import torch

from ..layers.options import Count, Switch
from ..layers.precision import in_float32
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer


class ChannelAttention(MultiHeadMixer):
    """Each channel reads the mean of the values of its head's channels, weighted by the softmax of its scores.

    A score is the product of two channels over all tokens, so that each of them sees the whole map. It is computed in
    float32: a sum over many tokens exceeds float16.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head; the paper's groups.
        dynamic_scale: Whether scores are divided by √N, as in the second version of the authors' code, which Florence-2
            uses, and not by √d as in the paper. The latter grow with the size of the map.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Channel group attention',
        design='channel_spatial',
        idea='Channel attention',
        reads='channels',
        formula='V softmax(Qᵀ K / √d)ᵀ',
        cost='N d',
        source='https://arxiv.org/abs/2204.03645',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, dynamic_scale: Switch = False) -> None:
        super().__init__(channels, head_dim)
        self.dynamic_scale = dynamic_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        # (B, heads, d, N): with tokens last, as in the map, both products take a quarter of the time
        query, key, value = (one.flatten(2).unflatten(1, (self.num_heads, -1)) for one in self.qkv(x).chunk(3, dim=1))
        terms = x.shape[2] * x.shape[3] if self.dynamic_scale else self.head_dim
        return self.proj((weigh(query * terms**-0.5, key) @ value).flatten(1, 2).unflatten(2, x.shape[2:]))

    def macs(self, height: int, width: int) -> int:
        return height * width * (4 * self.channels**2 + 2 * self.channels * self.head_dim)

    def num_scores(self, height: int, width: int) -> int:
        del height, width
        return self.channels * self.head_dim


@in_float32
def weigh(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return each channel's weights, those of one channel in a row, from (B, heads, d, N) as (B, heads, d, d)."""
    return (query @ key.transpose(2, 3)).softmax(3)
