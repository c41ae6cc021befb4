"""Efficient attention: keys meet values before queries.

Paper: https://arxiv.org/abs/1812.01243, Efficient Attention: Attention with Linear Complexities
Code: https://github.com/cmsflash/efficient-attention (MIT licence)

Difference to the authors' code, which adds its input to the output: residual connections are outside here.
"""

from typing import ClassVar

import torch

from ..layers.precision import in_float32
from .token_mixer import Mechanism, MultiHeadMixer


class EfficientAttention(MultiHeadMixer):
    """Each channel of a key is a map of attention over all tokens; queries weight what these maps have gathered.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Efficient attention',
        design='complexity',
        idea='Reordering',
        reads='summary',
        formula='softmax_d(Q) (softmax_N(K)ᵀ V)',
        cost='N d',
        source='https://arxiv.org/abs/1812.01243',
    )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.proj(self.to_map(attend(*map(self.to_tokens, self.qkv(x).chunk(3, dim=1))), x))

    def macs(self, height: int, width: int) -> int:
        tokens = height * width
        return 4 * tokens * self.channels**2 + 2 * tokens * self.channels * self.head_dim


@in_float32
def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax over channels of queries, times softmax over tokens of keys, times values.

    Args:
        query: Shape (B, heads, N, d).
        key: As `query`.
        value: As `query`.
    """
    return query.softmax(dim=3) @ (key.softmax(dim=2).transpose(2, 3) @ value)
