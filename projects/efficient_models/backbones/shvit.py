"""SHViT: Single-Head Vision Transformer with Memory Efficient Macro Design, CVPR 2024.

Paper: https://arxiv.org/abs/2401.16456
Code: https://github.com/ysj9909/SHViT (MIT licence)

Parameters bear the names of timm's `shvit_*`. The authors' names differ in the blocks only, and load as well, from
classification and from detection checkpoints. Compared with the authors' code, the stem's maps at strides 2, 4 and 8
can be returned, and the blocks have stochastic depth on request.
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from timm.layers import SqueezeExcite
from torch import nn

from ..layers.block_sequence import BlockSequence
from ..layers.conv_norm import ConvNorm, Residual
from .backbone import Backbone, Level


class FFN(nn.Module):
    """Feed-forward network of two 1x1 convolutions.

    Args:
        dim: Channels of input and output.
        hidden_dim: Channels in between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.pw1 = ConvNorm(dim, hidden_dim)
        self.act = nn.ReLU(inplace=True)
        self.pw2 = ConvNorm(hidden_dim, dim, norm_scale=0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.pw2(self.act(self.pw1(x)))


class PatchMerging(nn.Module):
    """Inverted bottleneck with squeeze-and-excitation that halves the resolution.

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        hidden_dim = 4 * dim
        self.conv1 = ConvNorm(dim, hidden_dim)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = ConvNorm(hidden_dim, hidden_dim, 3, stride=2, groups=hidden_dim)
        self.act2 = nn.ReLU(inplace=True)
        self.se = SqueezeExcite(hidden_dim, 0.25)
        self.conv3 = ConvNorm(hidden_dim, out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, out_dim, ceil(H / 2), ceil(W / 2))."""
        x = self.act1(self.conv1(x))
        x = self.act2(self.conv2(x))
        return self.conv3(self.se(x))


class SHSA(nn.Module):
    """Single-head self-attention over all positions, on the first channels only.

    Args:
        dim: Channels of input and output.
        partial_dim: Channels that attention mixes; the others pass to the projection as they are.
        qk_dim: Channels of queries and keys.
    """

    def __init__(self, dim: int, partial_dim: int, qk_dim: int = 16) -> None:
        super().__init__()
        self.split_dims = (partial_dim, dim - partial_dim)
        self.qkv_dims = (qk_dim, qk_dim, partial_dim)
        self.scale = qk_dim**-0.5
        self.pre_norm = nn.GroupNorm(1, partial_dim)
        self.qkv = ConvNorm(partial_dim, sum(self.qkv_dims))
        self.proj = nn.Sequential(nn.ReLU(inplace=True), ConvNorm(dim, dim, norm_scale=0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        attended, untouched = x.split(self.split_dims, dim=1)
        query, key, value = self.qkv(self.pre_norm(attended)).flatten(2).split(self.qkv_dims, dim=1)
        weights = ((query * self.scale).transpose(1, 2) @ key).softmax(dim=-1)
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.proj(torch.cat([attended, untouched], dim=1))


class Block(nn.Module):
    """Depthwise convolution, single-head self-attention and feed-forward network, each with a residual connection.

    Args:
        dim: Channels of input and output.
        partial_dim: Channels that attention mixes; 0 leaves the attention out.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(self, dim: int, partial_dim: int, drop_path: float) -> None:
        super().__init__()
        self.conv = Residual(ConvNorm(dim, dim, 3, groups=dim, norm_scale=0.0), drop_path)
        self.mixer = Residual(SHSA(dim, partial_dim), drop_path) if partial_dim else nn.Identity()
        self.ffn = Residual(FFN(dim, 2 * dim), drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.ffn(self.mixer(self.conv(x)))


def downsample(dim: int, out_dim: int) -> nn.Sequential:
    """Patch merging between two pairs of depthwise convolution and feed-forward network."""
    return nn.Sequential(
        Residual(ConvNorm(dim, dim, 3, groups=dim)),
        Residual(FFN(dim, 2 * dim)),
        PatchMerging(dim, out_dim),
        Residual(ConvNorm(out_dim, out_dim, 3, groups=out_dim)),
        Residual(FFN(out_dim, 2 * out_dim)),
    )


class Stage(nn.Module):
    """Blocks at one resolution, after the downsampling that leads to it."""

    def __init__(self, downsample: nn.Module, blocks: BlockSequence) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = blocks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the map of the stage."""
        return self.blocks(self.downsample(x))


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        dims: Channels of the three stages.
        depths: Blocks of the three stages.
        partial_dims: Channels that attention mixes in the three stages; 0 for stages without attention.
    """

    dims: tuple[int, int, int]
    depths: tuple[int, int, int]
    partial_dims: tuple[int, int, int]


@MODELS.register_module()
class SHViT(Backbone):
    """SHViT in the sizes 's1' to 's4'.

    Levels: strides 2, 4 and 8 from the stem, after their activation, then 16, 32 and 64 from the three stages.
    The authors' detectors train it with `norm_eval=True`. Arguments: see `Backbone`.
    """

    timm_name = 'shvit_{arch}.in1k'
    archs: ClassVar = {
        's1': Variant((128, 224, 320), (2, 4, 5), (0, 48, 68)),
        's2': Variant((128, 308, 448), (2, 4, 5), (0, 66, 96)),
        's3': Variant((192, 352, 448), (3, 5, 5), (0, 75, 96)),
        's4': Variant((224, 336, 448), (4, 7, 6), (0, 72, 96)),
    }
    patch_embed: nn.Sequential

    def build(self, variant: Variant) -> tuple[Level, ...]:
        dims, depths, partial_dims = variant
        stem_dims = (dims[0] // 8, dims[0] // 4, dims[0] // 2, dims[0])
        self.patch_embed = nn.Sequential()
        for in_dim, out_dim in zip((3, *stem_dims), stem_dims, strict=False):
            self.patch_embed.append(ConvNorm(in_dim, out_dim, 3, stride=2))
            self.patch_embed.append(nn.ReLU(inplace=True))
        del self.patch_embed[-1]

        drop_paths = self.drop_path_rates(depths)
        self.stages = nn.ModuleList()
        for index, (dim, partial_dim) in enumerate(zip(dims, partial_dims, strict=True)):
            blocks = [Block(dim, partial_dim, drop_path) for drop_path in drop_paths[index]]
            self.stages.append(
                Stage(
                    downsample(dims[index - 1], dim) if index else nn.Identity(),
                    BlockSequence(*blocks, with_cp=self.with_cp),
                )
            )
        return (
            *(Level(dim, stride, stage=0) for dim, stride in zip(stem_dims[:3], (2, 4, 8), strict=True)),
            *(Level(dim, stride, stage) for dim, stride, stage in zip(dims, (16, 32, 64), (1, 2, 3), strict=True)),
        )

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = images
        for index in (0, 2, 4):
            convolution, activation = self.patch_embed[index], self.patch_embed[index + 1]
            x = activation(convolution(x))
            yield x
        x = self.patch_embed[6](x)
        for stage in self.stages:
            x = stage(x)
            yield x

    def drop_levels_after(self, last: int) -> None:
        super().drop_levels_after(last)
        if self.levels[last].stage == 0:
            self.patch_embed = self.patch_embed[: 2 * (last + 1)]

    def renamed_prefixes(self) -> dict[str, str]:
        """Map the authors' `blocks1` to `blocks3`, which open with the downsampling, to stages."""
        prefixes = {}
        for stage, depth in enumerate(self.archs[self.arch].depths):
            theirs = f'blocks{stage + 1}'
            if stage > 0:
                for index, name in enumerate(('0.0', '0.1', '1', '2.0', '2.1')):
                    prefixes[f'{theirs}.{name}.'] = f'stages.{stage}.downsample.{index}.'
            first_block = 3 if stage > 0 else 0
            for block in range(depth):
                prefixes[f'{theirs}.{first_block + block}.'] = f'stages.{stage}.blocks.{block}.'
        return prefixes
