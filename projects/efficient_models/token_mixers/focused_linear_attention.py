"""Focused linear attention.

Paper: https://arxiv.org/abs/2308.00442, FLatten Transformer
Code: https://github.com/LeapLabTHU/FLatten-Transformer

Differences to the authors' code: its positions, learnt for maps of one size, are left out; powers are taken of what has
been divided by its maximum, which gives the same direction and stays finite.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, Power
from ..layers.precision import in_float32
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer

EPS = 1e-6  # as in the authors' code, of features and of sums of weights


class FocusedLinearAttention(MultiHeadMixer):
    """Linear attention whose features are turned towards their largest channels; a convolution of values is added.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        focus: Power p of the features; 1 is ReLU linear attention.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Focused linear attention',
        design='complexity',
        idea='Reordering',
        reads='summary',
        formula='φ(Q) (φ(K)ᵀ V) / φ(Q) Σφ(K) + DW(V), φ(x) = ‖r‖ rᵖ / ‖rᵖ‖, r = ReLU(x)',
        cost='N d',
        source='https://arxiv.org/abs/2308.00442',
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, focus: Power = 3) -> None:
        super().__init__(channels, head_dim)
        self.focus = focus
        self.scale = nn.Parameter(torch.zeros(channels))
        self.dwc = nn.Conv2d(head_dim, head_dim, 5, padding=2, groups=head_dim)  # shared by all heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=1)
        attended = in_float32(self._attend)(query, key, value, self.scale)
        local = self.dwc(value.unflatten(1, (self.num_heads, -1)).flatten(0, 1))
        return self.proj(self.to_map(attended, x) + local.unflatten(0, (-1, self.num_heads)).flatten(1, 2))

    def macs(self, height: int, width: int) -> int:
        return height * width * self.channels * (4 * self.channels + 2 * self.head_dim + 1 + 25)

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        scale, tokens = F.softplus(scale)[:, None, None], value.shape[2] * value.shape[3]
        query, key = (self.to_tokens(self._focused((one.relu() + EPS) / scale)) for one in (query, key))
        weights = query @ key.mean(dim=2, keepdim=True).transpose(2, 3) + EPS
        return query @ (key.transpose(2, 3) @ self.to_tokens(value) / tokens) / weights

    def _focused(self, x: torch.Tensor) -> torch.Tensor:
        """Raise (B, C, H, W) to the power, and keep the length of each token, over all heads."""
        powers = (x / x.amax(dim=1, keepdim=True)) ** self.focus
        return F.normalize(powers, dim=1) * x.norm(dim=1, keepdim=True)
