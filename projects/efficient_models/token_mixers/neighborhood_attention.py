"""Attention to the neighbors of each token.

Paper: https://arxiv.org/abs/2204.07143, Neighborhood Attention Transformer; https://arxiv.org/abs/2304.04237,
Slide-Transformer
Code: https://github.com/SHI-Labs/NATTEN (MIT licence)

Computed in tiles of queries, which share the keys of their common surroundings: twice as many products as there are
neighbors, but as products of matrices, and six copies of keys and values where `unfold` has 49. For 64x64 tokens of 128
channels this takes 25 ms of one core of a CPU, where shifted copies of the map take 89 and `unfold` 734. NATTEN needs
kernels of its own for a GPU. Its bias for each displacement is left out.
"""

from typing import ClassVar

import torch

from ..layers.options import Count, OddCount, Switch
from .tiles import cut_tiles, join_tiles, pair_axes
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class NeighborhoodAttention(MultiHeadMixer):
    """Softmax attention of each token to the square of tokens around it.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        kernel_size: Side of the square, in tokens; odd.
        shifts_at_borders: Whether the square moves inside at borders, so that each token sees as many (NATTEN). If not,
            what is outside is missing.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Neighborhood attention',
        design='complexity',
        idea='Windowing',
        reads='near',
        formula='softmax(q_i K_{k × k around i}ᵀ / √d) V_{k × k around i}',
        cost='N k²',
        source='https://arxiv.org/abs/2204.07143',
    )

    def __init__(
        self, channels: Count, head_dim: Count = HEAD_DIM, kernel_size: OddCount = 7, shifts_at_borders: Switch = True
    ) -> None:
        super().__init__(channels, head_dim)
        self.kernel_size, self.tile_size = kernel_size, (kernel_size + 1) // 2
        self.reach = self.tile_size + kernel_size - 1  # side of the keys of a tile
        self.shifts_at_borders = shifts_at_borders

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        (rows, key_rows, see_rows), (columns, key_columns, see_columns) = (
            self._tiles(length, x.device) for length in (height, width)
        )
        query, key_value = self.qkv(x).split([channels, 2 * channels], dim=1)
        query = cut_tiles(query, rows, columns, self.num_heads)
        key, value = cut_tiles(key_value, key_rows, key_columns, 2 * self.num_heads).chunk(2, dim=1)
        seen = pair_axes(see_rows, see_columns, batch)
        attended = attend_pairs(query, key, value, mask=seen)
        return self.proj(join_tiles(attended, rows, columns)[:, :, :height, :width])

    def macs(self, height: int, width: int) -> int:
        return 4 * height * width * self.channels**2 + 2 * self._pairs(height, width) * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * self._pairs(height, width)

    def _tiles(self, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the positions of each tile's queries along an axis, those of its keys, and which of them see which."""
        size, reach, radius = self.kernel_size, self.reach, self.kernel_size // 2
        last = torch.arange(length, device=device)[-1:]
        starts = torch.arange(0, length, self.tile_size, device=device)[:, None]
        queries = torch.minimum(starts + torch.arange(self.tile_size, device=device), last)
        key_starts = torch.minimum(starts - radius, last + 1 - reach).clamp(min=0)
        keys = key_starts + torch.arange(reach, device=device)
        first_seen = queries - radius
        if self.shifts_at_borders:
            first_seen = torch.minimum(first_seen, last + 1 - size).clamp(min=0)
        first_seen, positions = first_seen[:, :, None], keys[:, None]
        seen = (positions >= first_seen) & (positions < first_seen + size) & (positions <= last)
        return queries, torch.minimum(keys, last), seen

    def _pairs(self, height: int, width: int) -> int:
        """Pairs of query and key, in all tiles."""
        vertical, horizontal = (-(-length // self.tile_size) for length in (height, width))
        return vertical * horizontal * (self.tile_size * self.reach) ** 2
