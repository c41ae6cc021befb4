"""EfficientMod as its authors compute it, beside which `backbones.py` measures ours.

Convolutions see contiguous copies of shape (B, C, H, W), the context is repeated in memory, and the layer scale, the
residual connection and each activation have tensors of their own.
"""

from types import MethodType

import torch
from torch.nn import functional as F

from projects.efficient_models.backbones.efficientmod import (
    Attention,
    AttentionBlock,
    ContextLayer,
    EfficientMod,
    ModulationBlock,
    ModulationMLP,
    PatchEmbed,
)


def embed_patches(self: PatchEmbed, x: torch.Tensor) -> torch.Tensor:
    """The patch embedding, by a contiguous copy."""
    x = self.proj(x.permute(0, 3, 1, 2).contiguous())
    return self.norm(x.permute(0, 2, 3, 1).contiguous())


def context(self: ContextLayer, x: torch.Tensor) -> torch.Tensor:
    """The context, before and after a contiguous copy each."""
    context = self.context_list(self.f(x).permute(0, 3, 1, 2).contiguous())
    return self.g((0 + context).permute(0, 2, 3, 1).contiguous())


def modulation(self: ModulationMLP, x: torch.Tensor) -> torch.Tensor:
    """The modulation, by a context that is repeated in memory."""
    context = self.context_layer(x)
    hidden = self.act(self.fc1(x))
    if self.expansion > 1:
        context = context.repeat(1, 1, 1, self.expansion)
    return self.fc2(hidden * context)


def modulation_block(self: ModulationBlock, x: torch.Tensor) -> torch.Tensor:
    """The residual connection, scaled in a tensor of its own."""
    return x + self.gamma_1 * self.mlp(self.norm(x))


def attention(self: Attention, x: torch.Tensor) -> torch.Tensor:
    """Attention over a list of positions."""
    batch, positions, _ = x.shape
    query, key, value = self.qkv(x).reshape(batch, positions, 3, 8, -1).permute(2, 0, 3, 1, 4).unbind(0)
    x = F.scaled_dot_product_attention(query, key, value)
    return self.proj(x.transpose(1, 2).reshape(batch, positions, -1))


def attention_block(self: AttentionBlock, x: torch.Tensor) -> torch.Tensor:
    """The block with attention, between copies."""
    shape = x.shape
    x = x.flatten(1, 2).contiguous()
    x = x + self.attn(self.norm1(x))
    x = x + self.mlp(self.norm2(x))
    return x.reshape(shape).contiguous()


FORWARD = {
    PatchEmbed: embed_patches,
    ContextLayer: context,
    ModulationMLP: modulation,
    ModulationBlock: modulation_block,
    Attention: attention,
    AttentionBlock: attention_block,
}


def compute_like_authors(network: EfficientMod) -> EfficientMod:
    """Give every layer the authors' forward pass."""
    for module in network.modules():
        if type(module) in FORWARD:
            module.forward = MethodType(FORWARD[type(module)], module)
    return network
