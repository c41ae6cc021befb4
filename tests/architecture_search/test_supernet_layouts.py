"""Which part of a parameter a small network has."""

import pytest
import torch
from torch import nn

from projects.architecture_search.space import GrowSpace
from projects.architecture_search.supernet.layouts import Layout, Segment, measure_layouts
from projects.efficient_models.backbones import MixerPyramid
from projects.efficient_models.token_mixers import TOKEN_MIXERS, build_token_mixer

# Small ones of these are no parts of large ones, whatever is cut: they normalise over all channels, or have heads and
# attended channels in proportion to the width.
BY_ALL_CHANNELS = {'spatial_reduction', 'deformable', 'single_head', 'cascaded_group'}


def layouts_of(mixer, dims):
    space = GrowSpace(
        ('fp32',),
        (1.0,),
        dims=(*((64,),) * 3, dims),
        depths=((1,),) * 4,
        mixers=(*(('convolution',),) * 3, (mixer,)),
        stem_strides=(4,),
        image_size=(64, 64),
    )

    def shapes(point):
        options = {key: value for key, value in space.options(point)['model.backbone'].items() if key != 'type'}
        network = MixerPyramid(**options)
        return {f'backbone.{name}': tuple(parameter.shape) for name, parameter in network.named_parameters()}

    return measure_layouts(space, space.extreme(largest=True), shapes)


def test_queries_keys_and_values_are_cut_each():
    layout = layouts_of('softmax', (32, 64))['backbone.stages.3.1.mix.m.1.qkv.bias']
    bias = torch.tensor([0.0] * 64 + [1.0] * 64 + [2.0] * 64) + torch.arange(64.0).repeat(3) / 100
    cut = layout.cut(bias, (96,), [0, 0, 0, 32])
    assert torch.equal(cut, torch.cat([bias[:32], bias[64:96], bias[128:160]]))


def test_gates_after_two_widths_stay_whole():
    name = 'backbone.stages.3.1.mix.m.1.f.bias'
    layout = layouts_of('focal_modulation', (32, 64))[name]
    large, small = build_token_mixer('focal_modulation', 64), build_token_mixer('focal_modulation', 32)
    gates = large.f.bias.shape[0] - 128
    cut = layout.cut(torch.arange(128.0 + gates), small.f.bias.shape, [0, 0, 0, 32])
    assert cut.tolist() == [*range(32), *range(64, 96), *range(128, 128 + gates)]


def test_what_is_in_no_proportion_begins_with_the_first():
    layout = Layout(((Segment(260),), (Segment(64, 3),)))
    parameter = torch.randn(260, 64)
    cut = layout.cut(parameter, (132, 32), [0, 0, 0, 32])
    assert torch.equal(cut, parameter[:132, :32])
    assert cut.data_ptr() == parameter.data_ptr()  # a view


@pytest.mark.parametrize('mixer', [mixer for mixer in TOKEN_MIXERS if mixer not in BY_ALL_CHANNELS])
def test_a_mixer_computes_what_a_wide_one_does_whose_other_weights_are_zero(mixer):
    """So that each weight is that of the same role; no layout but the right one does this."""
    layouts = layouts_of(mixer, (64, 128))
    large, small = (build_token_mixer(mixer, channels).double().eval() for channels in (128, 64))
    own = dict(small.named_parameters())
    for name, parameter in large.named_parameters():
        layout = layouts[f'backbone.stages.3.1.mix.m.1.{name}']
        kept = torch.zeros_like(parameter, requires_grad=True)
        layout.cut(kept, own[name].shape, [0, 0, 0, 64]).sum().backward()
        with torch.no_grad():
            nn.init.normal_(parameter, std=0.3).mul_(kept.grad)
            own[name].copy_(layout.cut(parameter, own[name].shape, [0, 0, 0, 64]))
    x = torch.randn(2, 64, 9, 10, dtype=torch.double)
    with torch.inference_mode():
        expected, wide = small(x), large(torch.cat([x, torch.zeros_like(x)], 1))
    torch.testing.assert_close(wide[:, :64], expected, rtol=0, atol=1e-9)
    assert not wide[:, 64:].any()
