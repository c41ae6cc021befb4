"""SHViT: Single-Head Vision Transformer with Memory Efficient Macro Design, CVPR 2024.

Paper: https://arxiv.org/abs/2401.16456
Code: https://github.com/ysj9909/SHViT (MIT licence)

Parameters bear the names of timm's `shvit_*`. The authors' names differ in the blocks only, and load as well, from
classification and from detection checkpoints. Compared with the authors' code, the stem's maps at strides 2, 4 and 8
can be returned, and the blocks have stochastic depth on request.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn import functional as F

from ..layers.conv_norm import ConvNorm, Residual
from ..layers.patch_merging import FFN
from .stride16_backbone import Stride16Backbone

# Positions above which one kernel that keeps no scores is faster, although it wants queries and keys as wide as values;
# at 4,096 positions of 128 channels it takes a quarter of the time. It may be switched off, as where work is counted:
# the flag is named after CUDA, and holds on every device.
FUSED_ABOVE = 1024


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
        if query.shape[2] <= FUSED_ABOVE or torch.jit.is_tracing() or not torch.backends.cuda.flash_sdp_enabled():
            weights = ((query * self.scale).transpose(1, 2) @ key).softmax(dim=-1)
            # this order of the factors gives channels-last memory
            tokens = weights @ value.transpose(1, 2)
        else:
            tokens = self._attend_fused(query, key, value)
        attended = tokens.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return self.proj(torch.cat([attended, untouched], dim=1))

    def _attend_fused(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Map queries, keys and values (B, d, N) to what tokens read (B, N, d), without keeping scores."""
        width = max(self.qkv_dims)
        query, key, padded = (
            F.pad(one.transpose(1, 2).unsqueeze(1), (0, width - one.shape[1])).contiguous()
            for one in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(query, key, padded, scale=self.scale)
        return attended[:, 0, :, : value.shape[1]]


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
class SHViT(Stride16Backbone):
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

    def blocks(self, variant: Variant, stage: int, drop_paths: Sequence[float]) -> list[nn.Module]:
        dim, partial_dim = variant.dims[stage], variant.partial_dims[stage]
        return [Block(dim, partial_dim, drop_path) for drop_path in drop_paths]
