"""Networks of timm that are built for one image size, for any size: EfficientFormer, EfficientFormerV2 and Hiera.

TinyViT and timm's EfficientViT-MSRA, which take any size, share one trap with them, and its remedy: in eval mode they
keep attention biases from one image to the next, even if other weights have been loaded in between. MobileViT and
MobileViTv2 take any size, too, but not once traced: their patches are counted in Python there.

EfficientFormer: https://arxiv.org/abs/2206.01191, https://arxiv.org/abs/2212.08059; Hiera: https://arxiv.org/abs/2306.00989

Each class here extends the one of timm that it is named after, and shares its parameters and their names. At the image
size of timm's network it computes the same.

What depends on the size is a table: biases by relative position in EfficientFormer, positional embeddings in Hiera. It
is interpolated to the grid of the image at hand, in training within the gradient's reach.

Note:
    EfficientFormer's authors train new biases for detection, of a larger grid, and interpolate for other sizes the
    matrix of all pairs of positions. Its rows and columns are positions counted row by row, so that neighbours in it
    are not neighbours in the image unless the grid keeps its width. Here the table by vertical and horizontal distance
    is interpolated (bicubic, as theirs), with its ends fixed: the bias of no distance stays that of no distance.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import efficientformer, efficientformer_v2, efficientvit_msra, hiera, mobilevit, tiny_vit
from torch import nn
from torch.nn import functional as F


def accept_any_size(network: nn.Module) -> None:
    """Turn those parts of a timm network that have an extension below into it, in place."""
    for module in network.modules():
        extension = EXTENSIONS.get(type(module))
        if extension is not None:
            module.__class__ = extension


class CurrentBiases:
    """Attention biases that are those of the present weights; a mixin.

    Without gradients, they are computed once and kept as long as the weights stay the same. timm's classes forget them
    in `train()` and `to()` alone.
    """

    attention_biases: nn.Parameter
    attention_bias_idxs: torch.Tensor
    attention_bias_cache: dict[Any, torch.Tensor]

    def get_attention_biases(self, _: torch.device) -> torch.Tensor:
        """Return the biases of timm's grid, shape (heads, queries, keys)."""
        return self.kept_biases()

    def kept_biases(self, *grid: int) -> torch.Tensor:
        """Return what `compute_biases` does, computed before if possible."""
        table = self.attention_biases
        records = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()
        if records or table.is_inference():  # those do not count their changes
            return self.compute_biases(*grid)
        key = *grid, table.device, table.dtype, table.data_ptr(), table._version
        if key in self.attention_bias_cache:
            return self.attention_bias_cache[key]
        biases = self.compute_biases(*grid)
        if type(biases) is torch.Tensor:  # and no tensor without data, as in a mere count of operations
            self.attention_bias_cache = {key: biases}
        return biases

    def compute_biases(self, *_: int) -> torch.Tensor:
        """Compute the biases from the table."""
        return self.attention_biases[:, self.attention_bias_idxs]


class CurrentTinyViTAttention(CurrentBiases, tiny_vit.Attention):
    """TinyViT's attention."""


class CurrentCascadedGroupAttention(CurrentBiases, efficientvit_msra.CascadedGroupAttention):
    """EfficientViT-MSRA's attention."""


class PositionBiases(CurrentBiases):
    """Attention biases by vertical and horizontal distance, for a grid of any size; a mixin."""

    def biases(self, rows: int, columns: int, query_stride: int = 1) -> torch.Tensor:
        """Return the biases of a grid.

        Args:
            rows: Rows of the grid of keys.
            columns: Its columns.
            query_stride: Queries stand on every n-th row and column.

        Returns:
            The biases, shape (heads, queries, keys).
        """
        return self.kept_biases(rows, columns, query_stride)

    def compute_biases(self, rows: int, columns: int, query_stride: int) -> torch.Tensor:  # type: ignore[override]
        """Compute the biases of a grid."""
        side = math.isqrt(self.attention_biases.shape[1])
        table = self.attention_biases.unflatten(1, (side, side))
        if (rows, columns) != (side, side):
            table = F.interpolate(table[None], size=(rows, columns), mode='bicubic', align_corners=True)[0]
        vertical = _distances(rows, query_stride, table.device)
        horizontal = _distances(columns, query_stride, table.device)
        pairs = table.index_select(1, vertical.flatten()).index_select(2, horizontal.flatten())
        pairs = pairs.unflatten(2, horizontal.shape).unflatten(1, vertical.shape)
        return pairs.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _distances(length: int, query_stride: int, device: torch.device) -> torch.Tensor:
    """Return the distances between every n-th position and all positions, shape (ceil(length / n), length)."""
    positions = torch.arange(length, device=device)
    return (positions[::query_stride, None] - positions).abs()


class AttentionOnGrid(PositionBiases, efficientformer.Attention):
    """EfficientFormer's attention; takes a map instead of a sequence, as its distances depend on the width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        heads = self.qkv(x).flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        query, key, value = heads.split([self.key_dim, self.key_dim, self.val_dim], dim=3)
        biases = self.biases(*x.shape[1:3]).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=biases)
        return self.proj(attended.transpose(1, 2).flatten(2)).unflatten(1, x.shape[1:3])


class ChannelsLast(efficientformer.Flat):
    """The step from convolutional to attention blocks, which keeps the rows and columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, H, W, C)."""
        return x.permute(0, 2, 3, 1)


class AnySizeEfficientFormer(efficientformer.EfficientFormer):
    """EfficientFormer, whose last stage ends with maps of shape (B, H, W, C)."""

    def forward_intermediates(  # type: ignore[override]  # of timm's options, those that are used here
        self, x: torch.Tensor, indices: Sequence[int], stop_early: bool, intermediates_only: bool
    ) -> list[torch.Tensor]:
        """Return the outputs of the chosen stages, shape (B, C, H, W)."""
        maps = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            maps.append(x.permute(0, 3, 1, 2) if index == self.num_stages - 1 else x)
        return [maps[index] for index in indices]


class AnySizeAttention2d(PositionBiases, efficientformer_v2.Attention2d):
    """EfficientFormerV2's attention, in one stage on every second row and column."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        height, width = x.shape[2:]
        if self.stride_conv is not None:
            x = self.stride_conv(x)
        grid = x.shape[2:]
        query, key, value = self.q(x), self.k(x), self.v(x)
        local = self.v_local(value)
        query, key, value = (part.flatten(2).unflatten(1, (self.num_heads, -1)) for part in (query, key, value))
        weights = (query * self.scale).transpose(2, 3) @ key
        weights += self.biases(*grid)
        weights = self.talking_head2(self.talking_head1(weights).softmax(dim=3))
        x = (value @ weights.transpose(2, 3)).flatten(1, 2).unflatten(2, grid) + local
        if self.upsample is not None:
            x = self.upsample(x)[:, :, :height, :width]
        return self.proj(self.act(x))


class AnySizeAttention2dDownsample(PositionBiases, efficientformer_v2.Attention2dDownsample):
    """EfficientFormerV2's attention with queries on every second row and column."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, out_dim, ceil(H / 2), ceil(W / 2))."""
        height, width = x.shape[2:]
        query, key, value = self.q(x), self.k(x), self.v(x)
        local = self.v_local(value)
        query, key, value = (part.flatten(2).unflatten(1, (self.num_heads, -1)) for part in (query, key, value))
        weights = (query * self.scale).transpose(2, 3) @ key
        weights += self.biases(height, width, query_stride=2)
        x = (value @ weights.softmax(dim=3).transpose(2, 3)).flatten(1, 2).unflatten(2, local.shape[2:]) + local
        return self.proj(self.act(x))


class AnySizeHiera(hiera.Hiera):
    """Hiera for images whose sides are multiples of its mask units' side, 32 pixels.

    Tokens of a mask unit lie next to each other in memory; where depends on the size of the image.
    """

    def forward_intermediates(self, x: torch.Tensor, *args: Any, **options: Any) -> Any:
        """Return the outputs of the chosen stages, as timm's method does."""
        image_size = tuple(x.shape[2:])
        grid = [side // stride for side, stride in zip(image_size, self.patch_stride, strict=True)]
        if grid != self.unroll.size:
            schedule, q_stride = self.unroll.schedule, self.q_stride
            self.mask_spatial_shape = [side // unit for side, unit in zip(grid, self.mask_unit_size, strict=True)]
            self.unroll = hiera.Unroll(image_size, self.patch_stride, schedule)
            self.reroll = hiera.Reroll(
                image_size, self.patch_stride, [q_stride] * len(schedule), self.stage_ends, self.q_pool
            )
        return super().forward_intermediates(x, *args, **options)

    def _pos_embed(self, x: torch.Tensor) -> torch.Tensor:
        if self.pos_embed_win is not None or self.pos_embed is None:
            return super()._pos_embed(x)
        return x + resample_abs_pos_embed(
            self.pos_embed, self.unroll.size, self.tokens_spatial_shape, num_prefix_tokens=0
        )


def resize(x: torch.Tensor, size: Sequence[Any], align_corners: bool) -> torch.Tensor:
    """Resize a map (B, C, H, W), bilinear; not if it has that size, but in a graph, which sees others, always."""
    if tuple(x.shape[2:]) == tuple(size) and not torch.jit.is_tracing():
        return x
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=align_corners)


def _whole_patches(x: torch.Tensor, patch_size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    """Enlarge a map to whole patches: (B, C, H, W) to (B, C, rows, patch height, columns, patch width)."""
    counts = [(side + patch - 1) // patch for side, patch in zip(x.shape[2:], patch_size, strict=True)]
    x = resize(x, [count * patch for count, patch in zip(counts, patch_size, strict=True)], align_corners)
    (rows, columns), (height, width) = counts, patch_size
    return x.reshape(*x.shape[:2], rows, height, columns, width)


class AnySizeMobileViTBlock(mobilevit.MobileVitBlock):
    """MobileViT's block: attention among the pixels that have the same place in their patches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        shortcut, size = x, x.shape[2:]
        patches = _whole_patches(self.conv_1x1(self.conv_kxk(x)), self.patch_size, align_corners=False)
        batch, _, rows, height, columns, width = patches.shape
        tokens = patches.permute(0, 3, 5, 2, 4, 1).reshape(batch * height * width, rows * columns, -1)
        tokens = self.norm(self.transformer(tokens))
        patches = tokens.reshape(batch, height, width, rows, columns, -1).permute(0, 5, 3, 1, 4, 2)
        x = patches.reshape(batch, -1, rows * height, columns * width)
        x = self.conv_proj(resize(x, size, align_corners=False))
        return x if self.conv_fusion is None else self.conv_fusion(torch.cat((shortcut, x), 1))


class AnySizeMobileViTV2Block(mobilevit.MobileVitV2Block):
    """MobileViTv2's block, whose maps of odd size grow to the next even one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to whole patches of it."""
        height, width = self.patch_size
        whole = _whole_patches(x, self.patch_size, align_corners=True)
        batch, _, rows, _, columns, _ = whole.shape
        x = self.conv_1x1(self.conv_kxk(whole.reshape(batch, -1, rows * height, columns * width)))
        x = x.reshape(batch, -1, rows, height, columns, width).permute(0, 1, 3, 5, 2, 4)
        x = self.norm(self.transformer(x.reshape(batch, -1, height * width, rows * columns)))
        x = x.reshape(batch, -1, height, width, rows, columns).permute(0, 1, 4, 2, 5, 3)
        return self.conv_proj(x.reshape(batch, -1, rows * height, columns * width))


EXTENSIONS: dict[type[nn.Module], type[nn.Module]] = {
    efficientformer.Attention: AttentionOnGrid,
    efficientformer.Flat: ChannelsLast,
    efficientformer.EfficientFormer: AnySizeEfficientFormer,
    efficientformer_v2.Attention2d: AnySizeAttention2d,
    efficientformer_v2.Attention2dDownsample: AnySizeAttention2dDownsample,
    efficientvit_msra.CascadedGroupAttention: CurrentCascadedGroupAttention,
    hiera.Hiera: AnySizeHiera,
    mobilevit.MobileVitBlock: AnySizeMobileViTBlock,
    mobilevit.MobileVitV2Block: AnySizeMobileViTV2Block,
    tiny_vit.Attention: CurrentTinyViTAttention,
}
