"""EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction, ICCV 2023.

Paper: https://arxiv.org/abs/2205.14756
Code: https://github.com/mit-han-lab/efficientvit (Apache-2.0 licence)

Not to be confused with EfficientViT by Microsoft, of the same year. Parameters bear the names of timm's
`efficientvit_b*` and `efficientvit_l*`, apart from the stem, which is `patch_embed` in all backbones here. The
authors' names load as well. Compared with timm, the attention divides by a normaliser that the authors' 1e-15 and not
1e-5 keeps from zero. Compared with the authors' code, attention is computed in float32 whatever the precision of the
network, and the blocks have stochastic depth on request.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from ..layers.block_sequence import BlockSequence
from ..layers.mbconv import (
    Activation,
    ConvNormAct,
    FusedMBConv,
    GELUTanh,
    HardSwish,
    MBConv,
    ResidualBlock,
    set_norm_eps,
)
from ..layers.memory_layout import convolution_layout
from ..layers.precision import without_autocast
from .backbone import Backbone, Level

ATTENTION_EPS = 1e-15  # as in the authors' code; underflows to zero in half precision


class DSConv(nn.Sequential):
    """Depthwise separable 3x3 convolution, in the stem of the B series.

    Args:
        dim: Channels of input and output.
        act: The activation in between.
    """

    def __init__(self, dim: int, act: Activation) -> None:
        super().__init__(
            OrderedDict(depth_conv=ConvNormAct(dim, dim, 3, groups=dim, act=act), point_conv=ConvNormAct(dim, dim))
        )


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, in the stem of the L series.

    Args:
        dim: Channels of input and output.
        act: The activation in between.
    """

    def __init__(self, dim: int, act: Activation) -> None:
        super().__init__(OrderedDict(conv1=ConvNormAct(dim, dim, 3, act=act), conv2=ConvNormAct(dim, dim, 3)))


def relu_attention(scales: Sequence[torch.Tensor], head_dim: int) -> torch.Tensor:
    """Attention with weights `relu(key) * relu(query)` in place of the softmax's exponentials.

    The product of values, keys and queries is associative: keys first meet values, at a cost linear in the number of
    positions, or queries, where the positions are no more than the channels of a head. Products of activations exceed
    float16 and sums of many lose precision in bfloat16, so both are computed in float32.

    Args:
        scales: Queries, keys and values of some heads each, shape (B, heads * 3 * head_dim, H, W); those of one head
            are adjacent.
        head_dim: Channels of each query, key and value.

    Returns:
        The mean of the values, weighted for each query, shape (B, all heads * head_dim, H, W), in the given precision.
    """
    dtype, size = scales[0].dtype, scales[0].shape[2:]
    qkv = torch.cat(list(scales), dim=1).to(torch.promote_types(dtype, torch.float32))
    query, key, value = qkv.flatten(2).unflatten(1, (-1, 3, head_dim)).transpose(3, 4).unbind(2)
    query, key = query.relu(), key.relu()
    value = F.pad(value, (0, 1), value=1.0)  # one more channel, to sum up the weights
    with without_autocast(value.device.type):
        linear = value.shape[2] > head_dim
        attended = query @ (key.transpose(-2, -1) @ value) if linear else (query @ key.transpose(-2, -1)) @ value
        attended = attended[..., :-1] / (attended[..., -1:] + ATTENTION_EPS)
    # channels-last in memory, too
    return attended.transpose(1, 2).flatten(2).unflatten(1, size).permute(0, 3, 1, 2).to(dtype)


class LiteMLA(nn.Module):
    """Multi-scale linear attention: half of the heads see single positions, the other half their 5x5 neighbourhoods.

    Args:
        dim: Channels of input and output, a multiple of `head_dim`.
        head_dim: Channels of each head.
    """

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        qkv_dim = 3 * dim
        self.qkv = nn.Sequential(OrderedDict(conv=nn.Conv2d(dim, qkv_dim, 1, bias=False)))
        aggregation = nn.Sequential(
            nn.Conv2d(qkv_dim, qkv_dim, 5, padding=2, groups=qkv_dim, bias=False),
            nn.Conv2d(qkv_dim, qkv_dim, 1, groups=qkv_dim // head_dim, bias=False),
        )
        self.aggreg = nn.ModuleList([aggregation])
        self.proj = ConvNormAct(2 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        qkv = self.qkv(x)
        return self.proj(relu_attention([qkv, self.aggreg[0](qkv)], self.head_dim))


class EfficientViTBlock(nn.Sequential):
    """Multi-scale linear attention and inverted bottleneck, each with a residual connection.

    Args:
        dim: Channels of input and output.
        head_dim: Channels of each attention head.
        expand_ratio: Expansion of the inverted bottleneck.
        act: The activation.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(self, dim: int, head_dim: int, expand_ratio: int, act: Activation, drop_path: float) -> None:
        local = MBConv(dim, dim, 1, expand_ratio, act, norm_last_only=True)
        super().__init__(
            OrderedDict(
                context_module=ResidualBlock(LiteMLA(dim, head_dim), drop_path=drop_path),
                local_module=ResidualBlock(local, drop_path=drop_path),
            )
        )


class StageDesign(NamedTuple):
    """What the stages of one number have in common in all networks of a series.

    Attributes:
        convolution: The inverted bottleneck that halves the resolution, and that the blocks without attention consist
            of.
        downsample_ratio: Its expansion where it halves the resolution.
        expand_ratio: Expansion in the blocks.
        norm_last_only: Whether only the last convolution of each bottleneck is normalised.
        attention: Whether the blocks have attention.
    """

    convolution: type[MBConv | FusedMBConv]
    downsample_ratio: int
    expand_ratio: int
    norm_last_only: bool = False
    attention: bool = False


class Series(NamedTuple):
    """Design of a series of networks.

    Attributes:
        act: Activation of all layers.
        stem_block: Residual block of the stem.
        stages: Designs of the four stages.
    """

    act: Activation
    stem_block: type[DSConv | ConvBlock]
    stages: tuple[StageDesign, StageDesign, StageDesign, StageDesign]


B_SERIES = Series(
    HardSwish,
    DSConv,
    (
        StageDesign(MBConv, 4, 4),
        StageDesign(MBConv, 4, 4),
        StageDesign(MBConv, 4, 4, norm_last_only=True, attention=True),
        StageDesign(MBConv, 4, 4, norm_last_only=True, attention=True),
    ),
)
L_SERIES = Series(
    GELUTanh,
    ConvBlock,
    (
        StageDesign(FusedMBConv, 16, 4),
        StageDesign(FusedMBConv, 16, 4),
        StageDesign(MBConv, 16, 4, norm_last_only=True),
        StageDesign(MBConv, 24, 6, norm_last_only=True, attention=True),
    ),
)


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        series: Its design.
        dims: Channels of the stem and of the four stages.
        depths: Blocks of the four stages after the downsampling, which the authors count as one of the blocks in the
            first two stages of the B series.
        head_dim: Channels of each attention head.
    """

    series: Series
    dims: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int]
    head_dim: int


@MODELS.register_module()
class EfficientViTMIT(Backbone):
    """EfficientViT (MIT) in the sizes 'b0' to 'b3', and for GPUs 'l0' to 'l3'.

    Levels: stride 2 from the stem, then 4, 8, 16 and 32 from the four stages. Of 'l0', timm's hub has no weights.

    Args:
        arch: Name of the variant, a key of `archs`.
        *args: As of `Backbone`.
        norm_eps: What keeps the batch normalisation from dividing by zero. The published weights of the L series were
            trained with 1e-7; give that along with them.
        **kwargs: As of `Backbone`.
    """

    timm_name = 'efficientvit_{arch}.r224_in1k'
    archs: ClassVar = {
        'b0': Variant(B_SERIES, (8, 16, 32, 64, 128), (1, 1, 2, 2), 16),
        'b1': Variant(B_SERIES, (16, 32, 64, 128, 256), (1, 2, 3, 4), 16),
        'b2': Variant(B_SERIES, (24, 48, 96, 192, 384), (2, 3, 4, 6), 32),
        'b3': Variant(B_SERIES, (32, 64, 128, 256, 512), (3, 5, 6, 9), 32),
        'l0': Variant(L_SERIES, (32, 64, 128, 256, 512), (1, 1, 4, 4), 32),
        'l1': Variant(L_SERIES, (32, 64, 128, 256, 512), (1, 1, 6, 6), 32),
        'l2': Variant(L_SERIES, (32, 64, 128, 256, 512), (2, 2, 8, 8), 32),
        'l3': Variant(L_SERIES, (64, 128, 256, 512, 1024), (2, 2, 8, 8), 32),
    }

    def __init__(self, arch: str, *args: Any, norm_eps: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(arch, *args, **kwargs)
        set_norm_eps(self, norm_eps)

    def build(self, variant: Variant) -> tuple[Level, ...]:
        (act, stem_block, designs), dims, depths, head_dim = variant
        self.patch_embed = nn.Sequential(
            ConvNormAct(3, dims[0], 3, stride=2, act=act), ResidualBlock(stem_block(dims[0], act))
        )
        drop_paths = self.drop_path_rates(depths)
        self.stages = nn.ModuleList()
        for in_dim, dim, design, rates in zip(dims, dims[1:], designs, drop_paths, strict=False):
            convolution, downsample_ratio, expand_ratio, norm_last_only, attention = design
            downsample = convolution(in_dim, dim, 2, downsample_ratio, act, norm_last_only)
            blocks: list[nn.Module] = [ResidualBlock(downsample, shortcut=False)]
            for rate in rates:
                if attention:
                    blocks.append(EfficientViTBlock(dim, head_dim, expand_ratio, act, rate))
                else:
                    block = convolution(dim, dim, 1, expand_ratio, act, norm_last_only)
                    blocks.append(ResidualBlock(block, drop_path=rate))
            self.stages.append(nn.Sequential(OrderedDict(blocks=BlockSequence(*blocks, with_cp=self.with_cp))))
        return tuple(Level(dim, 2 ** (stage + 1), stage) for stage, dim in enumerate(dims))

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = self.patch_embed(convolution_layout(images))
        yield x
        for stage in self.stages:
            x = stage(x)
            yield x

    def timm_prefixes(self) -> dict[str, str]:
        """Map timm's stem."""
        return {'stem.in_conv.': 'patch_embed.0.', 'stem.res0.': 'patch_embed.1.'}

    def renamed_prefixes(self) -> dict[str, str]:
        """Map the authors' stem, which their L series counts as a stage, and their stages."""
        large = self.archs[self.arch].series is L_SERIES
        stem = 'stages.0' if large else 'input_stem'
        prefixes = {f'{stem}.op_list.{layer}.': f'patch_embed.{layer}.' for layer in (0, 1)}
        for stage in range(4):
            prefixes[f'stages.{stage + large}.op_list.'] = f'stages.{stage}.blocks.'
        return prefixes
