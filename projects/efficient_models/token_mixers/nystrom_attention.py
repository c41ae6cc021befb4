"""Nyström attention: scores among all tokens from those with a few landmarks.

Paper: https://arxiv.org/abs/2102.03902, Nyströmformer
Code: https://github.com/mlpen/Nystromformer (MIT licence)

Differences to the authors' code: landmarks are means over the cells of a grid, not over pieces of a sequence; each
pseudo-inverse starts from its own matrix, where theirs depends on the whole batch by default; their convolution of the
values, which they add on request, is left out.

Six steps leave the pseudo-inverse incomplete wherever tokens are alike: with a landmark for every token, what should be
softmax attention is off by up to 0.01 for inputs of unit variance, and by less than 1e-6 after 20 steps (measured in
float64).
"""

from typing import ClassVar

import torch

from ..layers.options import Count
from ..layers.precision import in_float32
from .grid_pooling import pool_macs, pool_to_grid
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer

ITERATIONS = 6  # as in the authors' code


class NystromAttention(MultiHeadMixer):
    """Softmax attention to and from landmarks, joined by the pseudo-inverse of that among landmarks.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        grid: Rows and columns of landmarks; maps of fewer have as many as they have tokens.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Nyström attention',
        design='complexity',
        idea='Low rank',
        reads='fewer',
        formula='softmax(Q K̃ᵀ / √d) softmax(Q̃ K̃ᵀ / √d)⁺ (softmax(Q̃ Kᵀ / √d) V), m landmarks',
        cost='N m',
        source='https://arxiv.org/abs/2102.03902',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, grid: Count = 7) -> None:
        super().__init__(channels, head_dim)
        self.grid = grid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=1)
        landmarks = (pool_to_grid(one, self.grid) for one in (query, key))
        return self.proj(self.to_map(attend(*map(self.to_tokens, (query, key, value, *landmarks))), x))

    def macs(self, height: int, width: int) -> int:
        tokens, landmarks = height * width, min(self.grid, height) * min(self.grid, width)
        attention = self.channels * landmarks * (4 * tokens + 2 * landmarks)
        inverse = self.num_heads * ITERATIONS * 4 * landmarks**3
        pooling = 2 * self.channels * pool_macs(height, width, self.grid)
        return 4 * tokens * self.channels**2 + attention + inverse + pooling

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * height * width * min(self.grid, height) * min(self.grid, width)


@in_float32
def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_landmarks: torch.Tensor,
    key_landmarks: torch.Tensor,
) -> torch.Tensor:
    """Return what approximates softmax attention.

    Args:
        query: Shape (B, heads, N, d).
        key: As `query`.
        value: As `query`.
        query_landmarks: Shape (B, heads, m, d).
        key_landmarks: As `query_landmarks`.
    """
    scale = query.shape[3] ** -0.5
    to_keys = (query_landmarks * scale @ key.transpose(2, 3)).softmax(dim=3)
    among = (query_landmarks * scale @ key_landmarks.transpose(2, 3)).softmax(dim=3)
    to_landmarks = (query * scale @ key_landmarks.transpose(2, 3)).softmax(dim=3)
    return to_landmarks @ (pseudo_inverse(among) @ (to_keys @ value))


def pseudo_inverse(matrices: torch.Tensor) -> torch.Tensor:
    """Approximate the Moore-Penrose inverse by the iteration of third order of the paper (equation 11).

    Args:
        matrices: Shape (..., m, m); rows sum up to 1.
    """
    inverse = matrices.transpose(-2, -1) / matrices.sum(dim=-2, keepdim=True).amax(dim=-1, keepdim=True)
    for _ in range(ITERATIONS):
        product = matrices @ inverse
        inner = 15 * product - product @ (7 * product - product @ product)
        inverse = 0.25 * (13 * inverse - inverse @ inner)
    return inverse
