"""Attention inside windows, shifted by option.

Paper: https://arxiv.org/abs/2103.14030, Swin Transformer
Code: https://github.com/microsoft/Swin-Transformer (MIT licence)

Differences to the authors' code: cells of windows that stick out of the map are masked, where they fill the map up with
zeros that take part. A shifted window keeps its place at the border, where they roll the map and mask what has come
from the other side; the result is the same.
"""

from typing import ClassVar

import torch
from torch import nn

from ..layers.options import Count, CountOrNone
from .tiles import cut_tiles, join_tiles, pair_axes
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class WindowAttention(MultiHeadMixer):
    """Softmax attention among the tokens of each window, with a learnt bias for each displacement.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        window_size: Side of the windows, in tokens.
        shift: How far the windows start inside the map, in tokens; Swin alternates 0 and half a window.

    Raises:
        ValueError: If `head_dim` does not divide the channels, the shift is no less than the window, or an option is of
            a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Window attention',
        design='complexity',
        idea='Windowing',
        reads='near',
        formula='softmax(Q K_wᵀ / √d + B) V_w, w × w keys',
        cost='N w²',
        source='https://arxiv.org/abs/2103.14030',
    )

    def __init__(
        self, channels: Count, head_dim: Count = HEAD_DIM, window_size: Count = 7, shift: CountOrNone = 0
    ) -> None:
        super().__init__(channels, head_dim)
        if shift >= window_size:
            raise ValueError(f'shift of WindowAttention must be less than its window_size, {window_size}, got {shift}.')
        self.window_size = window_size
        self.padding = -shift % window_size  # rows and columns of the first window that are outside
        self.bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, self.num_heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.bias_index: torch.Tensor
        self.register_buffer('bias_index', displacements(window_size), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        batch, _, height, width = x.shape
        (rows, in_rows), (columns, in_columns) = (self._windows(length, x.device) for length in (height, width))
        tiles = cut_tiles(self.qkv(x), rows, columns, 3 * self.num_heads)
        query, key, value = tiles.chunk(3, dim=1)
        bias = self.bias_table[self.bias_index].permute(2, 0, 1).to(query.dtype)[None]
        whole = height % self.window_size == width % self.window_size == self.padding == 0
        if torch.jit.is_tracing() or not whole:  # a traced graph serves other sizes
            inside = pair_axes(in_rows[:, None], in_columns[:, None], batch)
            bias = bias.masked_fill(~inside, float('-inf'))
        attended = attend_pairs(query, key, value, mask=bias)
        attended = join_tiles(attended, rows, columns)
        end = self.padding
        return self.proj(attended[:, :, end : end + height, end : end + width])

    def macs(self, height: int, width: int) -> int:
        return 4 * height * width * self.channels**2 + 2 * self._pairs(height, width) * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * self._pairs(height, width)

    def _windows(self, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the positions of each window along an axis, (windows, side), and which of them are inside."""
        starts = torch.arange(0, length + self.padding, self.window_size, device=device) - self.padding
        positions = starts[:, None] + torch.arange(self.window_size, device=device)
        last = torch.arange(length, device=device)[-1:]
        clamped = torch.minimum(positions.clamp(min=0), last)
        return clamped, clamped == positions

    def _pairs(self, height: int, width: int) -> int:
        """Pairs of query and key, in all windows."""
        vertical, horizontal = (-(-(length + self.padding) // self.window_size) for length in (height, width))
        return vertical * horizontal * self.window_size**4


def displacements(side: int) -> torch.Tensor:
    """Return the row of a table of (2 * side - 1) ** 2 displacements for each query and key of a window.

    Args:
        side: Side of the window.

    Returns:
        Shape (side * side, side * side); the table is ordered by how far the query
        is below the key, then by how far it is to the right, both from -(side - 1).
    """
    rows, columns = (axis.flatten() for axis in torch.meshgrid(*2 * [torch.arange(side)], indexing='ij'))
    vertical, horizontal = (axis[:, None] - axis + side - 1 for axis in (rows, columns))
    return vertical * (2 * side - 1) + horizontal
