"""Cross-covariance attention (XCA): channels attend to channels.

Paper: https://arxiv.org/abs/2106.09681, XCiT: Cross-Covariance Image Transformers
Code: https://github.com/facebookresearch/xcit (Apache-2.0 licence)

As in the authors' code, the temperature multiplies; in the paper it divides.
"""

from typing import ClassVar

import torch
from torch import nn

from ..layers.options import Count
from ..layers.precision import in_float32
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer

EPS = 1e-12  # least length of a channel, as in the authors' code


class CrossCovarianceAttention(MultiHeadMixer):
    """Softmax attention among the channels of a head, each scored by its cosine with others over all tokens.

    Note:
        Queries and keys are normalised over all tokens, and so what a padded image gives depends on its padding.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Cross-covariance attention',
        design='complexity',
        idea='Channel attention',
        reads='channels',
        formula='V softmax(τ Q̂ᵀ K̂)ᵀ, columns of Q̂, K̂ of length 1',
        cost='N d',
        source='https://arxiv.org/abs/2106.09681',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM) -> None:
        super().__init__(channels, head_dim)
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = map(self.to_tokens, self.qkv(x).chunk(3, dim=1))
        return self.proj(self.to_map(attend(query, key, value, self.temperature), x))

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        return 4 * tokens * self.channels**2 + 2 * tokens * self.channels * self.head_dim

    def num_scores(self, height: int, width: int) -> int:
        return self.channels * self.head_dim


@in_float32
def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Return values whose channels are mixed by the softmax of their scores.

    Args:
        query: Shape (B, heads, N, d).
        key: As `query`.
        value: As `query`.
        temperature: Factor of the scores, shape (heads, 1, 1).
    """
    lengths = (one.square().sum(dim=2).clamp(min=EPS**2).sqrt() for one in (query, key))
    query_length, key_length = (one.unsqueeze(dim) for one, dim in zip(lengths, (3, 2), strict=True))
    scores = query.transpose(2, 3) @ key / (query_length * key_length) * temperature
    return value @ scores.softmax(dim=3).transpose(2, 3)
