"""Feature pyramid for backbones whose finest stage is coarse."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from ..checkpoint_keys import accept_foreign_keys


@MODELS.register_module()
class UpsamplingFPN(BaseModule):
    """FPN with finer levels by transposed convolutions, as in the detectors of EfficientViT (MSRA) and SHViT.

    The backbone's levels pass through 1x1 lateral convolutions and a nearest-neighbour top-down path. From the finest
    result, each 2x2 transposed convolution leads to a level of half the stride. Every level then gets a 3x3
    convolution. Coarser levels follow from the coarsest one. There is no normalisation and no activation.

    With a backbone of strides 16, 32 and 64, `num_outs=5, num_upsamples=2` gives strides 4 to 64 (Mask R-CNN), and
    `num_outs=5, num_upsamples=1, add_extra_convs='on_input'` gives strides 8 to 128 (RetinaNet).

    Note:
        A transposed convolution doubles a map exactly, which is one row or column more than ceil(H / stride) where the
        image ends in the first half of a cell. The cells stay aligned with the image, the surplus ones lying beyond its
        edge. To have them cut off, as the reference implementation does not, let the backbone return its finer levels
        too and skip them with `start_level`: their sizes are then used, and nothing else of them.

    Args:
        in_channels: Channels of each input, finest first.
        out_channels: Channels of every output.
        num_outs: Number of outputs.
        num_upsamples: How many of them are finer than the finest input used.
        start_level: Index of the finest input used; the inputs before it give exact sizes to the upsampled levels.
        add_extra_convs: How levels coarser than the inputs are made: False, by subsampling the coarsest output;
            'on_input', by 3x3 convolutions of stride 2, of which the first reads the last input.
        init_cfg: Initialisation in place of the default one: Xavier-uniform (Glorot and Bengio 2010), biases zero.
            Every output cell of a transposed convolution with kernel 2 and stride 2 sees one of its four taps, a 1x1
            convolution; its bound is computed from that.

    Raises:
        ValueError: If the numbers of levels do not fit together.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        num_upsamples: int,
        start_level: int = 0,
        add_extra_convs: Literal[False, 'on_input'] = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if start_level not in range(len(in_channels)):
            raise ValueError(f'start_level must be in 0..{len(in_channels) - 1}, an input index, got {start_level}.')
        if add_extra_convs not in (False, 'on_input'):
            raise ValueError(f"add_extra_convs must be False or 'on_input', got {add_extra_convs!r}.")
        lateral_channels = in_channels[start_level:]
        num_fine = num_upsamples + len(lateral_channels)
        if num_upsamples < 0 or num_outs < num_fine:
            raise ValueError(
                f'num_outs={num_outs} must be at least num_upsamples + the inputs from start_level on, '
                f'{num_upsamples} + {len(lateral_channels)}, with num_upsamples not negative.'
            )
        self.in_channels = tuple(in_channels)
        self.start_level = start_level
        self.num_extra = num_outs - num_fine
        extra_channels = [in_channels[-1]] + [out_channels] * self.num_extra if add_extra_convs else []

        self.lateral_convs = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in lateral_channels)
        self.upsample_convs = nn.ModuleList(
            nn.ConvTranspose2d(out_channels, out_channels, 2, stride=2) for _ in range(num_upsamples)
        )
        self.output_convs = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in range(num_fine))
        self.extra_convs = nn.ModuleList(
            nn.Conv2d(channels, following, 3, stride=2, padding=1) for channels, following in pairwise(extra_channels)
        )
        self._initialize()
        accept_foreign_keys(self, self.renamed_prefixes())

    def renamed_prefixes(self) -> dict[str, str]:
        """Return our key prefix for each one of the authors', whose 3x3 convolutions are listed otherwise."""
        num_laterals, num_upsamples = len(self.lateral_convs), len(self.upsample_convs)
        prefixes = {f'lateral_convs.{i}.conv.': f'lateral_convs.{i}.' for i in range(num_laterals)}
        for i in range(num_upsamples):
            prefixes[f'extra_trans_convs.{i}.conv.'] = f'upsample_convs.{i}.'
            prefixes[f'extra_fpn_convs.{i}.conv.'] = f'output_convs.{i}.'
        for i in range(num_laterals):
            prefixes[f'fpn_convs.{i}.conv.'] = f'output_convs.{num_upsamples + i}.'
        for i in range(len(self.extra_convs)):
            prefixes[f'fpn_convs.{num_laterals + i}.conv.'] = f'extra_convs.{i}.'
        return prefixes

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Build the pyramid.

        Args:
            inputs: One map per entry of `in_channels`, shape (B, C, H_i, W_i).

        Returns:
            `num_outs` maps of shape (B, out_channels, H_i, W_i), finest first.

        Raises:
            ValueError: If the number of inputs is wrong, or the size of an input before `start_level` is not twice that
                of the next one, or one less.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(f'UpsamplingFPN has {len(self.in_channels)} in_channels, but got {len(inputs)} maps.')
        levels = [conv(x) for conv, x in zip(self.lateral_convs, inputs[self.start_level :], strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] += F.interpolate(levels[i + 1], size=levels[i].shape[2:], mode='nearest')

        finer_inputs = reversed(inputs[: self.start_level])
        for upsample_conv in self.upsample_convs:
            upsampled = upsample_conv(levels[0])
            finer_input = next(finer_inputs, None)
            levels.insert(0, upsampled if finer_input is None else crop(upsampled, finer_input))
        outputs = [conv(level) for conv, level in zip(self.output_convs, levels, strict=True)]

        if self.extra_convs:
            coarsest = inputs[-1]
            for conv in self.extra_convs:
                coarsest = conv(coarsest)
                outputs.append(coarsest)
        else:
            for _ in range(self.num_extra):
                outputs.append(F.max_pool2d(outputs[-1], 1, stride=2))
        return tuple(outputs)

    def _initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith('.bias'):
                nn.init.zeros_(parameter)
            elif name.startswith('upsample_convs.'):
                bound = math.sqrt(6 / (parameter.shape[0] + parameter.shape[1]))
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.xavier_uniform_(parameter)


def crop(upsampled: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Cut a doubled map, shape (B, C, H, W), to the height and width of a reference at the same stride."""
    height, width = reference.shape[2:]
    for side, doubled in ((height, upsampled.shape[2]), (width, upsampled.shape[3])):
        if side not in (doubled - 1, doubled):
            raise ValueError(
                f'An input of size {height}x{width} cannot be the level before one of size '
                f'{upsampled.shape[2] // 2}x{upsampled.shape[3] // 2}. Give UpsamplingFPN consecutive levels, each of '
                'half the stride of the next.'
            )
    return upsampled[:, :, :height, :width]
