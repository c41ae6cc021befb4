"""Attention in windows with a few learnt tokens, which carry what is elsewhere on the map into each window.

Paper: https://arxiv.org/abs/2105.15168, MSG-Transformer: Exchanging Local Spatial Information by Manipulating Messenger
Tokens

Compared with the paper, whose windows have messengers of their own and swap channels of them in each block:

- Messengers gather from all windows at once, by one softmax over the map, and each window reads all of them. The swap
  needs maps of certain sizes, and several blocks to reach all windows.
- A messenger is learnt as a query. It is read by the mean of the keys, and gives the mean of the values, of the tokens
  that it has gathered from; so it lasts for one block, and results remain means of values.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..backbones.turbovit import cut_windows, join_windows
from ..layers.options import Count, CountOrNone
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class ExtraTokens(MultiHeadMixer):
    """Each token attends to its window and to messengers, which have attended to the whole map.

    Without messengers, this is attention in windows; if one window also covers the map, softmax attention.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        window_size: Side of a window in tokens; windows begin at the upper left corner and may stick out of the map.
        num_extra: Messengers.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Extra tokens',
        design='tokenization',
        idea='More informative tokens',
        reads='near_and_all',
        formula='softmax(Q [K_w; AK]ᵀ / √d) [V_w; AV], A = softmax(T Kᵀ / √d), T learnt',
        cost='N (w² + g)',
        source='https://arxiv.org/abs/2105.15168',
    )

    def __init__(
        self, channels: Count, head_dim: Count = HEAD_DIM, window_size: Count = 7, num_extra: CountOrNone = 4
    ) -> None:
        super().__init__(channels, head_dim)
        self.window_size = window_size
        self.extra = nn.Parameter(torch.empty(num_extra, channels))
        nn.init.normal_(self.extra)  # as scattered as queries of normalised tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        tokens = self.qkv(x).permute(0, 2, 3, 1)
        windows, inside = cut_windows(tokens, self.window_size)
        query, key, value = self._heads(windows)
        height, width = x.shape[2:]
        if len(self.extra):
            rows, columns = ((side + self.window_size - 1) // self.window_size for side in (height, width))
            extra = [_repeat(one, rows * columns) for one in self.gather(tokens)]
            key, value = (torch.cat(pair, dim=2) for pair in zip((key, value), extra, strict=True))
            inside = None if inside is None else F.pad(inside, (0, len(self.extra)), value=True)
        attended = attend_pairs(query, key, value, mask=inside)
        windows = attended.transpose(1, 2).flatten(2).unflatten(1, (self.window_size, self.window_size))
        return self.proj(join_windows(windows, height, width).permute(0, 3, 1, 2))

    def gather(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the messengers, (B, heads, num_extra, d), from projections (B, H, W, 3C)."""
        _, key, value = self._heads(tokens)
        query = self.extra.to(key.dtype).unflatten(1, (self.num_heads, -1)).transpose(0, 1)
        weights = (query * key.shape[3] ** -0.5 @ key.transpose(2, 3)).softmax(3).to(value.dtype)
        return weights @ key, weights @ value

    def _heads(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map (B, H, W, 3C) to queries, keys and values of shape (B, heads, H * W, d)."""
        return tokens.flatten(1, 2).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def macs(self, height: int, width: int) -> int:
        tokens, extra = height * width, len(self.extra)
        padded = self._num_padded(height, width)
        products = 3 * tokens * extra + 2 * padded * (self.window_size**2 + extra)
        return (4 * tokens * self.channels + products) * self.channels

    def num_scores(self, height: int, width: int) -> int:
        extra = len(self.extra)
        padded = self._num_padded(height, width)
        return self.num_heads * (height * width * extra + padded * (self.window_size**2 + extra))

    def _num_padded(self, height: int, width: int) -> int:
        """Tokens in all windows, with those outside of the map."""
        return -(-height // self.window_size) * -(-width // self.window_size) * self.window_size**2


def _repeat(extra: torch.Tensor, repeats: int) -> torch.Tensor:
    """Map (B, heads, g, d) to (B * repeats, heads, g, d), those of an image side by side."""
    return extra.unsqueeze(1).expand(-1, repeats, -1, -1, -1).flatten(0, 1)
