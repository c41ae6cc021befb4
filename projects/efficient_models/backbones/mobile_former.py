"""Mobile-Former: Bridging MobileNet and Transformer, CVPR 2022.

Paper: https://arxiv.org/abs/2108.05895
Code: https://github.com/AAboys/MobileFormer (no licence stated)

A few learnt tokens run beside the feature maps: each block gathers from the map into the tokens, lets them exchange
among themselves, modulates its activations by the first of them, and gives back to the map. No position enters the
attention, so images may have any size.

Parameters bear the authors' names but for the two layers of each convolution with its norm, and their `features` are
split into the stem and four stages. Their checkpoints load, without the classifier and the last gathering before it.
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from torch import nn

from ..layers.block_sequence import BlockSequence
from ..layers.conv_norm import ConvNorm
from ..layers.token_bridge import DynamicReLU, GlobalBlock, GlobalToLocal, LocalToGlobal
from .backbone import Backbone, Level

State = tuple[torch.Tensor, torch.Tensor]  # feature map (B, C, H, W), tokens (B, T, D)


class ChannelShuffle(nn.Module):
    """Take the channels of the groups in turns (arXiv 1707.01083); torch's own layer has no form in ONNX.

    Args:
        groups: Number of groups.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        return x.view(batch, self.groups, -1, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class LiteBlock(nn.Module):
    """Depthwise and pointwise convolution, without attention.

    Args:
        dim: Channels of the input.
        block: Size of the block.
        groups: Of the pointwise convolution.
    """

    def __init__(self, dim: int, block: 'Block', groups: int) -> None:
        super().__init__()
        hidden = dim * block.expansion
        self.expand = ConvNorm(dim, hidden, 3, block.stride, groups=dim)
        self.act = nn.ReLU6()
        self.shuffle = ChannelShuffle(dim) if groups > 1 else nn.Identity()
        self.project = ConvNorm(hidden, block.dim, groups=groups)
        self.has_skip = block.stride == 1 and dim == block.dim

    def forward(self, state: State) -> State:
        """Map (B, dim, H, W) to (B, block.dim, ceil(H / stride), ceil(W / stride)); the tokens stay."""
        x, tokens = state
        y = self.project(self.shuffle(self.act(self.expand(x))))
        return (x + y if self.has_skip else y), tokens


class FormerBlock(nn.Module):
    """Inverted bottleneck between gathering from the map and giving to it: the block that keeps the size.

    Args:
        dim: Channels of the input.
        block: Size of the block.
        groups: Of the pointwise convolutions.
        token_dim: Units of a token.
        drop_path: Probability of dropping each update by attention in training.
    """

    def __init__(self, dim: int, block: 'Block', groups: int, token_dim: int, drop_path: float) -> None:
        super().__init__()
        hidden = dim * block.expansion
        self.local_global = LocalToGlobal(dim, token_dim, drop_path)
        self.global_block = GlobalBlock(token_dim, drop_path)
        self.conv1 = ConvNorm(dim, hidden, groups=groups)
        self.hyper1 = DynamicReLU(hidden, token_dim)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.hyper2 = DynamicReLU(hidden, token_dim)
        self.conv3 = ConvNorm(hidden, block.dim, groups=groups)
        self.shuffle = ChannelShuffle(groups) if groups > 1 else nn.Identity()
        self.global_local = GlobalToLocal(block.dim, token_dim, drop_path)
        self.has_skip = dim == block.dim

    def forward(self, state: State) -> State:
        """Map a state with (B, dim, H, W) to one with (B, block.dim, H, W)."""
        x, tokens = state
        tokens = self.global_block(self.local_global(x, tokens))
        y = self.hyper1(self.shuffle(self.conv1(x)), tokens[:, 0])
        y = self.hyper2(self.conv2(y), tokens[:, 0])
        y = self.shuffle(self.conv3(y))
        return self.global_local(x + y if self.has_skip else y, tokens), tokens


class DownsamplingBlock(nn.Module):
    """Two depthwise-pointwise pairs, the first of stride 2, between gathering from the map and giving to it.

    Args: as those of `FormerBlock`; `block` has a second expansion.
    """

    def __init__(self, dim: int, block: 'Block', groups: int, token_dim: int, drop_path: float) -> None:
        super().__init__()
        hidden, inner = dim * block.expansion, block.dim * block.second_expansion
        self.local_global = LocalToGlobal(dim, token_dim, drop_path)
        self.global_block = GlobalBlock(token_dim, drop_path)
        self.conv1 = ConvNorm(dim, hidden, 3, block.stride, groups=dim)
        self.hyper1 = DynamicReLU(hidden, token_dim)
        self.conv2 = ConvNorm(hidden, block.dim, groups=groups)
        self.conv3 = ConvNorm(block.dim, inner, 3, groups=block.dim)
        self.hyper3 = DynamicReLU(inner, token_dim)
        self.conv4 = ConvNorm(inner, block.dim, groups=groups)
        self.first_shuffle = ChannelShuffle(dim) if groups > 1 else nn.Identity()
        self.second_shuffle = ChannelShuffle(block.dim) if groups > 1 else nn.Identity()
        self.global_local = GlobalToLocal(block.dim, token_dim, drop_path)

    def forward(self, state: State) -> State:
        """Map a state with (B, dim, H, W) to one with (B, block.dim, ceil(H / 2), ceil(W / 2))."""
        x, tokens = state
        tokens = self.global_block(self.local_global(x, tokens))
        x = self.conv2(self.hyper1(self.first_shuffle(self.conv1(x)), tokens[:, 0]))
        x = x + self.conv4(self.hyper3(self.second_shuffle(self.conv3(x)), tokens[:, 0]))
        return self.global_local(x, tokens), tokens


class Block(NamedTuple):
    """Size of a block.

    Attributes:
        dim: Channels of its output.
        expansion: Hidden channels per channel of its input.
        stride: 1, or 2 in blocks that halve the sides.
        second_expansion: In a downsampling block, channels of the second pair per channel of the output; 0 in blocks
            without attention.
    """

    dim: int
    expansion: int
    stride: int = 1
    second_expansion: int = 4


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        stem_dim: Channels of the first convolution.
        stages: Blocks of the four stages, each of which begins with one of stride 2.
        num_tokens: Tokens.
        token_dim: Units of a token.
        groups: Of the pointwise convolutions.
        has_stem_block: Whether a block without attention, of the stem's width, follows the first convolution.
    """

    stem_dim: int
    stages: tuple[tuple[Block, ...], ...]
    num_tokens: int
    token_dim: int
    groups: int = 1
    has_stem_block: bool = True


def down(dim: int) -> Block:
    """Return the block with which nearly all stages begin."""
    return Block(dim, 6, stride=2)


def large(first: Block, second: Block, third_dim: int, wider_dim: int, last_dim: int) -> tuple[tuple[Block, ...], ...]:
    """Return the stages of the four largest sizes, which have blocks of the same kinds."""
    third = (down(third_dim), Block(third_dim, 4), Block(wider_dim, 6), Block(wider_dim, 6))
    last = (down(last_dim), Block(last_dim, 6), Block(last_dim, 6))
    return (down(first.dim), first), (down(second.dim), second), third, last


SMALLEST = (
    (Block(12, 3, 2, 0), Block(12, 3)),
    (down(24), Block(24, 3)),
    (down(48), Block(48, 4), Block(64, 6)),
    (down(96), Block(96, 6)),
)
SMALL = (
    (down(16),),
    (down(32), Block(32, 3)),
    (down(64), Block(64, 4), Block(88, 6)),
    (down(128), Block(128, 6)),
)


class Stem(nn.Module):
    """The first convolution, the block after it where there is one, and the tokens as they are learnt.

    Args:
        variant: Size of the network.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        dim = variant.stem_dim
        self.stem = ConvNorm(3, dim, 3, stride=2)
        self.act = nn.ReLU6()
        self.block = (
            LiteBlock(dim, Block(dim, 2, second_expansion=0), variant.groups) if variant.has_stem_block else None
        )
        self.tokens: nn.Embedding | None = nn.Embedding(variant.num_tokens, variant.token_dim)

    def forward(self, images: torch.Tensor) -> State:
        """Map images (B, 3, H, W) to a map (B, C, ceil(H / 2), ceil(W / 2)) and tokens (B, T, D)."""
        x = self.act(self.stem(images))
        tokens = x.new_empty(0, 0) if self.tokens is None else self.tokens.weight
        state = x, tokens.repeat(x.shape[0], 1, 1)
        return self.block(state) if self.block is not None else state


@MODELS.register_module()
class MobileFormer(Backbone):
    """Mobile-Former in the seven sizes that the paper gives, named by their multiply-adds at 224x224.

    Levels: strides 4, 8, 16 and 32, the outputs of the last block before each one of stride 2; before them, in all but
    '26m' and '52m', stride 2 of the stem.

    `drop_path_rate` drops what attention adds to map and tokens; the authors train without, but for dropout before the
    classifier.

    Arguments: see `Backbone`. There are no published weights for `pretrained=True`; see `weights_url`.
    """

    weights_url = 'https://github.com/AAboys/MobileFormer'
    classifier_prefixes = ('local_global.', 'classifier.')
    patch_embed: Stem
    archs: ClassVar = {
        '26m': Variant(8, SMALLEST, 3, 128, groups=4, has_stem_block=False),
        '52m': Variant(8, SMALLEST, 3, 128, has_stem_block=False),
        '96m': Variant(12, SMALL, 4, 128),
        '151m': Variant(12, large(Block(16, 3), Block(32, 3), 64, 88, 128), 6, 192),
        '214m': Variant(12, large(Block(20, 3), Block(40, 4), 80, 112, 160), 6, 192),
        '294m': Variant(16, large(Block(24, 4), Block(48, 4), 96, 128, 192), 6, 192),
        '508m': Variant(24, large(Block(40, 3), Block(72, 3), 128, 176, 240), 6, 192),
    }

    def build(self, variant: Variant) -> tuple[Level, ...]:
        self.patch_embed = Stem(variant)
        self.stages = nn.ModuleList()
        dim = variant.stem_dim
        rates = self.drop_path_rates([len(stage) for stage in variant.stages])
        for blocks, drop_paths in zip(variant.stages, rates, strict=True):
            stage = BlockSequence(with_cp=self.with_cp)
            for block, drop_path in zip(blocks, drop_paths, strict=True):
                if not block.second_expansion:
                    stage.append(LiteBlock(dim, block, variant.groups))
                else:
                    kind = DownsamplingBlock if block.stride > 1 else FormerBlock
                    stage.append(kind(dim, block, variant.groups, variant.token_dim, drop_path))
                dim = block.dim
            self.stages.append(stage)
        levels = [Level(blocks[-1].dim, 4 * 2**index, index + 1) for index, blocks in enumerate(variant.stages)]
        return (Level(variant.stem_dim, 2, 0), *levels) if variant.has_stem_block else tuple(levels)

    def forward_states(self, images: torch.Tensor) -> Iterator[State]:
        """Compute the levels one by one, each with the tokens after it, shape (B, T, D)."""
        state = self.patch_embed(images)
        if self.levels[0].stage == 0:
            yield state
        for stage in self.stages:
            state = stage(state)
            yield state

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        for x, _ in self.forward_states(images):
            yield x

    def drop_levels_after(self, last: int) -> None:
        super().drop_levels_after(last)
        if not self.stages:
            self.patch_embed.tokens = None  # which the stem does not read

    def renamed_prefixes(self) -> dict[str, str]:
        """Map the authors' stem, tokens and list of features to stem and stages."""
        renamed = {
            'stem.0.': 'patch_embed.stem.c.',
            'stem.1.': 'patch_embed.stem.bn.',
            'tokens.': 'patch_embed.tokens.',
        }
        own = ['patch_embed.block'] if self.patch_embed.block is not None else []
        own += [
            f'stages.{index}.{block}' for index, stage in enumerate(self.stages) for block, _ in stage.named_children()
        ]
        lite = {'expand': ('conv.0.', 'conv.1.'), 'project': ('conv.4.', 'conv.5.')}
        for index, name in enumerate(own):
            for child, module in self.get_submodule(name).named_children():
                if isinstance(module, ConvNorm):
                    theirs = lite.get(child, (f'{child}.0.', f'{child}.1.'))
                    renamed[f'features.{index}.{theirs[0]}'] = f'{name}.{child}.c.'
                    renamed[f'features.{index}.{theirs[1]}'] = f'{name}.{child}.bn.'
                elif list(module.parameters()):
                    renamed[f'features.{index}.{child}.'] = f'{name}.{child}.'
        return renamed
