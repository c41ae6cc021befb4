"""Necks and heads read channels and strides from what feeds them, in any program that builds a network."""

import re

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmseg.registry import MODELS as MMSEG_MODELS

import projects.building_extraction.datasets
import projects.building_extraction.evaluation
import projects.building_extraction.knowledge_transfer
import projects.efficient_models  # noqa: F401
from projects.training.config import ROOT, load_config
from projects.training.levels import read_levels

LEAVES = sorted((ROOT / 'configs').glob('*.py')) + sorted((ROOT / 'configs' / 'buildings').glob('shvit_*.py'))
PYRAMID = ([256] * 4, [4, 8, 16, 32])
SHVIT_S4 = [28, 56, 112, 224, 336, 448]  # at strides 2 to 64
NUMBERS = {  # neck.in_channels, then in_channels and strides of the head, as the configs once had them written out
    'shvit_maskrcnn_coco': ([224, 336, 448], 256, None),
    'shvit_s3_maskrcnn_coco': ([192, 352, 448], 256, None),
    'shvit_stem_maskrcnn_coco': (SHVIT_S4[1:], 256, None),
    'shvit_fpn_ade20k': (SHVIT_S4[1:], [256] * 5, [4, 8, 16, 32, 64]),
    'shvit_segformer_ade20k': (None, SHVIT_S4[1:], None),
    'shvit_bridge_segformer_ade20k': (SHVIT_S4[2:], SHVIT_S4[2:], None),
    'shvit_upernet_ade20k': (None, SHVIT_S4[1:], None),
    'shvit_unet_cityscapes': (None, SHVIT_S4, [2, 4, 8, 16, 32, 64]),
    'efficientvit_msra_m4_fpn_cityscapes': ([32, 64, 128, 256, 384], [256] * 5, [4, 8, 16, 32, 64]),
    'efficientvit_mit_b1_rtmdet_coco': ([64, 128, 256], 128, None),
    'efficientvit_mit_b2_seg_ade20k': (None, [96, 192, 384], None),
    'efficientvit_mit_b2_retinanet_coco': ([48, 96, 192, 384], 256, None),
    'efficientmod_s_conv_fpn_ade20k': ([40, 80, 160, 344], *PYRAMID),
    'turbovit_fpn_cityscapes': ([64, 128, 256, 512], *PYRAMID),
    'mobilenetv3_fpn_ade20k': ([24, 40, 112, 960], *PYRAMID),
    'resnet50_maskrcnn_coco': ([256, 512, 1024, 2048], 256, None),
    'buildings/shvit_maskrcnn_scenes': ([224, 336, 448], 256, None),
    'buildings/shvit_unet_scenes_dml': (None, SHVIT_S4, [2, 4, 8, 16, 32, 64]),
}
SHVIT = {'type': 'SHViT', 'arch': 's1'}
FPN = {'type': 'FPN', 'in_channels': 'backbone', 'out_channels': 48, 'num_outs': 5}


def read(scope='mmseg', backbone=SHVIT, **parts):
    with DefaultScope.overwrite_default_scope(scope):
        return read_levels({'type': 'EncoderDecoder', 'backbone': backbone, **parts})


@pytest.mark.parametrize('name', NUMBERS)
def test_a_leaf_has_the_numbers_of_its_backbone(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py', import_custom_modules=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = read_levels(cfg.model)
    head = model.get('rpn_head') or model.get('bbox_head') or model.decode_head
    neck = model.neck.in_channels if model.get('neck') else None
    assert (neck, head.in_channels, head.get('strides', head.get('feature_strides'))) == NUMBERS[name]
    if 'auxiliary_head' in model:
        assert model.auxiliary_head.in_channels == 224


def test_no_leaf_writes_channels_or_strides():
    for path in LEAVES:
        assert not re.search(r'\b(in_channels|strides|feature_strides)=[^\']', path.read_text()), path


def test_a_head_reads_the_maps_that_it_takes():
    heads = [
        {'type': 'FCNHead', 'in_channels': 'backbone'},  # the last, by default
        {'type': 'FCNHead', 'in_channels': 'backbone', 'in_index': 0},
        {'type': 'FCNHead', 'in_channels': 'backbone', 'in_index': [0, 2], 'input_transform': 'resize_concat'},
        {'type': 'SMPHead', 'in_channels': 'backbone', 'strides': 'backbone'},  # all, by default
        {'type': 'SMPHead', 'in_channels': 'backbone', 'strides': 'backbone', 'in_index': [1, 2]},
    ]
    cfg = read(auxiliary_head=heads)
    assert [head['in_channels'] for head in cfg['auxiliary_head']] == [
        320,
        128,
        [128, 320],
        [128, 224, 320],
        [224, 320],
    ]
    assert [head.get('strides') for head in cfg['auxiliary_head'][3:]] == [[16, 32, 64], [32, 64]]
    assert heads[0] == {'type': 'FCNHead', 'in_channels': 'backbone'}  # a copy has the numbers


def test_a_head_behind_a_neck_reads_what_that_gives():
    neck = {**FPN, 'type': 'UpsamplingFPN', 'num_upsamples': 2}
    anchors = {'type': 'AnchorGenerator', 'strides': 'neck'}
    rpn_head = {'type': 'RPNHead', 'in_channels': 'neck', 'anchor_generator': anchors}
    roi_head = {'type': 'StandardRoIHead', 'mask_head': {'type': 'FCNMaskHead', 'in_channels': 'neck'}}
    cfg = read('mmdet', type='MaskRCNN', roi_head=roi_head, rpn_head=rpn_head, neck=neck)
    assert cfg['neck']['in_channels'] == [128, 224, 320]
    assert cfg['rpn_head']['in_channels'] == cfg['roi_head']['mask_head']['in_channels'] == 48
    assert cfg['rpn_head']['anchor_generator']['strides'] == [4, 8, 16, 32, 64]
    cfg = read('mmdet', neck=[FPN, {'type': 'mmdet.ChannelMapper', 'in_channels': [48] * 5, 'out_channels': 24}])
    assert cfg['neck'][0]['in_channels'] == [128, 224, 320]


def test_networks_of_openmmlab_are_measured():
    resnet = {'type': 'mmdet.ResNet', 'depth': 50, 'init_cfg': {'type': 'Pretrained', 'checkpoint': 'nowhere'}}
    ssd = {'type': 'SSDHead', 'in_channels': 'backbone'}  # takes a number for each map
    assert read('mmdet', resnet, bbox_head=ssd)['bbox_head']['in_channels'] == [256, 512, 1024, 2048]
    last = {**resnet, 'out_indices': (2,)}
    assert (
        read('mmdet', last, rpn_head={'type': 'RPNHead', 'in_channels': 'backbone'})['rpn_head']['in_channels'] == 1024
    )


def test_networks_in_a_network_read_from_their_own_backbone():
    head = {'type': 'SMPHead', 'in_channels': 'backbone', 'strides': 'backbone'}
    peer = {'backbone': {**SHVIT, 'arch': 's4'}, 'decode_head': head}
    cfg = read(type='MutualLearningSegmentor', peer=peer, decode_head=head)
    assert cfg['decode_head']['in_channels'] == [128, 224, 320]
    assert cfg['peer']['decode_head']['in_channels'] == [224, 336, 448]
    assert read_levels({'type': 'SegTTAModel', 'module': cfg})['module'] == cfg


def test_numbers_stay_and_no_random_number_is_drawn():
    cfg = {'type': 'EncoderDecoder', 'backbone': SHVIT, 'neck': {**FPN, 'in_channels': [1, 2]}}
    assert read_levels(cfg) is cfg
    state = torch.get_rng_state()
    read(
        neck=FPN, decode_head={'type': 'FPNHead', 'in_channels': 'neck', 'in_index': [0, 1], 'feature_strides': 'neck'}
    )
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        ({'decode_head': {'type': 'FCNHead', 'in_channels': 'neck'}},
         r"^model.decode_head.in_channels='neck', but it is fed by the backbone SHViT: set 'backbone'$"),
        ({'neck': FPN, 'decode_head': {'type': 'FCNHead', 'in_channels': 'backbone'}},
         r"^model.decode_head.in_channels='backbone', but it is fed by the neck FPN: set 'neck'$"),
        ({'neck': {**FPN, 'in_channels': 'neck'}}, r"^model.neck.in_channels='neck', but .* backbone SHViT: set 'back"),
        ({'neck': {**FPN, 'in_channels': 'bakbone'}},
         r"^model.neck.in_channels='bakbone': expected 'backbone', which feeds it, or numbers$"),
        ({'neck': [FPN, FPN]}, r"^model.neck.1.in_channels='backbone', but it is fed by the neck before it: set"),
        ({'decode_head': {'type': 'FCNHead', 'in_channels': 'backbone', 'in_index': 3}},
         r'^model.decode_head asks for the maps in_index=3, but the backbone SHViT gives 3, numbered from 0$'),
        ({'rpn_head': {'type': 'mmdet.RPNHead', 'in_channels': 'backbone'}},
         r"^model.rpn_head.in_channels='backbone': one number for all maps, but .* gives \[128, 224, 320\]$"),
        ({'neck': {**FPN, 'in_channels': [1, 2, 3]}, 'decode_head': {'type': 'FCNHead', 'in_channels': 'neck'}},
         r"^model.decode_head.in_channels='neck': the neck FPN cannot tell: RuntimeError: .* Set numbers$"),
        ({'backbone': {**SHVIT, 'arch': 's9'}, 'neck': FPN}, "SHViT has no arch 's9'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        read(**parts)


@pytest.mark.parametrize('registry', [MODELS, MMDET_MODELS, MMSEG_MODELS], ids=lambda registry: registry.scope)
def test_every_registry_builds_networks_so(registry):
    scope = 'mmdet' if registry is MMDET_MODELS else 'mmseg'
    head = {'type': 'FCNHead', 'in_channels': 'backbone', 'channels': 8, 'num_classes': 2}
    bbox_head = {'type': 'RetinaHead', 'in_channels': 'neck', 'num_classes': 2, 'feat_channels': 8}
    parts = {'decode_head': head} if scope == 'mmseg' else {'neck': FPN, 'bbox_head': bbox_head}
    with DefaultScope.overwrite_default_scope(scope):
        model = registry.build(
            {'type': 'EncoderDecoder' if scope == 'mmseg' else 'RetinaNet', 'backbone': SHVIT, **parts}
        )
        with pytest.raises(ValueError, match=r"is to read \['in_channels'\], but has no backbone beside it"):
            registry.build(head)
    assert model.decode_head.in_channels == 320 if scope == 'mmseg' else model.bbox_head.in_channels == 48


def test_an_option_that_changes_the_backbone_changes_the_heads_and_a_kept_config_does_too(tmp_path):
    cfg = load_config('configs/buildings/shvit_unet_scenes_student.py', {'model.backbone.arch': 's1'})
    cfg.dump(tmp_path / 'kept.py')
    for model in (cfg.model, Config.fromfile(tmp_path / 'kept.py').model):
        model.backbone.pretrained = False
        with DefaultScope.overwrite_default_scope('mmseg'):
            assert MODELS.build(model).decode_head.in_channels == [16, 32, 64, 128, 224, 320]
