"""Token merging: similar neighbors become one token before attention, and get its result after it.

Paper: https://arxiv.org/abs/2210.09461, Token Merging: Your ViT But Faster
Paper: https://arxiv.org/abs/2303.17604, Token Merging for Fast Stable Diffusion (merging and unmerging around a layer)

The papers match any token with any; to find the matches costs what attention saves. Here, a token may merge with the
first token of its 2x2 cell only, which is linear in the number of tokens and keeps what is merged adjacent.
"""

from typing import ClassVar

import torch
from torch.nn import functional as F

from ..layers.options import Count, Percent
from .token_mixer import HEAD_DIM, Mechanism, MultiHeadMixer, attend_pairs


class TokenMerging(MultiHeadMixer):
    """Softmax attention between tokens, of which the most redundant have been merged with a neighbor.

    A merged token has the means of the queries, keys and values of its parts and counts as many times as it has parts;
    each part gets its result. With nothing merged, this is softmax attention.

    Args:
        channels: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
        merged_percent: How many of the tokens that may merge do so, 0 to 100; three in four may.

    Raises:
        ValueError: If `head_dim` does not divide the channels, or an option is of a wrong kind or out of range.
    """

    mechanism: ClassVar = Mechanism(
        title='Token merging',
        design='tokenization',
        idea='Fewer redundant tokens',
        reads='fewer',
        formula='M⁻¹ softmax(M(Q) M(K)ᵀ / √d + log size) M(V)',
        cost='(N - r)²',
        source='https://arxiv.org/abs/2210.09461',
        is_quadratic=True,
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, merged_percent: Percent = 75) -> None:
        super().__init__(channels, head_dim)
        self.merged_percent = merged_percent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        qkv = self.qkv(x)
        slots, num_slots = self.assign(qkv[:, self.channels : 2 * self.channels])
        tokens = qkv.flatten(2)
        merged = tokens.new_zeros(tokens.shape[0], tokens.shape[1], num_slots)
        sizes = merged[:, :1].scatter_add(2, slots, torch.ones_like(tokens[:, :1]))
        merged = merged.scatter_add(2, slots.expand_as(tokens), tokens) / sizes
        query, key, value = map(self.to_tokens, merged.chunk(3, dim=1))
        attended = attend_pairs(query, key, value, mask=sizes.log().unsqueeze(1))
        attended = attended.transpose(2, 3).flatten(1, 2)
        restored = attended.gather(2, slots.expand(-1, self.channels, -1))
        return self.proj(restored.unflatten(2, x.shape[2:]))

    def assign(self, keys: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Decide which tokens become one.

        Those merge whose keys, averaged over the heads, are most similar to that of the first token in their cell.

        Args:
            keys: Shape (B, C, H, W).

        Returns:
            For each token the number of the merged token that it is part of, shape (B, 1, H * W), and how many there
            are: one for each cell, then one for each token that has not merged.
        """
        height, width = keys.shape[2:]
        keys = keys.detach().to(torch.promote_types(keys.dtype, torch.float32))
        keys = F.normalize(keys.unflatten(1, (self.num_heads, -1)).mean(1), dim=1)
        first = keys[:, :, ::2, ::2]
        similarity = (keys * F.interpolate(first, scale_factor=2.0, mode='nearest')[:, :, :height, :width]).sum(1)
        rows = torch.arange(height, device=keys.device)[:, None]
        columns = torch.arange(width, device=keys.device)
        is_first = (rows % 2 + columns % 2) == 0
        cells_per_row = (width + 1) // 2
        num_cells = (height + 1) // 2 * cells_per_row
        cells = (rows // 2 * cells_per_row + columns // 2).flatten()
        order = similarity.masked_fill(is_first, 2.0).flatten(1).argsort(1, descending=True)
        ranks = order.argsort(1)
        num_merged = (height * width - num_cells) * self.merged_percent // 100
        slots = torch.where(ranks < num_cells + num_merged, cells, ranks - num_merged)
        return slots.unsqueeze(1), height * width - num_merged

    def macs(self, height: int, width: int) -> int:
        slots = self._num_slots(height, width)
        return 4 * height * width * self.channels**2 + 2 * slots**2 * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * self._num_slots(height, width) ** 2

    def _num_slots(self, height: int, width: int) -> int:
        num_cells = (height + 1) // 2 * ((width + 1) // 2)
        return height * width - (height * width - num_cells) * self.merged_percent // 100
