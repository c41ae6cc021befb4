"""Context bridge: one attention over the levels of a backbone, as in MISSFormer.

Paper: https://arxiv.org/abs/2109.07162, MISSFormer: An Effective Medical Image Segmentation Transformer
Code: https://github.com/ZhifangDeng/MISSFormer

Compared with the authors' code:

- It takes any number of levels and images of any size; theirs takes four levels of images of 224x224. Where a map is
  not a multiple of its reduction, its border is repeated.
- A token is a run of adjacent channels of one position, for keys as for queries. In theirs, keys are cut across the
  positions of a map whose channels come first, which pairs tokens that have nothing to do with each other.
- Perceptrons have the layers that theirs use; two norms in each have weights there, but no part in the result.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from ..layers.options import Count, Counts, checks_options


class MixFFN(nn.Module):
    """Perceptron with a depthwise convolution and a skip connection between its layers.

    Args:
        channels: Channels of input and output.
        ratio: Hidden channels per channel.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        hidden = ratio * channels
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = self.fc1(x)
        convolved = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(F.gelu(self.norm(convolved + x)))


class BridgeLayer(nn.Module):
    """Attention of the tokens of all levels to reduced maps of all levels, and a perceptron for each.

    Arguments: see `ContextBridge`.
    """

    def __init__(
        self, in_channels: Sequence[int], width: int, num_heads: int, reductions: Sequence[int], ratio: int
    ) -> None:
        super().__init__()
        self.width = width
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(width)
        self.reduce = nn.ModuleList(
            nn.Conv2d(channels, channels, side, stride=side) if side > 1 else nn.Identity()
            for channels, side in zip(in_channels, reductions, strict=True)
        )
        self.reductions = tuple(reductions)
        self.norm = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.ffns = nn.ModuleList(MixFFN(channels, ratio) for channels in in_channels)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Exchange between maps, of shape (B, H_i, W_i, C_i)."""
        normed = [self._normalize(self.norm1, x) for x in maps]
        reduced = [self.to_tokens(self._reduce(level, x)) for level, x in enumerate(normed)]
        key, value = self._heads(self.kv(self.norm(torch.cat(reduced, dim=1)))).chunk(2, dim=3)
        outputs = []
        for x, tokens, ffn in zip(maps, map(self.to_tokens, normed), self.ffns, strict=True):
            attended = F.scaled_dot_product_attention(self._heads(self.q(tokens)), key, value)
            y = x + self.proj(attended.transpose(1, 2).flatten(2)).reshape_as(x)
            outputs.append(y + ffn(self._normalize(self.norm2, y)))
        return outputs

    def to_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Cut the channels of each position: map (B, H, W, C) to (B, H * W * C / width, width)."""
        return x.unflatten(3, (-1, self.width)).flatten(1, 3)

    def _normalize(self, norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        """Normalise each token of a map."""
        return norm(x.unflatten(3, (-1, self.width))).flatten(3)

    def _reduce(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) of a level to its cells, (B, ceil(H / reduction), ceil(W / reduction), C)."""
        side = self.reductions[level]
        x = x.permute(0, 3, 1, 2)
        if side > 1:
            x = self.reduce[level](F.pad(x, (0, side - 1, 0, side - 1), mode='replicate'))
        return x.permute(0, 2, 3, 1)

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (B, N, parts * width) to (B, heads, N, parts * width / heads), parts one after the other in each head."""
        return (
            tokens.unflatten(2, (-1, self.num_heads, self.width // self.num_heads))
            .transpose(2, 3)
            .flatten(3)
            .transpose(1, 2)
        )


@MODELS.register_module()
class ContextBridge(BaseModule):
    """Lets every position of every level see all levels; the maps keep their shapes.

    The channels of a position are cut into tokens of one width, so that wider levels have more of them. All tokens
    attend to those of maps that strided convolutions have reduced to about the size of the coarsest one. Then each
    level has a perceptron. Both have residual connections.

    Scores are one for each token and each reduced token: with images of 512x512, levels of strides 8 to 64 and channels
    of 1, 2, 3 and 4 times the width, 7168 x 640 of them.

    Args:
        in_channels: Channels of each level, finest first.
        width: Channels of a token; divides all of `in_channels`.
        num_layers: Layers of attention and perceptrons; the authors have 4.
        num_heads: Heads that share the width; the authors have 1.
        reductions: Side of the cells that each level is reduced to. Default: 1 for the last level, and twice as much
            for each level before it, which fits levels whose strides double.
        ffn_ratio: Hidden channels of the perceptrons per channel.

    Raises:
        ValueError: If there is no such option, a value is of a wrong kind, or width, heads or reductions do not fit the
            levels.

    Example:
        >>> bridge = ContextBridge(in_channels=[32, 64], width=32, num_layers=1)
        >>> [tuple(y.shape) for y in bridge([torch.zeros(1, 32, 9, 6), torch.zeros(1, 64, 5, 3)])]
        [(1, 32, 9, 6), (1, 64, 5, 3)]
    """

    @checks_options
    def __init__(
        self,
        in_channels: Counts,
        width: Count,
        num_layers: Count = 4,
        num_heads: Count = 1,
        reductions: Counts | None = None,
        ffn_ratio: Count = 4,
    ) -> None:
        super().__init__()
        if any(channels % width for channels in in_channels):
            raise ValueError(
                f'width of ContextBridge must divide all channels of its levels, {list(in_channels)}, as '
                f'{math.gcd(*in_channels)} does, got {width}.'
            )
        if width % num_heads:
            raise ValueError(f'num_heads of ContextBridge must divide its width, {width}, got {num_heads}.')
        if reductions is None:
            reductions = [2**exponent for exponent in reversed(range(len(in_channels)))]
        if len(reductions) != len(in_channels):
            raise ValueError(
                f'reductions of ContextBridge must be one for each of its {len(in_channels)} levels, got '
                f'{list(reductions)}.'
            )
        self.in_channels = tuple(in_channels)
        self.layers = nn.ModuleList(
            BridgeLayer(in_channels, width, num_heads, reductions, ffn_ratio) for _ in range(num_layers)
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Bridge the levels.

        Args:
            inputs: One map per entry of `in_channels`, shape (B, C_i, H_i, W_i).

        Returns:
            Maps of the same shapes.

        Raises:
            ValueError: If the number of maps is wrong.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(f'ContextBridge has {len(self.in_channels)} in_channels, but got {len(inputs)} maps.')
        maps = [x.permute(0, 2, 3, 1) for x in inputs]
        for layer in self.layers:
            maps = layer(maps)
        return tuple(x.permute(0, 3, 1, 2) for x in maps)
