"""TurboViT-style network: a reconstruction from the text of TurboViT, 2023, and not the authors' network.

Paper: https://arxiv.org/abs/2308.11421, Generating Fast Vision Transformers via Generative Architecture Search

Published, in two pages without code, weights or a table of sizes: mask-unit attention and Q-pooling, which are Hiera's
(https://arxiv.org/abs/2306.00989); three poolings, with most layers after the second; few channels and heads;
FasterViT-0 (31.4 M parameters) is more than 2.47 times larger, and MobileViTv2-2.0 (7.2 GMACs) computes more than 3.4
times as much.

Inferred: everything else. The depths of Hiera-Tiny at a width of 64 agree with both ratios: with a classifier of 1000
classes, 12.66 M parameters and 2.07 GMACs at 224x224 pixels, or 2.25 with the two products of attention. Blocks,
windows, positions and initial weights are Hiera's; checkpoints in Hiera's names, the authors' or timm's, load into a
variant of their size.

Feature maps are (B, H, W, C) between the blocks, and the returned maps are channels-last views of them. Compared with
Hiera's code:

- Blocks cut their map into windows, where Hiera sorts the cells once. Thus windows may stick out of the map; attention
  and pooling ignore what is outside. Hiera takes multiples of 32 pixels only, and a single size.
- Queries are projected and pooled before keys and values exist, and the GELU works in place where no gradient needs
  its input: about half of the memory in inference.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F

from ..layers.block_sequence import BlockSequence
from .backbone import Backbone, Level

GRID_SIZE = 56  # cells per side for which positions are learnt: 224 pixels
WINDOWS = (8, 4, None, None)  # side of a mask unit in the cells of each stage; None attends to the whole map
MLP_RATIO = 4  # hidden channels of the perceptrons per channel
NORM_EPS = 1e-6  # of layer normalisation


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Map (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), C): maxima over 2x2 cells, fewer at odd borders."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True).permute(0, 2, 3, 1)


def cut_windows(x: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Cut a map into windows, side by side from the top left corner.

    Windows that stick out at the bottom or right are filled up with copies of the border, which never exceed the
    maximum of the cells that they are pooled with.

    Args:
        x: Map of shape (B, H, W, C).
        side: Height and width of the windows.

    Returns:
        Windows of shape (B * windows, side, side, C), and which of their cells lie inside the map, for attention, of
        shape (B * windows, 1, 1, side * side); None if all do.
    """
    batch, height, width, _ = x.shape
    below, right = -height % side, -width % side
    if not torch.jit.is_tracing() and not below and not right:  # a traced graph serves other sizes
        return _cut(x, side), None
    inside = F.pad(x.new_ones(batch, height, width, 1, dtype=torch.bool), (0, 0, 0, right, 0, below))
    x = F.pad(x.permute(0, 3, 1, 2), (0, right, 0, below), mode='replicate').permute(0, 2, 3, 1)
    return _cut(x, side), _cut(inside, side).reshape(-1, 1, 1, side**2)


def _cut(x: torch.Tensor, side: int) -> torch.Tensor:
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3).flatten(0, 2)


def join_windows(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Undo `cut_windows`: map (B * windows, side, side, C) to (B, height, width, C)."""
    side = windows.shape[1]
    grid = (-1, (height + side - 1) // side, (width + side - 1) // side)
    x = windows.unflatten(0, grid).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return x[:, :height, :width]


class PatchEmbed(nn.Module):
    """Strided convolution, to which learnt positions are added.

    Args:
        dim: Channels of the output.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 7, stride=4, padding=3)
        self.pos_embed = nn.Parameter(torch.empty(1, GRID_SIZE**2, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to (B, ceil(H / 4), ceil(W / 4), dim)."""
        x = self.proj(images.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        positions = resize_positions(self.pos_embed, x.shape[1], x.shape[2])
        return x + positions.view(1, *x.shape[1:])


def resize_positions(positions: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate positions of a square map, shape (1, side * side, C), to shape (1, height * width, C)."""
    side = math.isqrt(positions.shape[1])
    if not torch.jit.is_tracing() and (height, width) == (side, side):
        return positions
    maps = positions.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    return F.interpolate(maps, size=(height, width), mode='bicubic').permute(0, 2, 3, 1).flatten(1, 2)


class GELU(nn.Module):
    """GELU, in place unless gradients need the input, which an operation in place would copy."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a tensor to the same shape; the input must be of no further use."""
        return F.gelu(x) if x.requires_grad else torch.ops.aten.gelu_(x)


class Attention(nn.Module):
    """Multi-head self-attention over all cells of a map, without positional encoding.

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
        num_heads: Heads that share the channels of the output.
        pool: Whether to pool the queries, and thereby the output.

    Raises:
        ValueError: If the channels cannot be shared.
    """

    def __init__(self, dim: int, out_dim: int, num_heads: int, pool: bool) -> None:
        super().__init__()
        if out_dim % num_heads:
            raise ValueError(
                f'{num_heads} attention heads cannot share {out_dim} channels evenly. In the variant, choose dims that '
                'are multiples of num_heads.'
            )
        self.num_heads = num_heads
        self.pool = pool
        self.qkv = nn.Linear(dim, 3 * out_dim)
        self.proj = nn.Linear(out_dim, out_dim)

    def forward(self, x: torch.Tensor, inside: torch.Tensor | None = None) -> torch.Tensor:
        """Map (B, H, W, dim) to (B, H, W, out_dim), or to its pooled size.

        Args:
            x: The maps.
            inside: Which cells to pay attention to, shape (B, 1, 1, H * W); None for all.
        """
        sizes = (self.proj.in_features, 2 * self.proj.in_features)
        (query_weight, key_value_weight), (query_bias, key_value_bias) = (
            parameter.split(sizes) for parameter in (self.qkv.weight, self.qkv.bias)
        )
        query = F.linear(x, query_weight, query_bias)
        if self.pool:
            query = max_pool(query)
        key, value = F.linear(x, key_value_weight, key_value_bias).chunk(2, dim=-1)
        size = query.shape
        query, key, value = (
            part.flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=inside)
        return self.proj(attended.transpose(1, 2).flatten(2)).unflatten(1, size[1:3])


class Block(nn.Module):
    """Transformer block: self-attention and multilayer perceptron, each normalised, with a residual connection.

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
        num_heads: Attention heads.
        window: Side of the windows of attention, in cells of the input; None attends to the whole map.
        pool: Whether to halve the resolution by Q-pooling: of the queries, and of a projection of the input in place of
            the residual connection.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(
        self, dim: int, out_dim: int, num_heads: int, window: int | None, pool: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim, NORM_EPS)
        self.proj = nn.Linear(dim, out_dim) if pool else None
        self.attn = Attention(dim, out_dim, num_heads, pool)
        self.norm2 = nn.LayerNorm(out_dim, NORM_EPS)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(out_dim, MLP_RATIO * out_dim), act=GELU(), fc2=nn.Linear(MLP_RATIO * out_dim, out_dim)
            )
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, dim) to (B, H, W, out_dim), or to (B, ceil(H / 2), ceil(W / 2), out_dim)."""
        x = self.attend(x)
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Do the first half of the block: attention, and the pooling."""
        height, width = x.shape[1:3]
        normed = self.norm1(x)
        inside = None
        if self.window is not None:
            normed, inside = cut_windows(normed, self.window)
        attended = self.attn(normed, inside)
        if self.proj is not None:
            x = max_pool(self.proj(normed))
            height, width = (height + 1) // 2, (width + 1) // 2
        if self.window is not None:
            attended = join_windows(attended, height, width)
            if self.proj is not None:
                x = join_windows(x, height, width)
        return x + self.drop_path(attended)


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        dims: Channels of the four stages.
        depths: Blocks of the four stages.
        num_heads: Attention heads of the four stages.
    """

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    num_heads: tuple[int, int, int, int]


@MODELS.register_module()
class TurboViT(Backbone):
    """TurboViT-style network of width 64, 'w64'; entries added to `archs` make others.

    Levels: strides 4, 8, 16 and 32 from the four stages, without a norm. The stem is one convolution of stride 4, so
    there is no finer level.

    Hiera trains the `pos_embed` without weight decay. The network normalises layers, not batches: `norm_eval` changes
    nothing, and there is nothing that `fuse()` could fold.

    Arguments: see `Backbone`. There are no published weights for `pretrained=True`.
    """

    classifier_prefixes = ('norm.', 'head.')
    archs: ClassVar = {'w64': Variant((64, 128, 256, 512), (1, 2, 7, 2), (1, 2, 4, 8))}

    def build(self, variant: Variant) -> tuple[Level, ...]:
        self.patch_embed = PatchEmbed(variant.dims[0])
        self.stages = nn.ModuleList()
        input_dim = variant.dims[0]
        input_window: int | None = WINDOWS[0]
        for index, drop_paths in enumerate(self.drop_path_rates(variant.depths)):
            dim, num_heads = variant.dims[index], variant.num_heads[index]
            blocks: list[nn.Module] = []
            for drop_path in drop_paths:
                pool = index > 0 and not blocks
                blocks.append(Block(input_dim, dim, num_heads, input_window, pool, drop_path))
                # a block that pools still attends in the windows of the stage before
                input_dim, input_window = dim, WINDOWS[index]
            self.stages.append(BlockSequence(*blocks, with_cp=self.with_cp))
        self._init_weights()
        return tuple(Level(dim, 4 * 2**index, stage=index + 1) for index, dim in enumerate(variant.dims))

    def _init_weights(self) -> None:
        """Hiera's initial weights: the deeper a residual branch, the weaker it starts."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.bias, 0.02)
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        with torch.no_grad():
            for depth, block in enumerate(blocks, start=1):
                for name in ('attn.proj.weight', 'mlp.fc2.weight'):
                    block.get_parameter(name).div_(math.sqrt(2 * depth))

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = self.patch_embed(images)
        for stage in self.stages:
            x = stage(x)
            yield x.permute(0, 3, 1, 2)

    def renamed_prefixes(self) -> dict[str, str]:
        """Map Hiera's blocks, which are numbered throughout, to stages."""
        depths = self.archs[self.arch].depths
        blocks = [f'stages.{stage}.{block}.' for stage, depth in enumerate(depths) for block in range(depth)]
        return {f'blocks.{index}.': own for index, own in enumerate(blocks)}

    def resize_weights(self, state_dict: dict[str, Any], prefix: str = '') -> None:
        """Fit positions learnt at another resolution; Hiera's stand outside the patch embedding."""
        theirs, own = f'{prefix}pos_embed', f'{prefix}patch_embed.pos_embed'
        if theirs in state_dict:
            state_dict[own] = state_dict.pop(theirs)
        positions = state_dict.get(own)
        if positions is not None and positions.dim() == 3 and math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
            state_dict[own] = resize_positions(positions, GRID_SIZE, GRID_SIZE)
