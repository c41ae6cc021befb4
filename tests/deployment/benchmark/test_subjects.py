import numpy as np
import pytest
import torch
from torch import nn

from projects.deployment.benchmark.networks import TensorsOut
from projects.deployment.benchmark.subjects import (
    MEAN,
    STD,
    Subject,
    benchmark_pixels,
    network_subject,
    open_subject,
    settle_batch_norms,
)
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms


class Small(nn.Module):
    """A convolution of 8 channels and its norm, which starts at 0, and a classifier."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 5)
        nn.init.zeros_(self.norm.weight)

    def forward(self, images):
        maps = self.norm(self.convolution(images))
        return {'classes': self.classifier(maps.mean((2, 3))), 'maps': [maps]}


@pytest.fixture
def subject():
    return network_subject('small', TensorsOut(Small()), (32, 48), fold_batch_norms)


def test_all_models_see_the_same_pixels(subject):
    pixels = benchmark_pixels(2, (32, 48))
    assert pixels.shape == (2, 32, 48, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 30
    assert not np.array_equal(pixels[0], pixels[1])
    whole_graph = Subject('graph', (32, 48), takes_pixels=True)
    assert np.array_equal(whole_graph.images(2), pixels)
    images = subject.images(2)
    assert images.shape == (2, 3, 32, 48)
    assert images.flags['C_CONTIGUOUS']
    restored = images.transpose(0, 2, 3, 1) * STD + MEAN
    assert np.allclose(restored, pixels, atol=1e-3)


def test_parameters_and_macs_by_hand(subject):
    assert subject.params == 3 * 8 * 9 + 2 * 8 + 8 * 5 + 5
    assert subject.macs == 3 * 8 * 9 * 16 * 24 + 8 * 5


def test_a_published_network_is_counted_as_published():
    subject = open_subject('timm:shvit_s1', (224, 224))
    assert subject.name == 'shvit_s1'
    assert subject.params == pytest.approx(6.33e6, rel=1e-3)
    assert subject.macs == pytest.approx(241e6, rel=2e-3)  # SHViT, its table of models


def test_activations_neither_vanish_nor_explode(subject):
    images = torch.from_numpy(subject.images(2))
    maps = subject.network(images)[1]
    assert maps.mean((0, 2, 3)) == pytest.approx(0, abs=1e-4)
    assert maps.std((0, 2, 3), unbiased=False) == pytest.approx(1, abs=1e-2)
    assert not subject.network.network.norm.training
    assert subject.network.network.norm.momentum == 0.1


def test_scales_that_were_trained_are_left_alone():
    network = Small()
    nn.init.constant_(network.norm.weight, 3.0)
    settle_batch_norms(network, torch.rand(1, 3, 8, 8))
    assert (network.norm.weight == 3).all()


def test_the_fused_network_predicts_the_same_without_norms(subject):
    fused, images = subject.fused(), torch.from_numpy(subject.images(1))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in subject.network.modules())
    for ours, theirs in zip(fused(images), subject.network(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert subject.fused() is fused


def test_a_backbone_folds_its_own_norms():
    subject = open_subject('backbone:SHViT/s1', (64, 64), fold_batch_norms)
    images = torch.from_numpy(subject.images(1))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in subject.fused().modules())
    ours, theirs = subject.fused()(images), subject.network(images)
    assert len(ours) == len(theirs) == 3
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=1e-3, atol=1e-3)


def test_a_token_mixer_has_as_many_tokens_as_pixels():
    subject = open_subject('mixer:softmax/32', (8, 16), fold_batch_norms)
    (mixed,) = subject.network(torch.from_numpy(subject.images(1)))
    assert mixed.shape == (1, 32, 8, 16)
    tokens = 8 * 16
    assert subject.macs == 3 * 32 * tokens + 4 * 32**2 * tokens + 2 * 32 * tokens**2


def test_a_torchvision_segmentor_gives_its_maps():
    subject = open_subject('torchvision:lraspp_mobilenet_v3_large', (64, 96))
    (maps,) = subject.network(torch.from_numpy(subject.images(1)))
    assert maps.shape == (1, 21, 64, 96)


def test_a_config_becomes_a_graph_from_pixels_to_labels():
    subject = open_subject('configs/efficientvit_mit_b0_seg_cityscapes.py', (64, 96))
    (labels,) = subject.network(torch.from_numpy(subject.images(2)))
    assert labels.shape == (2, 64, 96)
    assert (subject.name, subject.takes_pixels) == ('efficientvit_mit_b0_seg_cityscapes', True)
    assert subject.params == pytest.approx(0.71e6, rel=0.01)
    assert subject.macs == pytest.approx(4.39e9 * 64 * 96 / 1024 / 2048, rel=0.02)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('shvit_s1', "'shvit_s1' is no model; expected a config"),
        ('timm:', 'is no model'),
        ('keras:resnet', 'is no model'),
        ('timm:shvit_s9', "no model 'shvit_s9'"),
        ('torchvision:shvit_s1', "torchvision has no model 'shvit_s1'; it has alexnet"),
        ('backbone:NoViT/s1', "no backbone 'NoViT' is registered"),
        ('mixer:softmax', 'expected mixer:NAME/CHANNELS'),
        ('mixer:softmaks/32', "no token mixer 'softmaks'"),
    ],
)
def test_what_is_no_model_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        open_subject(text, (64, 64))


@pytest.mark.parametrize(
    'text', ['missing.onnx', 'missing.xml', 'configs/missing.py', 'configs/shvit_fpn_ade20k.py@no.pth']
)
def test_a_missing_file_is_named(text):
    with pytest.raises(FileNotFoundError, match=r'missing|no\.pth'):
        open_subject(text, (64, 64))
