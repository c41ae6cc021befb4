"""Rank-augmented linear attention (RALA), of RAVLT.

Paper: https://arxiv.org/abs/2411.07635, Breaking the Low-Rank Dilemma of Linear Attention
Code: https://github.com/qhfan/RALA

As in the authors' code, the rotary positions turn queries and keys in the numerator only, and so the weights of a
token do not sum up to 1.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count
from ..layers.precision import in_float32
from .token_mixer import HEAD_DIM, HeadedMixer, Mechanism

EPS = 1e-6  # of the sums of weights, as in the authors' code


class RALA(HeadedMixer):
    """Linear attention whose keys are weighted by what the mean query reads, and whose output is gated.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head, a multiple of 4.

    Raises:
        ValueError: If `head_dim` does not divide the channels or is no multiple of 4, or an option is of a wrong kind
            or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Rank-augmented linear attention',
        design='complexity',
        idea='Reordering',
        reads='summary',
        formula='(R φ(Q) (R α φ(K))ᵀ V / φ(Q) Σ α φ(K) + DW(V)) ⊙ G, α = softmax_N(φ(K) mean(φ(Q))ᵀ / √d), φ = ELU + 1',
        cost='N d',
        source='https://arxiv.org/abs/2411.07635',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels, head_dim)
        if head_dim % 4:
            raise ValueError(
                'head_dim of RALA, which turns pairs of channels by row and by column, must be a multiple of 4, '
                f'got {head_dim}.'
            )
        self.qkvo = nn.Conv2d(channels, 4 * channels, 1)
        self.lepe = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value, gate = self.qkvo(x).chunk(4, dim=1)
        angles = rotary_angles(x.shape[2], x.shape[3], self.head_dim, x.device)
        attended = self.to_map(attend(*map(self.to_tokens, (query, key, value)), angles), x)
        return self.proj((attended + self.lepe(value)) * gate)

    def macs(self, height: int, width: int) -> int:
        return height * width * self.channels * (5 * self.channels + 2 * self.head_dim + 2 + 25)


def rotary_angles(height: int, width: int, head_dim: int, device: torch.device) -> torch.Tensor:
    """Return by how much each pair of channels turns: the first half by the row, the second half by the column.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        head_dim: Channels of a head.
        device: Of the result.

    Returns:
        Radians, shape (height * width, head_dim / 2).
    """
    pairs = head_dim // 4
    speeds = torch.tensor([10000 ** (-pair / max(pairs - 1, 1)) for pair in range(pairs)], device=device)
    rows, columns = (torch.arange(length, device=device)[:, None] * speeds for length in (height, width))
    by_row, by_column = rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)
    return torch.cat([by_row, by_column], dim=2).flatten(0, 1)


@in_float32
def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return rank-augmented linear attention.

    Args:
        query: Shape (B, heads, N, d).
        key: As `query`.
        value: As `query`.
        angles: Shape (N, d / 2).
    """
    query, key = F.elu(query) + 1, F.elu(key) + 1
    scores = key @ query.mean(dim=2, keepdim=True).transpose(2, 3) * key.shape[3] ** -0.5
    key = key * scores.softmax(dim=2)  # the authors multiply by N here, and divide by it in both sums
    weights = query @ key.sum(dim=2, keepdim=True).transpose(2, 3) + EPS
    return _turn(query, angles) @ (_turn(key, angles).transpose(2, 3) @ value) / weights


def _turn(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate each pair of adjacent channels."""
    first, second = x.unflatten(3, (-1, 2)).unbind(4)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=4).flatten(3)
