from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.nn import functional as F

import projects.efficient_models
import projects.training  # noqa: F401 (registers the heads of the configs)
from projects.deployment.model_table.complexity import count_complexity
from projects.deployment.model_table.published_figures import MAX_MACS_DEVIATION, MAX_PARAMS_DEVIATION, deviates
from projects.deployment.multiply_adds import count_macs
from projects.efficient_models.backbones import EfficientViTMSRA

ROOT = Path(__file__).parents[3]


def build(scope, **model):
    with DefaultScope.overwrite_default_scope(scope), torch.device('meta'):
        model = MODELS.build(model)
    return model.to_empty(device='cpu')


def segmentor(backbone, **head):
    return build('mmseg', type='EncoderDecoder', backbone=backbone, decode_head=head, test_cfg={'mode': 'whole'})


def classifier_of(channels, num_classes):
    """mmseg's smallest head: a 1x1 convolution with bias."""
    return {
        'type': 'FCNHead',
        'in_channels': channels,
        'channels': channels,
        'in_index': 0,
        'num_convs': 0,
        'kernel_size': 1,
        'concat_input': False,
        'num_classes': num_classes,
    }


def mask_rcnn(backbone, in_channels, neck='FPN', **neck_options):
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/maskrcnn.py').model
    cfg.backbone = backbone
    cfg.neck = dict(type=neck, in_channels=in_channels, out_channels=256, num_outs=5, **neck_options)
    return cfg


class Toy(nn.Module):
    """Each kind of operation once, on maps of 8x4 = 32 positions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.up = nn.ConvTranspose2d(16, 16, 2, stride=2)
        self.linear = nn.Linear(16, 48)

    def forward(self, images):
        x = F.relu(self.norm(self.conv(images)))
        x = self.up(self.depthwise(x))[:, :, ::2, ::2]
        query, key, value = self.linear(x.flatten(2).mT).unflatten(2, (6, 8)).transpose(1, 2).chunk(3, 1)
        attended = F.scaled_dot_product_attention(query, key, value)  # 2 heads of 8 channels
        weights = attended @ attended.mT
        return [F.interpolate((x.flatten(2) @ weights.mean(1)).view_as(x), scale_factor=2)]


def test_counted_model_computes_as_before():
    """Nothing that a network keeps from one image to the next is kept of the tensors without data."""
    model = segmentor({'type': 'EfficientViTMSRA', 'arch': 'm0'}, **classifier_of(64, 5))
    backbone = model.backbone = EfficientViTMSRA('m0').eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith('attention_biases'):
                nn.init.normal_(parameter)
        expected = backbone(images)
        count_complexity(model.train(), (64, 64))
        torch.testing.assert_close(backbone(images), expected, rtol=0, atol=0)


def test_every_operation_is_counted_by_hand():
    model = segmentor({'type': 'SHViT', 'arch': 's1'}, **classifier_of(16, 5))
    model.backbone = Toy()
    found = count_complexity(model, (16, 8))
    convolution = 3 * 16 * 3 * 3 * 32
    depthwise = 16 * 5 * 5 * 32
    transposed = 16 * 16 * 2 * 2 * 32
    linear = 16 * 48 * 32
    attention = 2 * 2 * 32 * 32 * 8  # two products for each of two heads
    products = 2 * 32 * 8 * 32 + 16 * 32 * 32
    assert found.backbone_macs.attention == attention + products
    assert found.backbone_macs.total == convolution + depthwise + transposed + linear + attention + products
    assert found.macs.attention == attention + products
    assert found.macs.total - found.backbone_macs.total == 16 * 5 * 16 * 8
    assert found.backbone_params == 3 * 16 * 9 + 2 * 16 + 16 * 26 + 16 * 16 * 4 + 16 + 16 * 48 + 48
    assert found.params - found.backbone_params == 16 * 5 + 5


def test_the_count_is_that_of_a_real_forward():
    head = {'head_width': 16, 'head_depth': 1, 'expand_ratio': 2, 'num_classes': 4}
    backbone = {'type': 'EfficientViTMIT', 'arch': 'b0'}
    model = segmentor(backbone, type='EfficientViTHead', in_channels=[32, 64, 128], in_index=[1, 2, 3], **head)
    for value in (*model.parameters(), *model.buffers()):
        value.data.fill_(1)
    found = count_complexity(model, (96, 160))
    with torch.no_grad():
        _, macs = count_macs(lambda images: model(images, mode='tensor'), torch.ones(1, 3, 96, 160))
    assert found.macs == macs
    assert not model.training


def test_heads_of_training_alone_are_left_out():
    auxiliary = {'type': 'FCNHead', 'in_channels': 224, 'in_index': 1, 'channels': 8, 'num_classes': 3}
    model = {
        'type': 'EncoderDecoder',
        'backbone': {'type': 'SHViT', 'arch': 's1'},
        'decode_head': classifier_of(128, 3),
        'test_cfg': {'mode': 'whole'},
    }
    with_auxiliary, without = build('mmseg', **model, auxiliary_head=auxiliary), build('mmseg', **model)
    with_auxiliary.backbone = without.backbone = Maps()
    assert count_complexity(with_auxiliary, (64, 64)) == count_complexity(without, (64, 64))


class Maps(nn.Module):
    """A backbone that computes nothing: maps of the channels and strides of SHViT-S1."""

    def forward(self, images):
        return [
            images.new_empty(1, channels, *(side // stride for side in images.shape[2:])) for channels, stride in MAPS
        ]


MAPS = [(128, 16), (224, 32), (320, 64)]


def test_a_two_stage_detector_has_all_its_proposals_and_masks():
    channels = [128, 224, 320]
    model = build('mmdet', **mask_rcnn({'type': 'SHViT', 'arch': 's1'}, channels, 'UpsamplingFPN', num_upsamples=2))
    model.backbone = Maps()

    def macs():
        found = count_complexity(model, (64, 64))
        assert found.backbone_macs.total == 0
        return found.macs.total

    with_all = macs()
    box = 256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)
    mask = 4 * 256 * 256 * 9 * 14 * 14 + 256 * 256 * 4 * 14 * 14 + 256 * 80 * 28 * 28
    model.test_cfg.rpn.max_per_img = 0
    without_boxes = macs()
    assert with_all - without_boxes == 1000 * box
    model.test_cfg.rcnn.max_per_img = 0
    assert without_boxes - macs() == 100 * mask
    # what is left is computed for 64x64 pixels: pyramid and RPN
    cells = [16 * 16, 8 * 8, 4 * 4, 2 * 2, 1]
    laterals = sum(channels * 256 * n for channels, n in zip((128, 224, 320), cells[2:], strict=True))
    upsampling = 256 * 256 * 4 * (cells[1] + cells[2])
    outputs = 256 * 256 * 9 * sum(cells)
    rpn = (256 * 256 * 9 + 256 * 15) * sum(cells)
    assert macs() == laterals + upsampling + outputs + rpn


def test_a_one_stage_detector_ends_with_its_dense_head():
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/retinanet.py').model
    cfg.backbone = {'type': 'SHViT', 'arch': 's1'}
    cfg.neck = {'type': 'FPN', 'in_channels': [128, 224, 320], 'out_channels': 256, 'num_outs': 3}
    model = build('mmdet', **cfg)
    model.backbone = Maps()
    found = count_complexity(model, (128, 64))
    cells = [8 * 4, 4 * 2, 2 * 1]
    neck = sum((channels + 9 * 256) * 256 * n for channels, n in zip((128, 224, 320), cells, strict=True))
    head = (8 * 256 * 256 + 256 * 9 * (80 + 4)) * 9 * sum(cells)
    assert found.macs.total - found.backbone_macs.total == neck + head


def test_other_models_are_refused():
    with pytest.raises(ValueError, match='Linear cannot be counted; expected an EncoderDecoder'):
        count_complexity(nn.Linear(1, 1), (32, 32))


@pytest.mark.parametrize(
    ('backbone', 'arch', 'size', 'printed'),
    [  # of SHViT's paper; of EfficientMod's code by fvcore, which leaves the products of attention out
        ('SHViT', 's1', 224, '0.241'),
        ('SHViT', 's2', 224, '0.366'),
        ('SHViT', 's3', 224, '0.601'),
        ('SHViT', 's4', 256, '0.986'),
        ('EfficientMod', 'xxs', 224, '0.56'),
        ('EfficientMod', 'xs', 224, '0.72'),
    ],
)
def test_backbones_have_the_published_macs(backbone, arch, size, printed):
    model = segmentor({'type': backbone, 'arch': arch}, **classifier_of(8, 3))
    model.decode_head = nn.Identity()
    macs = count_complexity(model, (size, size)).backbone_macs
    counted = macs.total - macs.attention if backbone == 'EfficientMod' else macs.total
    assert not deviates(counted / 1e9, printed, 0.01)


@pytest.mark.parametrize(('arch', 'channels'), [('s', [32, 64, 144, 312]), ('s_conv', [40, 80, 160, 344])])
def test_efficientmod_has_the_published_size(arch, channels):
    backbone = {'type': 'EfficientMod', 'arch': arch}
    neck = {'type': 'FPN', 'in_channels': channels, 'out_channels': 256, 'num_outs': 4}
    head = {
        'type': 'FPNHead',
        'in_channels': [256] * 4,
        'in_index': [0, 1, 2, 3],
        'feature_strides': [4, 8, 16, 32],
        'channels': 128,
        'num_classes': 150,
        'norm_cfg': {'type': 'BN'},
    }
    model = build('mmseg', type='EncoderDecoder', backbone=backbone, neck=neck, decode_head=head, test_cfg={})
    found = count_complexity(model, (512, 512))
    printed = {'s': '28.1', 's_conv': '29.0'}[arch]
    assert not deviates(found.params / 1e6, '16.7', 0)
    assert not deviates((found.macs.total - found.macs.attention) / 1e9, printed, 0.005)
    # 4 blocks for 32x32 and for 16x16 positions, 256 and 312 channels, two products each
    attention = 4 * 2 * (1024**2 * 256 + 256**2 * 312)
    assert found.macs.attention == {'s': attention, 's_conv': 0}[arch]

    detector = build('mmdet', **mask_rcnn(backbone, channels))
    assert not deviates(sum(parameter.numel() for parameter in detector.parameters()) / 1e6, '32.6', 0)


CITYSCAPES, ADE20K = ((1024, 2048), 19), ((512, 512), 150)
L_CITYSCAPES = {'head_width': 256, 'head_depth': 5, 'expand_ratio': 1, 'block': 'fmbconv', 'act': 'gelu'}
L_ADE20K = {'head_width': 128, 'head_depth': 3, 'block': 'fmbconv', 'act': 'gelu', 'final_expand': 8}


@pytest.mark.parametrize(
    ('arch', 'data', 'head', 'params', 'macs'),
    [  # of the authors' README, each kind of head once; CI counts all configs, in `tools/model_table.py --check`
        ('b0', CITYSCAPES, {'head_width': 32, 'head_depth': 1, 'final_expand': 4}, '0.7', '4.4'),
        ('l2', CITYSCAPES, L_CITYSCAPES, '53', '396'),
        ('b3', ADE20K, {'head_width': 128, 'head_depth': 3}, '39', '22'),
        ('l1', ADE20K, L_ADE20K, '40', '36'),
    ],
)
def test_efficientvit_mit_has_the_published_size(arch, data, head, params, macs):
    image_size, num_classes = data
    backbone = {'type': 'EfficientViTMIT', 'arch': arch}
    channels = list(MODELS.get('EfficientViTMIT').archs[arch].dims[2:])
    head = dict(head, type='EfficientViTHead', in_channels=channels, in_index=[1, 2, 3], num_classes=num_classes)
    found = count_complexity(segmentor(backbone, **head), image_size)
    assert not deviates(found.params / 1e6, params, MAX_PARAMS_DEVIATION)
    assert not deviates(found.macs.total / 1e9, macs, MAX_MACS_DEVIATION)
