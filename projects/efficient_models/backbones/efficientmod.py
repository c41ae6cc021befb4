"""EfficientMod: Efficient Modulation for Vision Networks, ICLR 2024.

Paper: https://arxiv.org/abs/2403.19963
Code: https://github.com/ma-xu/EfficientMod (no licence stated)

Parameters bear the authors' names, except that each stage begins with the downsampling that leads to it, whereas theirs
ends with the next one's. Their checkpoints load, with or without the classifier and its norm.

Feature maps are (B, H, W, C) between the layers, and convolutions see them as channels-last views of shape
(B, C, H, W), so that nothing is copied on the way; the returned maps are such views. Compared with the authors' code,
the context is broadcast over the groups of the expanded channels instead of being repeated in memory, and their
activations and products are computed again in the backward pass instead of being kept.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..layers.block_sequence import BlockSequence
from ..layers.conv_norm import Residual
from .backbone import Backbone, Level

NUM_HEADS = 8
MIN_HEAD_DIM = 32  # narrow stages attend in more channels than they have


class PatchEmbed(nn.Module):
    """Strided convolution with layer normalisation.

    Args:
        dim: Channels of the input.
        out_dim: Channels of the output.
        kernel_size: Side of the kernel; the padding makes the size ceil(size / stride).
        stride: Stride of the convolution.
    """

    def __init__(self, dim: int, out_dim: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, out_dim, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), out_dim)."""
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class ContextLayer(nn.Module):
    """Context of each position: a large depthwise convolution between two projections.

    Args:
        dim: Channels of input and output.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.f = nn.Linear(dim, dim)
        self.context_list = nn.Sequential(nn.Conv2d(dim, dim, 7, padding=3, groups=dim), nn.GELU())
        self.g = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        context = self.context_list(self.f(x).permute(0, 3, 1, 2))
        return self.g(context.permute(0, 2, 3, 1))


class ModulationMLP(nn.Module):
    """Multilayer perceptron whose hidden channels are multiplied by the context.

    Args:
        dim: Channels of input and output.
        expansion: Hidden channels per channel; each group of `dim` hidden channels meets the same context. Without
            expansion, the hidden channels have no activation.
    """

    def __init__(self, dim: int, expansion: int) -> None:
        super().__init__()
        self.expansion = expansion
        self.fc1 = nn.Linear(dim, expansion * dim)
        self.act = nn.GELU() if expansion > 1 else nn.Identity()
        self.context_layer = ContextLayer(dim)
        self.fc2 = nn.Linear(expansion * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        context, hidden = self.context_layer(x), self.fc1(x)
        if hidden.requires_grad:
            return checkpoint(self.modulate, hidden, context, use_reentrant=False, preserve_rng_state=False)
        return self.modulate(hidden, context)

    def modulate(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Multiply the hidden channels (B, H, W, expansion * C) by the context (B, H, W, C), and project them to C.

        The activated channels and their products are not kept for the backward pass, but computed again; without
        gradients, the products take the place of the hidden channels.
        """
        groups = self.act(hidden).unflatten(-1, (self.expansion, -1))
        context = context.unsqueeze(-2)
        products = groups * context if hidden.requires_grad else groups.mul_(context)
        return self.fc2(products.flatten(-2))


class ModulationBlock(nn.Module):
    """Normalised modulation with layer scale and a residual connection.

    Args:
        dim: Channels of input and output.
        expansion: Hidden channels per channel.
        drop_path: Probability of dropping the residual branch in training.
    """

    def __init__(self, dim: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = ModulationMLP(dim, expansion)
        self.gamma_1 = nn.Parameter(torch.full((dim,), 1e-4))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        return torch.addcmul(x, self.gamma_1, self.drop_path(self.mlp(self.norm(x))))

    def fused(self) -> Residual:
        """Return the block with its layer scale folded into the last projection."""
        with torch.no_grad():
            self.mlp.fc2.weight.mul_(self.gamma_1[:, None])
            self.mlp.fc2.bias.mul_(self.gamma_1)
        return Residual(nn.Sequential(self.norm, self.mlp))


class Attention(nn.Module):
    """Multi-head self-attention over all positions, without positional encoding.

    Args:
        dim: Channels of input and output.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner_dim = NUM_HEADS * max(dim // NUM_HEADS, MIN_HEAD_DIM)
        self.qkv = nn.Linear(dim, 3 * inner_dim, bias=False)
        self.proj = nn.Linear(inner_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        qkv = self.qkv(x).flatten(1, 2).unflatten(2, (3, NUM_HEADS, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        return self.proj(attended.flatten(2)).view(x.shape)


class AttentionBlock(nn.Module):
    """Transformer block: self-attention and multilayer perceptron, each normalised, with a residual connection.

    Args:
        dim: Channels of input and output.
        mlp_ratio: Hidden channels of the perceptron per channel.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(self, dim: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, mlp_ratio * dim), act=nn.GELU(), fc2=nn.Linear(mlp_ratio * dim, dim))
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        dims: Channels of the four stages.
        depths: Modulation blocks of the four stages.
        expansion: Hidden channels per channel of every second modulation block; the others do not expand.
        attention_depths: Attention blocks that follow the modulation blocks.
        attention_mlp_ratios: Hidden channels per channel of the perceptrons in the attention blocks.
    """

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    expansion: int
    attention_depths: tuple[int, int, int, int]
    attention_mlp_ratios: tuple[int, int, int, int] = (4, 4, 4, 4)


@MODELS.register_module()
class EfficientMod(Backbone):
    """EfficientMod in the sizes 'xxs', 'xs' and 's', and 's_conv' without attention.

    Levels: strides 4, 8, 16 and 32 from the four stages, without a norm. The stem is one convolution of stride 4, so
    there is no finer level.

    The authors train 's' and 's_conv' with a `drop_path_rate` of 0.02, the others with 0. The network normalises
    layers, not batches: `norm_eval` changes nothing, and `fuse()` folds the layer scales only.

    Arguments: see `Backbone`. There are no published weights for `pretrained=True`; see `weights_url`.
    """

    weights_url = 'https://github.com/ma-xu/EfficientMod'
    classifier_prefixes = ('norm.', 'head.')
    archs: ClassVar = {
        'xxs': Variant((32, 64, 128, 256), (2, 2, 6, 2), 6, (0, 0, 1, 2)),
        'xs': Variant((32, 64, 144, 288), (3, 3, 4, 2), 4, (0, 0, 3, 3)),
        's': Variant((32, 64, 144, 312), (4, 4, 8, 4), 6, (0, 0, 4, 4), (4, 4, 4, 5)),
        's_conv': Variant((40, 80, 160, 344), (4, 4, 12, 8), 6, (0, 0, 0, 0)),
    }

    def build(self, variant: Variant) -> tuple[Level, ...]:
        dims = variant.dims
        self.patch_embed = PatchEmbed(3, dims[0], kernel_size=7, stride=4)
        self.stages = nn.ModuleList()
        depths = [sum(pair) for pair in zip(variant.depths, variant.attention_depths, strict=True)]
        for index, (dim, drop_paths) in enumerate(zip(dims, self.drop_path_rates(depths), strict=True)):
            downsample = PatchEmbed(dims[index - 1], dim, kernel_size=3, stride=2) if index else nn.Identity()
            depth = variant.depths[index]
            blocks: list[nn.Module] = [
                ModulationBlock(dim, variant.expansion if block % 2 else 1, drop_path)
                for block, drop_path in enumerate(drop_paths[:depth])
            ]
            for drop_path in drop_paths[depth:]:
                blocks.append(AttentionBlock(dim, variant.attention_mlp_ratios[index], drop_path))
            stage = nn.Sequential()
            stage.add_module('downsample', downsample)
            stage.add_module('blocks', BlockSequence(*blocks, with_cp=self.with_cp))
            self.stages.append(stage)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        return tuple(Level(dim, 4 * 2**index, stage=index + 1) for index, dim in enumerate(dims))

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        x = self.patch_embed(images.permute(0, 2, 3, 1))
        for stage in self.stages:
            x = stage(x)
            yield x.permute(0, 3, 1, 2)

    def renamed_prefixes(self) -> dict[str, str]:
        """Map the authors' layers, which end with the downsampling to the next one, to stages."""
        last = len(self.archs[self.arch].dims) - 1
        blocks = {f'layers.{index}.blocks.': f'stages.{index}.blocks.' for index in range(last + 1)}
        downsamples = {f'layers.{index}.downsample.': f'stages.{index + 1}.downsample.' for index in range(last)}
        return blocks | downsamples
