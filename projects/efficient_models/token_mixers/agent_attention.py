"""Agent attention: a few pooled queries gather from all tokens, and all tokens read from them.

Paper: https://arxiv.org/abs/2312.08874, Agent Attention: On the Integration of Softmax and Linear Attention
Code: https://github.com/LeapLabTHU/Agent-Attention

Difference to the authors' code: its biases, learnt for maps of one size, are left out.
"""

from typing import ClassVar

import torch
from torch import nn

from ..layers.options import Count
from .grid_pooling import pool_macs, pool_to_grid
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class AgentAttention(MultiHeadMixer):
    """Softmax attention from agents to tokens, then from tokens to agents; a depthwise convolution adds detail.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        grid: Rows and columns of agents; maps of fewer have as many as they have tokens.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Agent attention',
        design='tokenization',
        idea='More informative tokens',
        reads='fewer',
        formula='softmax(Q Aᵀ / √d) (softmax(A Kᵀ / √d) V) + DW(V), A = pool(Q) of n tokens',
        cost='N n',
        source='https://arxiv.org/abs/2312.08874',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, grid: Count = 7) -> None:
        super().__init__(channels, head_dim)
        self.grid = grid
        self.dwc = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=1)
        agents = self.to_tokens(pool_to_grid(query, self.grid))
        gathered = attend_pairs(agents, self.to_tokens(key), self.to_tokens(value))
        attended = attend_pairs(self.to_tokens(query), agents, gathered)
        return self.proj(self.to_map(attended, x) + self.dwc(value))

    def macs(self, height: int, width: int) -> int:
        tokens, agents = height * width, min(self.grid, height) * min(self.grid, width)
        pooling = self.channels * pool_macs(height, width, self.grid)
        return tokens * self.channels * (4 * self.channels + 4 * agents + 9) + pooling

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * height * width * min(self.grid, height) * min(self.grid, width)
