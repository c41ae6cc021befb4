"""EfficientViT: Memory Efficient Vision Transformer with Cascaded Group Attention (MSRA), CVPR 2023.

Paper: https://arxiv.org/abs/2305.07027
Code: https://github.com/microsoft/Cream/tree/main/EfficientViT (MIT licence)

Parameters bear the authors' names inside the stages; timm's `efficientvit_m*` and the authors' checkpoints, of the
classification and of the detection code, load as well. Compared with the authors' detection code:

- Maps smaller than a window are padded to one, as in timm, where theirs fails.
- M0 has the kernels of the classification code, to which its published weights belong.
- The stem's maps at strides 2, 4 and 8 can be returned, and the blocks have stochastic depth on request.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from ..layers.conv_norm import ConvNorm, Residual
from ..layers.patch_merging import FFN
from .stride16_backbone import Stride16Backbone

WINDOW_SIZE = 7  # of attention, in every stage, as in the authors' detection code
QK_DIM = 16  # channels of queries and keys of a head, in every stage

# The only pieces of a key that differ in timm, by our name for them.
TIMM_NAMES = {
    **{f'patch_embed.{2 * index}.': f'patch_embed.conv{index + 1}.' for index in range(4)},
    '.downsample.0.': '.downsample.res1.0.',
    '.downsample.1.': '.downsample.res1.1.',
    '.downsample.2.': '.downsample.patchmerge.',
    '.downsample.3.': '.downsample.res2.0.',
    '.downsample.4.': '.downsample.res2.1.',
    '.c.': '.conv.',
}


class CascadedGroupAttention(nn.Module):
    """Attention over all positions of a window, whose heads work one after another.

    Each head sees a group of the channels, to which the output of the head before it is added.

    Args:
        dim: Channels of input and output.
        kernels: Side of the depthwise convolution on the queries of each head.
    """

    def __init__(self, dim: int, kernels: Sequence[int]) -> None:
        super().__init__()
        num_heads = len(kernels)
        head_dim = dim // num_heads
        self.qkv_dims = (QK_DIM, QK_DIM, head_dim)
        self.qkvs = nn.ModuleList(ConvNorm(head_dim, sum(self.qkv_dims)) for _ in kernels)
        self.dws = nn.ModuleList(ConvNorm(QK_DIM, QK_DIM, kernel, groups=QK_DIM) for kernel in kernels)
        self.proj = nn.Sequential(nn.ReLU(inplace=True), ConvNorm(dim, dim, norm_scale=0.0))
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, WINDOW_SIZE**2))
        self.bias_index: torch.Tensor
        self.register_buffer('bias_index', _distances(), persistent=False)
        self._cached_bias: torch.Tensor | None = None
        self._cached_from: tuple[int, int] | None = None

    def bias(self) -> torch.Tensor:
        """Return what is added to the logits of each head, shape (heads, positions, positions).

        It is gathered once and kept as long as the table stays the same, unless gradients or a graph are recorded.
        """
        table = self.attention_biases
        records_gradients = torch.is_grad_enabled() and table.requires_grad
        if records_gradients or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self._gather_bias()
        current = (id(table), 0 if table.is_inference() else table._version)
        if self._cached_bias is None or self._cached_from != current:
            with torch.inference_mode(False), torch.no_grad():
                self._cached_bias, self._cached_from = self._gather_bias(), current
        return self._cached_bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map windows (B, C, 7, 7) to the same shape."""
        size = x.shape[2:]
        groups = x.chunk(len(self.qkvs), dim=1)
        outputs: list[torch.Tensor] = []
        for qkv, dw, group, bias in zip(self.qkvs, self.dws, groups, self.bias().unbind(), strict=True):
            query, key, value = qkv(group + outputs[-1] if outputs else group).split(self.qkv_dims, dim=1)
            query, key, value = dw(query).flatten(2), key.flatten(2), value.flatten(2)
            weights = torch.baddbmm(bias, query.transpose(1, 2), key, alpha=QK_DIM**-0.5).softmax(dim=-1)
            # this order of the factors gives channels-last memory, like that of the windows
            outputs.append((weights @ value.transpose(1, 2)).unflatten(1, size).permute(0, 3, 1, 2))
        return self.proj(torch.cat(outputs, dim=1))

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; a bias kept from before is forgotten, whatever has been written into the table."""
        self._cached_bias = None
        return super().train(mode)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self._cached_bias = None
        return super()._apply(fn, recurse)

    def _gather_bias(self) -> torch.Tensor:
        return self.attention_biases.index_select(1, self.bias_index.flatten()).unflatten(1, self.bias_index.shape)


def _distances() -> torch.Tensor:
    """Return the entry of the bias table for each pair of positions: their vertical distance * 7 + the horizontal."""
    positions = torch.arange(WINDOW_SIZE**2)
    rows, columns = positions // WINDOW_SIZE, positions % WINDOW_SIZE
    return (rows[:, None] - rows).abs() * WINDOW_SIZE + (columns[:, None] - columns).abs()


class LocalWindowAttention(nn.Module):
    """Cascaded group attention inside windows of 7x7 positions, side by side from the top left corner.

    Note:
        Windows that stick out at the bottom or right are filled up with zeros, to which attention is paid as to any
        other position; the authors trained without a mask.

    Args:
        dim: Channels of input and output.
        kernels: Side of the depthwise convolution on the queries of each head.
    """

    def __init__(self, dim: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.attn = CascadedGroupAttention(dim, kernels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        rows, columns = (height + WINDOW_SIZE - 1) // WINDOW_SIZE, (width + WINDOW_SIZE - 1) // WINDOW_SIZE
        x = F.pad(x, (0, columns * WINDOW_SIZE - width, 0, rows * WINDOW_SIZE - height))
        # windows in channels-last memory: cut out and put back by one copy each
        x = x.view(batch, channels, rows, WINDOW_SIZE, columns, WINDOW_SIZE).permute(0, 2, 4, 3, 5, 1)
        x = x.reshape(batch * rows * columns, WINDOW_SIZE, WINDOW_SIZE, channels).permute(0, 3, 1, 2)
        x = self.attn(x).permute(0, 2, 3, 1)
        x = x.reshape(batch, rows, columns, WINDOW_SIZE, WINDOW_SIZE, channels).transpose(2, 3)
        x = x.reshape(batch, rows * WINDOW_SIZE, columns * WINDOW_SIZE, channels).permute(0, 3, 1, 2)
        return x[:, :, :height, :width]


class Block(nn.Module):
    """Attention between two pairs of depthwise convolution and feed-forward network, each with a residual connection.

    Args:
        dim: Channels of input and output.
        kernels: Side of the depthwise convolution on the queries of each head.
        drop_path: Probability of dropping each residual branch in training.
    """

    def __init__(self, dim: int, kernels: Sequence[int], drop_path: float) -> None:
        super().__init__()
        self.dw0 = Residual(ConvNorm(dim, dim, 3, groups=dim, norm_scale=0.0), drop_path)
        self.ffn0 = Residual(FFN(dim, 2 * dim), drop_path)
        self.mixer = Residual(LocalWindowAttention(dim, kernels), drop_path)
        self.dw1 = Residual(ConvNorm(dim, dim, 3, groups=dim, norm_scale=0.0), drop_path)
        self.ffn1 = Residual(FFN(dim, 2 * dim), drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.ffn1(self.dw1(self.mixer(self.ffn0(self.dw0(x)))))


class Variant(NamedTuple):
    """Size of a network.

    Attributes:
        dims: Channels of the three stages.
        depths: Blocks of the three stages.
        num_heads: Attention heads of the three stages.
        kernels: Side of the depthwise convolution on the queries of the first, second ... head of every stage.
    """

    dims: tuple[int, int, int]
    depths: tuple[int, int, int]
    num_heads: tuple[int, int, int]
    kernels: tuple[int, int, int, int]


@MODELS.register_module()
class EfficientViTMSRA(Stride16Backbone):
    """EfficientViT of MSRA in the sizes 'm0' to 'm5'.

    Levels: strides 2, 4 and 8 from the stem, after their activation, then 16, 32 and 64 from the three stages.
    The authors' detectors train it with `norm_eval=True` and without weight decay on the `attention_biases`.
    Arguments: see `Backbone`.
    """

    timm_name = 'efficientvit_{arch}.r224_in1k'
    archs: ClassVar = {
        'm0': Variant((64, 128, 192), (1, 2, 3), (4, 4, 4), (5, 5, 5, 5)),
        'm1': Variant((128, 144, 192), (1, 2, 3), (2, 3, 3), (7, 5, 3, 3)),
        'm2': Variant((128, 192, 224), (1, 2, 3), (4, 3, 2), (7, 5, 3, 3)),
        'm3': Variant((128, 240, 320), (1, 2, 3), (4, 3, 4), (5, 5, 5, 5)),
        'm4': Variant((128, 256, 384), (1, 2, 3), (4, 4, 4), (7, 5, 3, 3)),
        'm5': Variant((192, 288, 384), (1, 3, 4), (3, 3, 4), (7, 5, 3, 3)),
    }

    def blocks(self, variant: Variant, stage: int, drop_paths: Sequence[float]) -> list[nn.Module]:
        kernels = variant.kernels[: variant.num_heads[stage]]
        return [Block(variant.dims[stage], kernels, drop_path) for drop_path in drop_paths]

    def timm_prefixes(self) -> dict[str, str]:
        prefixes = {}
        for key in self.state_dict():
            own = key.rpartition('.')[0] + '.'
            theirs = own
            for our_name, timm_name in TIMM_NAMES.items():
                theirs = theirs.replace(our_name, timm_name)
            if theirs != own:
                prefixes[theirs] = own
        return prefixes

    def resize_weights(self, state_dict: dict[str, Any], prefix: str = '') -> None:
        """Fit bias tables to windows of 7, as the authors do; classifiers of 224 pixels have 4x4 in the last stage.

        Note:
            timm resizes with antialiasing, which gives other values.
        """
        for key in [key for key in state_dict if key.startswith(prefix)]:
            if key.endswith('.attention_bias_idxs'):  # the authors store what follows from the window size
                del state_dict[key]
            elif key.endswith('.attention_biases'):
                state_dict[key] = _resized(state_dict[key])


def _resized(table: torch.Tensor) -> torch.Tensor:
    """Return a table of shape (heads, 49) for one of shape (heads, side * side); other shapes remain as they are."""
    side = math.isqrt(table.shape[-1])
    if table.dim() != 2 or side == WINDOW_SIZE or side**2 != table.shape[1]:
        return table
    maps = table.float().unflatten(1, (side, side))[None]
    resized = F.interpolate(maps, size=(WINDOW_SIZE, WINDOW_SIZE), mode='bicubic')
    return resized[0].flatten(1).to(table.dtype)
