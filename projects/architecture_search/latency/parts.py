"""Parts of mixer pyramids, and the small networks whose differences are what a part takes.

A part timed alone would pay for its own entrance and exit, and would lack what runtimes fuse with its neighbours. Two
small networks that differ in the part alone do not.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from projects.deployment.inference_graphs.images import ImageGraph
from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.efficient_models.backbones.mixer_pyramid import Block, hidden_width, stem
from projects.efficient_models.layers.conv_norm import ConvNorm, fuse
from projects.efficient_models.token_mixers import build_token_mixer

from ..space import Point
from .graphs import write_fused

SHALLOW, DEEP = 1, 3  # blocks of the two networks whose difference is what two blocks take
COLORS = 3
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of colours, as ImageNet's
MIN_SIDE_PX = 64  # of the images of small networks
Size = tuple[int, int]


class Part(NamedTuple):
    """A part of a pyramid; two places of a network, or of two networks, may have the same.

    Attributes:
        kind: 'block', 'downsampling' or 'stem'.
        what: A block's mixer; '' of others.
        dims: Channels that come in and go out; the image's colours come into a stem.
        size: Height and width of the map, or image, that comes in.
        stride: Of the part.
    """

    kind: str
    what: str
    dims: tuple[int, int]
    size: Size
    stride: int

    def __str__(self) -> str:
        words = (self.kind, self.what, f'{self.dims[0]}-{self.dims[1]}', f'{self.size[0]}x{self.size[1]}')
        return ' '.join(word for word in (*words, f'/{self.stride}' if self.kind == 'stem' else '') if word)


def parts_of(point: Point, image_size: Size) -> Counter[Part]:
    """Count the parts of a network of a grow space.

    Args:
        point: The network.
        image_size: Height and width of what its backbone is given.
    """
    stem_stride = int(point['stem_stride'])
    dim = int(point['dim1'])
    parts = Counter([Part('stem', '', (COLORS, dim), image_size, stem_stride)])
    size = smaller(image_size, stem_stride)
    for stage in range(1, 5):
        if stage > 1:
            before, dim = dim, int(point[f'dim{stage}'])
            parts[Part('downsampling', '', (before, dim), size, 2)] += 1
            size = smaller(size, 2)
        parts[Part('block', str(point[f'mixer{stage}']), (dim, dim), size, 1)] += int(point[f'depth{stage}'])
    return parts


def maps_of(point: Point, image_size: Size) -> list[tuple[int, Size]]:
    """Channels, and height and width, of the four maps that a network gives its neck; see `parts_of`."""
    stem_stride = int(point['stem_stride'])
    return [(int(point[f'dim{stage}']), smaller(image_size, stem_stride << stage - 1)) for stage in range(1, 5)]


def smaller(size: Size, stride: int) -> Size:
    """Height and width after convolutions of stride 2 whose strides multiply to `stride`."""
    return -(-size[0] // stride), -(-size[1] // stride)


@dataclass(frozen=True)
class SmallNetwork:
    """A convolution that makes a map of an image, and parts of a pyramid on that map; or a stem alone.

    Attributes:
        part: Of which it has some.
        count: How many.
    """

    part: Part
    count: int

    @property
    def image_size(self) -> Size:
        """Height and width of the image."""
        height, width = self.part.size
        return height * self._first_stride, width * self._first_stride

    @property
    def _first_stride(self) -> int:
        """Of the convolution: the least that leaves an image in which there is something to see."""
        if self.part.kind == 'stem':
            return 1
        return max(2, 1 << (math.ceil(MIN_SIDE_PX / min(self.part.size)) - 1).bit_length())

    def build(self) -> nn.Sequential:
        """Build it: images (B, 3, H, W) to a map."""
        dim, out = self.part.dims
        layers: list[nn.Module] = []
        if self.part.kind != 'stem':
            layers.append(ConvNorm(COLORS, dim, 3, stride=self._first_stride))
        for _ in range(self.count):
            match self.part.kind:
                case 'stem':
                    layers.append(stem(out, self.part.stride))
                case 'downsampling':
                    layers.append(ConvNorm(dim, out, 3, stride=2))
                case _:
                    mixer = build_token_mixer(self.part.what, dim)
                    layers.append(Block(mixer, hidden_width(mixer), 0.0))
        return nn.Sequential(*layers)

    def write(self, path: Path, precision: str) -> Path:
        """Write it as `graph_file` writes whole networks, as `.onnx` for all runtimes, which takes half the time."""
        torch.manual_seed(0)
        info = ModelInfo(SEGMENTATION, (), (), MEAN, STD, precision=precision, config=str(self.part))
        return write_fused(_MeanGraph(_Fusible(self.build())), info, path, self.image_size)


def differences_of(part: Part) -> Mapping[SmallNetwork, float]:
    """Networks and what to multiply their times with, so that the sum is the time of one part."""
    if part.kind == 'stem':  # with what every call takes, which the fit of the whole networks takes off again
        return {SmallNetwork(part, 1): 1.0}
    if part.kind == 'block':
        return {SmallNetwork(part, DEEP): 1 / (DEEP - SHALLOW), SmallNetwork(part, SHALLOW): -1 / (DEEP - SHALLOW)}
    without = part._replace(dims=(part.dims[0], part.dims[0]))  # the same for all widths that go out
    return {SmallNetwork(part, 1): 1.0, SmallNetwork(without, 0): -1.0}


class _Fusible(nn.Sequential):
    def fuse(self) -> None:
        fuse(self.eval())


class _MeanGraph(ImageGraph):
    """A graph that tells the mean of its last map, (B, C): a small output, which takes hardly any time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(SimpleNamespace(backbone=network, with_neck=False), MEAN, STD, size_divisor=1)
        self.output_names = ('mean',)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.extract_features(images).mean((2, 3)),)  # type: ignore[attr-defined]

    def head_outputs(self, images: Tensor, regions: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        return {'cls': self.forward(images)[0]}
