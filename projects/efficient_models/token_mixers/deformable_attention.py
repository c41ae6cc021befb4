"""Deformable attention: keys and values are sampled where the map itself says.

Paper: https://arxiv.org/abs/2201.00520, Vision Transformer with Deformable Attention
Code: https://github.com/LeapLabTHU/DAT

Compared with the authors' code:

- Its reference points lie half a cell off, partly outside of the map, and divide by zero on a map of one row. Here they
  are the centers of cells that divide the map evenly, and samples beyond the border are those of the border. Without
  offsets, at a stride of 1, this is softmax attention.
- Each group has offset layers of its own, under one norm over all channels, where the authors share them.
- There is no table of relative positions, whose size is that of a training image's map. Offsets are always bounded by
  tanh; later configurations of theirs bound the positions instead.
"""

from typing import ClassVar

import torch
from timm.layers import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count
from ..layers.precision import without_autocast
from .token_mixer import HEAD_DIM, HeadedMixer, Mechanism, attend_pairs

OFFSET_RANGE = 2  # half distances of reference points that a sample may move; the authors' offset_range_factor


class DeformableAttention(HeadedMixer):
    """Each token attends to samples of the map on a grid whose points have been moved.

    Args:
        channels: Channels of input and output, a multiple of `head_dim` and of `groups`.
        head_dim: Channels of each head.
        stride: Tokens between reference points along each side. The authors take 8, 4, 2 and 1 at strides 4 to 32.
        groups: Groups of channels, each of which is sampled at points of its own.

    Raises:
        ValueError: If `head_dim` or `groups` does not divide the channels, or an option is of a wrong kind or out of
            range.
    """

    mechanism: ClassVar = Mechanism(
        title='Deformable attention',
        design='other',
        idea='Deformable attention',
        reads='chosen',
        formula='softmax(Q K̃ᵀ / √d) Ṽ, K̃ and Ṽ of samples at p + Δp(Q)',
        cost='N² / s²',
        source='https://arxiv.org/abs/2201.00520',
        is_quadratic=True,
    )

    def __init__(self, channels: Count, head_dim: Count = HEAD_DIM, stride: Count = 4, groups: Count = 1) -> None:
        super().__init__(channels, head_dim)
        if channels % groups:
            raise ValueError(f'groups of DeformableAttention must divide its {channels} channels, got {groups}.')
        self.stride = stride
        self.groups = groups
        self.kernel_size = 2 * stride.bit_length() + 1  # 3, 5, 7 and 9 at strides 1, 2, 4 and 8, as the authors'
        self.query = nn.Conv2d(channels, channels, 1)
        self.offset_conv = nn.Conv2d(
            channels, channels, self.kernel_size, stride, padding=self.kernel_size // 2, groups=channels
        )
        self.offset_norm = LayerNorm2d(channels)
        self.offset_proj = nn.Conv2d(channels, 2 * groups, 1, groups=groups, bias=False)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        query = self.query(x)
        samples = self.sample(x, self.points(query))
        key, value = map(self.to_tokens, self.key_value(samples).chunk(2, dim=1))
        return self.proj(self.to_map(attend_pairs(self.to_tokens(query), key, value), x))

    def points(self, query: torch.Tensor) -> torch.Tensor:
        """Return where each group is sampled.

        Args:
            query: Shape (B, C, H, W).

        Returns:
            Columns and rows from -1, the map's left and upper edge, to 1; shape (B * groups, h, w, 2), with one point
            in `stride` tokens along each side, rounded up. In float32 at least.
        """
        offsets = self.offset_proj(F.gelu(self.offset_norm(self.offset_conv(query))))
        height, width = offsets.shape[2:]  # the grid is that of the offsets, in a traced graph, too
        offsets = offsets.to(torch.promote_types(offsets.dtype, torch.float32)).tanh()
        rows, columns = (torch.arange(side, device=offsets.device, dtype=offsets.dtype) for side in (height, width))
        horizontal = (2 * columns + 1 + OFFSET_RANGE * offsets[:, ::2]) / width - 1
        vertical = (2 * rows[:, None] + 1 + OFFSET_RANGE * offsets[:, 1::2]) / height - 1
        return torch.stack((horizontal, vertical), dim=4).flatten(0, 1)

    def sample(self, x: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Interpolate a map (B, C, H, W) at points (B * groups, h, w, 2); returns (B, C, h, w)."""
        with without_autocast(x.device.type):
            groups = x.to(points.dtype).unflatten(1, (self.groups, -1)).flatten(0, 1)
            samples = F.grid_sample(groups, points, padding_mode='border', align_corners=False)
        return samples.unflatten(0, (-1, self.groups)).flatten(1, 2).to(x.dtype)

    def macs(self, height: int, width: int) -> int:
        tokens, samples = height * width, self._num_samples(height, width)
        offsets = samples * self.channels * (self.kernel_size**2 + 2)
        projections = 2 * (tokens + samples) * self.channels**2
        return offsets + projections + 2 * tokens * samples * self.channels

    def num_scores(self, height: int, width: int) -> int:
        return self.num_heads * height * width * self._num_samples(height, width)

    def _num_samples(self, height: int, width: int) -> int:
        return -(-height // self.stride) * -(-width // self.stride)
