"""Cross-scale attention: tokens and summaries of cells attend to each other.

Paper: https://arxiv.org/abs/2103.14899, CrossViT

CrossViT exchanges between two patch sizes through a class token each. A dense map has none: here, the coarse scale is
one mean token per cell, and the exchange goes both ways, with the projections of one attention.
"""

from typing import ClassVar

import torch
from torch.nn import functional as F

from ..layers.options import Count
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class CrossScaleAttention(MultiHeadMixer):
    """Tokens read the summaries of all cells, each summary reads all tokens; a token's result is the mean of both.

    The projections of a summary are the means of its tokens' projections. With cells of one token, this is softmax
    attention.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        cell: Side of a cell in tokens; cells at the lower and right border may be smaller.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Cross-scale attention',
        design='hierarchical',
        idea='Cross-scale branches',
        reads='fewer',
        formula='½ softmax(Q S(K)ᵀ / √d) S(V) + ½ S⁻¹ softmax(S(Q) Kᵀ / √d) V, S = mean of w×w cells',
        cost='N² / w²',
        source='https://arxiv.org/abs/2103.14899',
        is_quadratic=True,
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, cell: Count = 8) -> None:
        super().__init__(channels, head_dim)
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        qkv = self.qkv(x)
        summaries = self.summarize(qkv)
        query, key, value = map(self.to_tokens, qkv.chunk(3, dim=1))
        coarse_query, coarse_key, coarse_value = map(self.to_tokens, summaries.chunk(3, dim=1))
        fine = self.to_map(attend_pairs(query, coarse_key, coarse_value), x)
        coarse = self.to_map(attend_pairs(coarse_query, key, value), summaries)
        coarse = F.interpolate(coarse, scale_factor=float(self.cell), mode='nearest')[:, :, : x.shape[2], : x.shape[3]]
        return self.proj((fine + coarse) / 2)

    def summarize(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the mean of each cell, of what of it is on the map.

        Zeros fill up the cells first: OpenVINO does not pool over windows larger than the map, nor one channel of a
        fixed size in bfloat16.
        """
        beyond = (0, self.cell - 1, 0, self.cell - 1)
        inside = F.pad(torch.ones_like(x[:1, :2]), beyond)
        return F.avg_pool2d(F.pad(x, beyond), self.cell) / F.avg_pool2d(inside, self.cell)[:, :1]

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        return 4 * tokens * self.channels**2 + 4 * tokens * self._num_cells(height, width) * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return 2 * self.num_heads * height * width * self._num_cells(height, width)

    def _num_cells(self, height: int, width: int) -> int:
        return -(-height // self.cell) * -(-width // self.cell)
