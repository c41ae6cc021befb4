"""Mixers beside timm's code of the networks that they come from, with the same weights."""

import pytest
import torch
from timm.models.pvt_v2 import Attention as PVTAttention
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.xcit import XCA
from torch import nn

from projects.efficient_models.token_mixers import build_token_mixer

CHANNELS, HEADS = 64, 2


def features_last(x):
    return x.flatten(2).mT


def load(module, *pairs):
    """Copy 1x1 convolutions into linear layers of other names."""
    with torch.no_grad():
        for name, convolution in pairs:
            linear = module.get_submodule(name)
            linear.weight.copy_(convolution.weight[:, :, 0, 0])
            linear.bias.copy_(convolution.bias)


@pytest.mark.parametrize('reduction', [1, 2, 4])
def test_spatial_reduction_is_that_of_pvt(reduction, randomize):
    mixer = randomize(build_token_mixer('spatial_reduction', CHANNELS, reduction=reduction))
    theirs = PVTAttention(CHANNELS, HEADS, sr_ratio=reduction).eval()
    load(theirs, ('q', mixer.q), ('kv', mixer.kv), ('proj', mixer.proj))
    if reduction > 1:
        theirs.sr, theirs.norm = mixer.sr, mixer.norm
    x = torch.randn(2, CHANNELS, 8, 12)
    with torch.inference_mode():
        torch.testing.assert_close(features_last(mixer(x)), theirs(features_last(x), (8, 12)), rtol=0, atol=1e-5)


def test_cross_covariance_is_that_of_xcit():
    mixer = build_token_mixer('cross_covariance', CHANNELS)
    nn.init.uniform_(mixer.temperature, 0.5, 4)
    theirs = XCA(CHANNELS, HEADS, qkv_bias=True).eval()
    load(theirs, ('qkv', mixer.qkv), ('proj', mixer.proj))
    theirs.temperature = mixer.temperature
    x = torch.randn(2, CHANNELS, 5, 7)
    with torch.inference_mode():
        torch.testing.assert_close(features_last(mixer(x)), theirs(features_last(x)), rtol=0, atol=1e-5)


@pytest.mark.parametrize('shift', [0, 3])
def test_windows_are_those_of_swin(shift):
    mixer = build_token_mixer('window', CHANNELS, window_size=7, shift=shift)
    nn.init.normal_(mixer.bias_table)
    theirs = SwinTransformerBlock(CHANNELS, (14, 21), HEADS, window_size=7, shift_size=shift).eval()
    load(theirs, ('attn.qkv', mixer.qkv), ('attn.proj', mixer.proj))
    theirs.attn.relative_position_bias_table = mixer.bias_table
    x = torch.randn(2, CHANNELS, 14, 21)
    with torch.inference_mode():
        expected = theirs._attn(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-5)
