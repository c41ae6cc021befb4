"""Parts that do not fit together are named, whatever error their step ends with."""

import pytest
import torch
from torch import nn

from projects.training.channels import misfits_named


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 8, 1, 4), nn.Conv2d(3, 16, 1, 8)])
        self.convs[0].eval()  # as a frozen stage

    def forward(self, images):
        return tuple(conv(images) for conv in self.convs)


class Neck(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.in_channels = in_channels
        self.convs = nn.ModuleList(nn.Conv2d(channels, 4, 1) for channels in in_channels)

    def forward(self, maps):
        return tuple(conv(level_map) for conv, level_map in zip(self.convs, maps, strict=True))


class ResLayer(nn.Module):
    """Named as mmdet's, which changes the channels."""


class RoIHead(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Head(nn.Module):
    def __init__(self, in_channels, **attributes):
        super().__init__()
        self.in_channels = in_channels
        self.__dict__.update(attributes)


def fail(error, **parts):
    model = nn.Module()
    model.backbone = Backbone()
    for name, part in parts.items():
        setattr(model, name, part)
    modes = [module.training for module in model.modules()]
    try:
        with misfits_named(model):
            raise error
    finally:
        assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize('error', [RuntimeError('a raw error'), AssertionError(), IndexError('a raw error')])
@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        ({'decode_head': Head([1, 2], in_index=[0, 1])}, r'^decode_head Head takes maps of \[1, 2\] channels, but the '
         r'backbone Backbone gives \[8, 16\]: set model.decode_head.in_channels accordingly$'),
        ({'decode_head': Head(8, in_index=1)}, 'takes maps of 8 channels, but the backbone Backbone gives 16'),
        ({'decode_head': Head(25, in_index=[0, 1])}, r'takes maps of 25 channels, .* gives \[8, 16\]'),
        ({'decode_head': Head([8, 16], in_index=[0, 2])}, r'in_index=\[0, 2\], but the backbone Backbone gives 2,'),
        ({'decode_head': Head(8, in_index=0),
          'auxiliary_head': nn.ModuleList([Head(16, in_index=1), Head(3, in_index=0)])},
         r'^auxiliary_head\[1\] Head takes maps of 3 channels, but .* gives 8'),
        ({'neck': Neck([8, 15])}, r'^neck Neck takes maps of \[8, 15\] .* gives \[8, 16\]'),
        ({'neck': Neck([8, 16, 32])}, r'^neck Neck takes maps of \[8, 16, 32\] .* gives \[8, 16\]'),
        ({'neck': Neck([8, 16]), 'bbox_head': Head(8)},
         r'^bbox_head Head takes maps of 8 .* the neck Neck gives \[4, 4\]'),
        ({'neck': Neck([8, 16]), 'rpn_head': Head(4), 'decode_head': Head([8, 16], in_index=[0, 1])},
         r'^decode_head .* the neck Neck gives \[4, 4\]'),
        ({'neck': Neck([8, 16]), 'roi_head': RoIHead(bbox_head=nn.ModuleList([Head(4), Head(5)]))},
         r'^roi_head.bbox_head\[1\] Head takes maps of 5 .* the neck Neck gives \[4, 4\]'),
    ],
)  # fmt: skip
def test_a_misfit_is_named(parts, message, error):
    with pytest.raises(ValueError, match=message) as caught:
        fail(error, **parts)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    'parts',
    [
        {'decode_head': Head([8, 16], in_index=[0, 1]), 'auxiliary_head': Head(24, in_index=[0, 1])},
        {'neck': Neck([8, 16]), 'rpn_head': Head(4), 'bbox_head': Head([4, 4]), 'roi_head': Head(99)},
        {'neck': Neck([8, 16]), 'roi_head': RoIHead(bbox_head=Head(4), mask_head=Head(4))},
        {'neck': Neck([8, 16]), 'roi_head': RoIHead(shared_head=ResLayer(), bbox_head=Head(8))},
        {'decode_head': Head(16, in_index=-1)},
        {'neck': Neck([8, 16]), 'bbox_head': nn.Conv2d(4, 4, 1)},
        {'backbone': nn.Linear(7, 7), 'decode_head': Head(9, in_index=0)},
    ],
)
def test_other_errors_pass(parts):
    error = RuntimeError('out of memory')
    with pytest.raises(RuntimeError, match='out of memory') as caught:
        fail(error, **parts)
    assert caught.value is error
    with misfits_named(nn.Module()):
        torch.zeros(1)
