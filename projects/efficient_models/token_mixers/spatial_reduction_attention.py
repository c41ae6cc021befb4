"""Attention to a reduced map: spatial reduction, which others call efficient self-attention (ESA).

Paper: https://arxiv.org/abs/2102.12122, Pyramid Vision Transformer; https://arxiv.org/abs/2107.06263, CMT, where the
convolution is depthwise
Code: https://github.com/whai362/PVT (Apache-2.0 licence)

Difference to the authors' code, which leaves out what is beyond the last whole cell: the border is repeated there.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, Switch
from .token_mixer import HEAD_DIM, HeadedMixer, Mechanism, attend_pairs


class SpatialReductionAttention(HeadedMixer):
    """Softmax attention of all tokens to the cells of a map that a strided convolution has reduced.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        reduction: Side s of a cell, in tokens; 1 leaves the convolution and its normalisation out.
        depthwise: Whether the convolution mixes no channels; it has s²C weights then, and s²C² if it does.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Spatial reduction attention',
        design='hierarchical',
        idea='Spatial reduction',
        reads='fewer',
        formula='softmax(Q K_sᵀ / √d) V_s, of the map reduced s times per side',
        cost='N² / s²',
        source='https://arxiv.org/abs/2102.12122',
        is_quadratic=True,
    )

    def __init__(
        self, channels: Count, head_dim: Count = HEAD_DIM, reduction: Count = 2, depthwise: Switch = False
    ) -> None:
        super().__init__(channels, head_dim)
        self.reduction = reduction
        self.q = nn.Conv2d(channels, channels, 1)
        self.kv = nn.Conv2d(channels, 2 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        if reduction > 1:
            groups = channels if depthwise else 1
            self.sr = nn.Conv2d(channels, channels, reduction, stride=reduction, groups=groups)
            self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query = self.to_tokens(self.q(x))
        key, value = map(self.to_tokens, self.kv(self._reduce(x)).chunk(2, dim=1))
        return self.proj(self.to_map(attend_pairs(query, key, value), x))

    def macs(self, height: int, width: int) -> int:
        tokens, cells = height * width, self._cells(height, width)
        convolution = cells * self.sr.weight.numel() if self.reduction > 1 else 0
        return 2 * (tokens + cells) * self.channels**2 + convolution + 2 * tokens * cells * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * height * width * self._cells(height, width)

    def _reduce(self, x: torch.Tensor) -> torch.Tensor:
        if self.reduction == 1:
            return x
        below, right = (-side % self.reduction for side in x.shape[2:])
        if torch.jit.is_tracing() or below or right:  # a traced graph serves other sizes
            x = F.pad(x, (0, right, 0, below), mode='replicate')
        return self.norm(self.sr(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _cells(self, height: int, width: int) -> int:
        return -(-height // self.reduction) * -(-width // self.reduction)
