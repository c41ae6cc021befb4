"""A pyramid in which each stage mixes its tokens in a way of its choice, all at the same number of parameters.

Ours: four stages of strides 4 to 32 with the widths and depths of PVTv2-B0 to B2 (https://arxiv.org/abs/2106.13797), as
plain as networks of this kind are, so that what differs between two of them is the mixer alone. A block is

    x = x + mixer(norm(x + positions(x)))
    x = x + ffn(x)

where `positions` is a depthwise 3x3 convolution, conditional position encoding
(https://arxiv.org/abs/2102.10882), which suits any image size; norms are of batches, so that `fuse()` makes the first
line's norm, sum and convolution one depthwise convolution, and leaves none elsewhere.

A mixer that has more parameters than softmax attention has a narrower feed-forward network, one that has fewer a wider
one: each stage keeps to within 1% what it has with softmax attention and a network of four times its width.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import cycle
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from torch import nn

from ..layers.block_sequence import BlockSequence
from ..layers.conv_norm import ConvNorm, Residual
from ..layers.patch_merging import FFN
from ..token_mixers import TOKEN_MIXERS, TokenMixer, build_token_mixer
from .backbone import Backbone, Level

FFN_RATIO = 4  # hidden channels of the feed-forward network beside softmax attention, per channel
TOLERANCE = 0.01  # of a stage's parameters, beside those with softmax attention
# Of one block and one image. A graph holds scores and their softmax at once, training without fused attention keeps one
# of them for each block: at this limit 2 GiB to infer and 3 to train a stage of two blocks, per image, which two images
# of a detector leave free on a GPU of 16 GiB.
MAX_SCORE_BYTES = 2**30
BYTES_PER_SCORE = 4  # in single precision, in which softmax runs under autocast, too

MixerChoice = str | Sequence[Any]  # a name, a name and options, or several of these, block by block


class PositionNorm(nn.Module):
    """Conditional position encoding and batch normalisation: `norm(x + positions(x))`.

    Args:
        dim: Channels of input and output.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.positions = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.norm(x + self.positions(x))

    def fused(self) -> nn.Conv2d:
        """Return the one depthwise convolution that computes the same in eval mode."""
        with torch.no_grad():
            self.positions.weight[:, :, 1, 1] += 1
        return torch.nn.utils.fuse_conv_bn_eval(self.positions, self.norm)


class Block(nn.Sequential):
    """A token mixer and a feed-forward network, each with a residual connection.

    Args:
        mixer: Maps (B, C, H, W) to the same shape.
        hidden_dim: Hidden channels of the feed-forward network.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(self, mixer: TokenMixer, hidden_dim: int, drop_path: float) -> None:
        super().__init__()
        dim = mixer.channels
        self.mix = Residual(nn.Sequential(PositionNorm(dim), mixer), drop_path)
        self.ffn = Residual(FFN(dim, hidden_dim), drop_path)


def hidden_width(mixer: TokenMixer) -> int:
    """Return how wide a feed-forward network gives a mixer's block the parameters that it has with softmax attention.

    Widths are multiples of 8, as fast kernels want them, or of 4, 2 or 1 where only these are close enough.

    Args:
        mixer: The block's token mixer.

    Raises:
        ValueError: If the mixer alone has as many parameters as the whole block may have.
    """
    dim = mixer.channels
    softmax = _softmax_parameters(dim)
    per_channel = 2 * dim + 2  # of the feed-forward network: two weights per channel, and a norm
    allowed = softmax + FFN_RATIO * dim * per_channel
    exact = (allowed - _num_parameters(mixer)) / per_channel
    for multiple in (8, 4, 2, 1):
        width = multiple * round(exact / multiple)
        if width > 0 and abs(width - exact) * per_channel <= TOLERANCE * allowed:
            return width
    raise ValueError(
        f'{type(mixer).__name__} of {dim} channels has {_num_parameters(mixer):,} parameters, where softmax attention '
        f'and a feed-forward network have {allowed:,} together. Choose another mixer, or options that make it smaller.'
    )


@cache
def _softmax_parameters(dim: int) -> int:
    with torch.device('meta'):
        return _num_parameters(build_token_mixer('softmax', dim, head_dim=dim))


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        dims: Channels of the four stages.
        depths: Blocks of the four stages.
        stem_stride: Pixels per cell of the first stage's map: 4, or 8 for a faster network of strides 8 to 64.
    """

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    stem_stride: int = 4


@MODELS.register_module()
class MixerPyramid(Backbone):
    """A pyramid of any token mixers, in three sizes.

    Levels: strides 4, 8, 16 and 32 from the four stages. The stem is two convolutions of stride 2, or three for a
    `stem_stride` of 8, which doubles all strides.

    Args:
        arch: 'tiny', 'small' or 'base': 2.8, 11.2 and 19.8 million parameters; or another size, by the fields of
            `Variant`: `dict(dims=(32, 64, 128, 192), depths=(1, 2, 4, 1))`.
        mixers: One for each stage: a key of `TOKEN_MIXERS`; a pair of one and its options,
            `('window', dict(window_size=8))`; or several of these, which the stage's blocks take in turns,
            `('window', ('window', dict(shift=3)))`, as Swin does.
        image_size: Height and width in pixels of the largest image that the network is meant for; by default that of
            COCO's recipes. At this size the scores of one block must fit in 1 GiB.
        options: See `Backbone`. There are no published weights for `pretrained=True`.

    Raises:
        ValueError: Also if there are not four mixers, one is unknown or has too many parameters, or its scores do not
            fit in memory; the message names the stage and the mixers that do.

    Example:
        >>> pyramid = MixerPyramid('tiny', mixers=('convolution', 'window', 'softmax', 'softmax'))
        >>> pyramid.out_channels
        (32, 64, 160, 256)
    """

    archs: ClassVar = {
        'tiny': Variant((32, 64, 160, 256), (2, 2, 2, 2)),
        'small': Variant((64, 128, 320, 512), (2, 2, 2, 2)),
        'base': Variant((64, 128, 320, 512), (3, 4, 6, 3)),
    }

    def __init__(
        self,
        arch: str | Mapping[str, Any],
        mixers: Sequence[MixerChoice] = ('convolution', 'convolution', 'softmax', 'softmax'),
        image_size: tuple[int, int] = (800, 1280),
        **options: Any,
    ) -> None:
        if isinstance(mixers, str) or not isinstance(mixers, Sequence) or len(mixers) != 4:
            raise ValueError(f'mixers of MixerPyramid must be four, one for each stage, got {mixers!r}.')
        if not isinstance(image_size, Sequence) or len(image_size) != 2 or not all(map(_is_size, image_size)):
            raise ValueError(f'image_size of MixerPyramid must be height and width in pixels, got {image_size!r}.')
        self.mixers = tuple(_in_turns(mixer) for mixer in mixers)
        self.image_size = tuple(image_size)
        super().__init__(arch, **options)  # type: ignore[arg-type]

    def find_variant(self, arch: str | Mapping[str, Any]) -> Variant:
        """Return the variant of a name, or the one that a mapping describes.

        Raises:
            ValueError: There is none of this name, or the mapping describes none.
        """
        return _described(arch) if isinstance(arch, Mapping) else super().find_variant(arch)

    def build(self, variant: Variant) -> tuple[Level, ...]:
        self.patch_embed = stem(variant.dims[0], variant.stem_stride)
        self.stages = nn.ModuleList()
        levels: list[Level] = []
        for index, drop_paths in enumerate(self.drop_path_rates(variant.depths)):
            level = Level(variant.dims[index], variant.stem_stride * 2**index, stage=index + 1)
            if len(self.mixers[index]) > len(drop_paths):
                raise ValueError(
                    f'stage {level.stage} of MixerPyramid has {len(drop_paths)} blocks to take in turns '
                    f'{len(self.mixers[index])} mixers: {", ".join(name for name, _ in self.mixers[index])}.'
                )
            for name, options in self.mixers[index]:
                self._check_memory(level, name, options)
            layers: list[nn.Module] = [ConvNorm(levels[-1].channels, level.channels, 3, stride=2)] if levels else []
            for drop_path, (name, options) in zip(drop_paths, cycle(self.mixers[index]), strict=False):
                mixer = build_token_mixer(name, level.channels, **options)
                layers.append(Block(mixer, hidden_width(mixer), drop_path))
            self.stages.append(BlockSequence(*layers, with_cp=self.with_cp))
            levels.append(level)
        return tuple(levels)

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = self.patch_embed(images)
        for stage in self.stages:
            x = stage(x)
            yield x

    def _check_memory(self, level: Level, name: str, options: Mapping[str, Any]) -> None:
        height, width = (-(-side // level.stride) for side in self.image_size)
        try:
            needed = score_bytes(name, level.channels, height, width, **options)
        except ValueError as error:
            raise ValueError(f'{name} in stage {level.stage} of MixerPyramid: {error}') from error
        if needed > MAX_SCORE_BYTES:
            fitting = [other for other in TOKEN_MIXERS if _fits(other, level.channels, height, width)]
            raise ValueError(
                f'{name} in stage {level.stage} of MixerPyramid would hold {needed:,} bytes of scores for an image of '
                f'{self.image_size[0]}x{self.image_size[1]} pixels ({height * width:,} tokens), of which '
                f'{MAX_SCORE_BYTES:,} are accepted. Use there one of {", ".join(fitting)}; or state the image_size '
                'that you have, if it is smaller.'
            )


def score_bytes(name: str, channels: int, height: int, width: int, /, **options: Any) -> int:
    """Return how many bytes the scores of a mixer take for one map, in single precision.

    Args:
        name: A key of `TOKEN_MIXERS`.
        channels: Channels of the map.
        height: Rows of the map.
        width: Columns of the map.
        options: The mixer's own.
    """
    with torch.device('meta'):
        return BYTES_PER_SCORE * build_token_mixer(name, channels, **options).num_scores(height, width)


def stem(dim: int, stride: int) -> nn.Sequential:
    """Convolutions of stride 2, each of twice the channels of the one before."""
    layers: list[nn.Module] = []
    channels = 3
    for halved in range(stride.bit_length() - 2, -1, -1):
        layers += [ConvNorm(channels, dim >> halved, 3, stride=2), nn.ReLU(inplace=True)]
        channels = dim >> halved
    return nn.Sequential(*layers[:-1])


def _described(arch: Mapping[str, Any]) -> Variant:
    """The variant whose fields a config gives."""
    known = Variant._fields
    if set(arch) - set(known) or not {'dims', 'depths'} <= set(arch):
        raise ValueError(
            f'arch of MixerPyramid must be one of {", ".join(MixerPyramid.archs)}, or give dims, depths and, if it is '
            f'not 4, stem_stride; got {dict(arch)}.'
        )
    for name in ('dims', 'depths'):
        if not isinstance(arch[name], Sequence) or len(arch[name]) != 4 or not all(map(_is_size, arch[name])):
            raise ValueError(f'{name} in arch of MixerPyramid must be four numbers of at least 1, got {arch[name]!r}.')
    variant = Variant(tuple(arch['dims']), tuple(arch['depths']), arch.get('stem_stride', 4))
    if variant.stem_stride not in (4, 8):
        raise ValueError(f'stem_stride in arch of MixerPyramid must be 4 or 8, got {variant.stem_stride!r}.')
    if variant.dims[0] % variant.stem_stride:
        raise ValueError(
            f'the first of dims in arch of MixerPyramid must be a multiple of stem_stride {variant.stem_stride}, '
            f'got {variant.dims[0]}.'
        )
    return variant


def _is_size(side: Any) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side > 0


def _fits(name: str, channels: int, height: int, width: int) -> bool:
    try:
        return score_bytes(name, channels, height, width) <= MAX_SCORE_BYTES
    except ValueError:  # of a mixer that does not take these channels
        return False


def _in_turns(mixer: MixerChoice) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Names and options of a stage's mixers, in the order of its blocks."""
    match mixer:
        case str():
            return ((mixer, {}),)
        case [str(name), Mapping() as options]:
            return ((name, dict(options)),)
        case [_, *_]:
            return tuple(pair for one in mixer for pair in _in_turns(one))
    raise ValueError(
        'a mixer of MixerPyramid must be a name, a pair of name and options, '
        f"('window', dict(window_size=8)), or several of these, got {mixer!r}."
    )
