"""The frame that EfficientViT (MSRA) and SHViT share: a stem of stride 16 and three stages."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ..layers.block_sequence import BlockSequence
from ..layers.conv_norm import ConvNorm
from ..layers.memory_layout import convolution_layout
from ..layers.patch_merging import downsample
from .backbone import Backbone, Level


class Stage(nn.Module):
    """Blocks at one resolution, after the downsampling that leads to it."""

    def __init__(self, downsample: nn.Module, blocks: BlockSequence) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = blocks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the map of the stage."""
        return self.blocks(self.downsample(x))


class Stride16Backbone(Backbone):
    """Four convolutions of stride 2, then three stages with a downsampling between them.

    The entries of `archs` have at least `dims` and `depths`: channels and blocks of the three stages. An architecture
    adds its `blocks`.
    """

    patch_embed: nn.Sequential

    @abstractmethod
    def blocks(self, variant: Any, stage: int, drop_paths: Sequence[float]) -> list[nn.Module]:
        """Create the blocks of a stage.

        Args:
            variant: The entry of `archs`.
            stage: Index of the stage, 0 to 2.
            drop_paths: Stochastic depth of each block.
        """

    def build(self, variant: Any) -> tuple[Level, ...]:
        dims = variant.dims
        stem_dims = (dims[0] // 8, dims[0] // 4, dims[0] // 2, dims[0])
        self.patch_embed = nn.Sequential()
        for in_dim, out_dim in zip((3, *stem_dims), stem_dims, strict=False):
            self.patch_embed.append(ConvNorm(in_dim, out_dim, 3, stride=2))
            self.patch_embed.append(nn.ReLU(inplace=True))
        del self.patch_embed[-1]

        self.stages = nn.ModuleList(
            Stage(
                downsample(dims[stage - 1], dims[stage]) if stage else nn.Identity(),
                BlockSequence(*self.blocks(variant, stage, drop_paths), with_cp=self.with_cp),
            )
            for stage, drop_paths in enumerate(self.drop_path_rates(variant.depths))
        )
        return (
            *(Level(dim, stride, stage=0) for dim, stride in zip(stem_dims[:3], (2, 4, 8), strict=True)),
            *(Level(dim, stride, stage) for dim, stride, stage in zip(dims, (16, 32, 64), (1, 2, 3), strict=True)),
        )

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = convolution_layout(images)
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
