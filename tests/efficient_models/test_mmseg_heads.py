"""mmseg's own decode heads over the backbones: a training step and inference, at a size that no stride divides."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from projects.efficient_models.backbones import EfficientMod, EfficientViTMIT, SHViT

NUM_CLASSES = 5
BACKBONES = {
    'SHViT': (SHViT, {'arch': 's1', 'out_indices': (1, 2, 3, 4, 5)}),  # strides 4 to 64
    'EfficientMod': (EfficientMod, {'arch': 'xxs'}),
    'EfficientViTMIT': (EfficientViTMIT, {'arch': 'b0'}),
}
TEST_CFGS = [{'mode': 'whole'}, {'mode': 'slide', 'crop_size': (64, 64), 'stride': (48, 48)}]
NORM = {'type': 'BN', 'requires_grad': True}


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')


def semantic_fpn(backbone, neck):
    """Neck of the named package, and head."""
    levels = len(backbone.strides)
    return (
        {'type': neck, 'in_channels': list(backbone.out_channels), 'out_channels': 16, 'num_outs': levels},
        {
            'type': 'FPNHead',
            'in_channels': [16] * levels,
            'in_index': list(range(levels)),
            'feature_strides': list(backbone.strides),
            'channels': 16,
            'num_classes': NUM_CLASSES,
            'norm_cfg': NORM,
        },
    )


def on_all_levels(backbone, head, **options):
    levels = len(backbone.strides)
    return None, dict(
        type=head,
        in_channels=list(backbone.out_channels),
        in_index=list(range(levels)),
        channels=16,
        num_classes=NUM_CLASSES,
        norm_cfg=NORM,
        **options,
    )


HEADS = {
    'FPNHead, mmdet neck': lambda backbone: semantic_fpn(backbone, 'mmdet.FPN'),
    'FPNHead, mmseg neck': lambda backbone: semantic_fpn(backbone, 'mmseg.FPN'),
    'UPerHead': lambda backbone: on_all_levels(backbone, 'UPerHead', pool_scales=(1, 2, 3, 6)),
    'SegformerHead': lambda backbone: on_all_levels(backbone, 'SegformerHead'),
}


def segmentor(name, head):
    network, options = BACKBONES[name]
    neck, decode_head = HEADS[head](network(**options))
    return MODELS.build(
        ConfigDict(
            type='mmseg.EncoderDecoder',
            data_preprocessor={'type': 'mmseg.SegDataPreProcessor'},
            backbone=dict(type=name, **options),
            neck=neck,
            decode_head=decode_head,
            test_cfg={'mode': 'whole'},
        )
    )


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('name', BACKBONES)
def test_training_step(name, head):
    """Every weight of neck and head has a gradient, and so do the backbone's of each level."""
    model = segmentor(name, head)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, NUM_CLASSES, (1, 97, 131)))) for _ in range(2)]
    loss, log = model.parse_losses(model.loss(torch.randn(2, 3, 97, 131), samples))
    loss.backward()
    assert log['decode.loss_ce'].isfinite()
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert any(parameter.grad.any() for parameter in model.backbone.patch_embed.parameters())


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('test_cfg', TEST_CFGS, ids=lambda test_cfg: test_cfg['mode'])
def test_inference(name, head, test_cfg):
    model = segmentor(name, head).eval()
    model.test_cfg = ConfigDict(test_cfg)
    image = torch.randn(1, 3, 97, 131)
    with torch.inference_mode():
        (sample,) = model(image, mode='predict')
        logits = model(image, mode='tensor')
    stride = model.backbone.strides[0]
    assert logits.shape == (1, NUM_CLASSES, -(-97 // stride), -(-131 // stride))
    assert sample.seg_logits.data.shape == (NUM_CLASSES, 97, 131)
    assert torch.equal(sample.pred_sem_seg.data, sample.seg_logits.data.argmax(0, keepdim=True))
