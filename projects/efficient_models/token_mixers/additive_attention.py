"""Efficient additive attention: one global query, and no product of pairs.

Paper: https://arxiv.org/abs/2303.15446, SwiftFormer
Code: https://github.com/Amshaker/SwiftFormer
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count
from .token_mixer import Mechanism, TokenMixer


class AdditiveAttention(TokenMixer):
    """Each token's key is multiplied by one query, the sum of all queries by weights that are learnt.

    The weights have a Euclidean norm of 1 over the map; they are not positive and do not sum to 1. Norms and the sum
    over tokens are computed in float32.

    Args:
        channels: Channels of input and output.

    Raises:
        ValueError: If the channels are of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Efficient additive attention',
        design='other',
        idea='Additive attention',
        reads='summary',
        formula='W₂(W₁(k ⊙ Σ α_i q_i) + q), α = Qw / ‖Qw‖',
        cost='N',
        source='https://arxiv.org/abs/2303.15446',
    )

    def __init__(self, channels: Count) -> None:
        super().__init__(channels)
        self.to_query = nn.Conv2d(channels, channels, 1)
        self.to_key = nn.Conv2d(channels, channels, 1)
        self.w_g = nn.Conv2d(channels, 1, 1, bias=False)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.final = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        exact = torch.promote_types(x.dtype, torch.float32)
        query = F.normalize(self.to_query(x).to(exact), dim=1)
        key = F.normalize(self.to_key(x).to(exact), dim=1)
        # the authors divide by √C first, which the norm undoes
        weights = F.normalize(self.w_g(query.to(x.dtype)).to(exact).flatten(2), dim=2).unflatten(2, x.shape[2:])
        global_query = (weights * query).sum((2, 3), keepdim=True)
        return self.final(self.proj((global_query * key).to(x.dtype)) + query.to(x.dtype))

    def macs(self, height: int, width: int) -> int:
        return height * width * (4 * self.channels**2 + self.channels)
