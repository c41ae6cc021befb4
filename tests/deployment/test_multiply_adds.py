"""Multiply-adds by hand; attention counts the same by whichever operator PyTorch would compute it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import vit_b_16
from torchvision.ops import deform_conv2d

from projects.deployment.multiply_adds import Macs, count_macs


@pytest.mark.parametrize(
    ('function', 'shapes', 'total', 'attention'),
    [
        (nn.Conv2d(4, 6, 3, groups=2), [(2, 4, 7, 5)], 2 * 6 * 2 * 9 * 5 * 3, 0),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), [(2, 4, 7, 5)], 2 * 4 * 6 * 4 * 7 * 5, 0),
        (nn.Linear(3, 5), [(2, 4, 3)], 2 * 4 * 3 * 5, 0),
        (torch.matmul, [(2, 4, 3), (2, 3, 5)], 2 * 4 * 3 * 5, 2 * 4 * 3 * 5),
        # as many as a convolution of the same weights: positions 5x3, 4 // 2 channels, 9 samples
        (
            deform_conv2d,
            [(2, 4, 7, 5), (2, 18, 5, 3), (6, 2, 3, 3)],
            2 * 6 * 2 * 9 * 5 * 3,
            0,
        ),
    ],
    ids=['convolution', 'transposed', 'linear', 'product', 'deformable'],
)
def test_counts_by_hand(function, shapes, total, attention):
    inputs = [torch.rand(shape) for shape in shapes]
    output, macs = count_macs(function, *inputs)
    assert macs == Macs(total, attention)
    torch.testing.assert_close(output, function(*inputs))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('grad', [False, True])
def test_attention_of_any_kind(dtype, masked, grad):
    """4 heads, 6 queries, 10 keys, 16 channels: two products of 4 * 6 * 10 * 16."""
    query, key = (torch.rand(1, 4, n, 16, dtype=dtype, requires_grad=grad) for n in (6, 10))
    mask = torch.ones(6, 10, dtype=torch.bool) if masked else None
    output, macs = count_macs(lambda: F.scaled_dot_product_attention(query, key, key, attn_mask=mask))
    assert macs == Macs(2 * 4 * 6 * 10 * 16, 2 * 4 * 6 * 10 * 16)
    torch.testing.assert_close(output, F.scaled_dot_product_attention(query, key, key, attn_mask=mask))


@pytest.mark.parametrize(
    'module',
    [
        nn.MultiheadAttention(16, 4, batch_first=True),
        nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, batch_first=True),
    ],
    ids=lambda module: type(module).__name__,
)
def test_attention_modules_in_inference(module):
    """In eval mode they have fused operators of their own: 2 images, 6 tokens of 16 channels."""
    tokens = torch.rand(2, 6, 16)
    inputs = (tokens,) * 3 if isinstance(module, nn.MultiheadAttention) else (tokens,)
    linear = 2 * 6 * 16 * 16 * 4 + (0 if isinstance(module, nn.MultiheadAttention) else 2 * 6 * 16 * 32 * 2)
    with torch.no_grad():
        _, macs = count_macs(module.eval(), *inputs)
    assert torch.backends.mha.get_fastpath_enabled()
    assert macs == Macs(linear + 2 * 2 * 6 * 6 * 16, 2 * 2 * 6 * 6 * 16)


def test_a_network_with_all_of_them():
    """ViT-B/16 by hand: 197 tokens, 12 layers."""
    layer, products = 197 * 768 * 768 * 12, 2 * 197 * 197 * 768
    with torch.no_grad():
        _, macs = count_macs(vit_b_16(), torch.rand(1, 3, 224, 224))
    assert macs == Macs(196 * 768 * 768 + 12 * (layer + products) + 768 * 1000, 12 * products)
