"""TimmBackbone beside timm itself, for each family of efficient networks."""

import copy
import itertools
import math
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import timm
import torch
from mmengine.model import convert_sync_batchnorm
from mmengine.runner.checkpoint import get_state_dict
from timm.layers.norm_act import SyncBatchNormAct
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from projects.efficient_models.backbones import EfficientViTMIT, TimmBackbone
from projects.efficient_models.backbones.timm_any_size import accept_any_size
from projects.efficient_models.backbones.timm_levels import find_levels, find_properties
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms


class Family(NamedTuple):
    arch: str
    size: tuple[int, int]  # at which timm's maps have the right size
    remaining_norms: int = 0  # that follow something else than a convolution


FAMILIES = [
    Family('mobilevit_xxs', (65, 97)),
    Family('mobilevitv2_050', (64, 128)),
    Family('efficientformer_l1', (224, 224)),
    Family('efficientformerv2_s0', (224, 224)),
    Family('fastvit_t8', (65, 97)),
    Family('repvit_m0_9', (65, 97)),
    Family('efficientnet_b0', (65, 97)),
    Family('efficientnet_lite0', (65, 97)),
    Family('tf_efficientnetv2_b0', (65, 97)),
    Family('mobilenetv3_small_050', (65, 97)),
    Family('resnest14d', (65, 97)),
    Family('mobileone_s0', (65, 97)),
    Family('swiftformer_xs', (65, 97), remaining_norms=4),
    Family('tiny_vit_5m_224', (65, 97)),
    Family('starnet_s1', (65, 97)),
    Family('pvt_v2_b0', (65, 97)),
    Family('xcit_nano_12_p16_224', (65, 97), remaining_norms=12),
    Family('resnet18', (65, 97)),
    Family('focalnet_tiny_srf', (64, 96)),
    Family('hiera_tiny_224', (224, 224)),
    Family('hiera_small_abswin_256', (256, 256)),
]
every_family = pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.arch)
every_whole = pytest.mark.parametrize('whole', FAMILIES, ids=lambda family: family.arch, indirect=True)
TABLES = ('attention_biases', 'pos_embed')  # by position
WITH_TABLES = ['efficientformer_l1', 'efficientformerv2_s0', 'hiera_tiny_224', 'tiny_vit_5m_224', 'efficientvit_m0']


@cache
def classifier_without_memory(arch):
    with torch.device('meta'):
        return timm.create_model(arch)


def all_levels(arch):
    return TimmBackbone(arch, out_indices=range(len(classifier_without_memory(arch).feature_info)))


@pytest.fixture(scope='module')
def whole(request, randomize):
    """A family, and its network with all levels, in eval mode, which tests leave as it is."""
    torch.manual_seed(0)
    return request.param, randomize(all_levels(request.param.arch)).eval()


def batch_norms(module):
    return [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]


def relative_error(output, reference):
    return ((output - reference).abs().max() / reference.abs().max()).item()


# Levels and features


@every_whole
def test_levels_and_features_are_timms(whole):
    family, backbone = whole[0], copy.deepcopy(whole[1])
    features = timm.create_model(family.arch, features_only=True, out_indices=backbone.out_indices).eval()
    assert backbone.out_channels == tuple(features.feature_info.channels())
    assert backbone.strides == tuple(features.feature_info.reduction())

    with torch.no_grad():
        for name, parameter in features.named_parameters():
            if 'attention_biases' in name:
                nn.init.normal_(parameter)
    weights = {key.removeprefix('model.'): value for key, value in features.state_dict().items()}
    weights = {key: value for key, value in weights.items() if not key.startswith(backbone.classifier_prefixes)}
    backbone.load_state_dict(weights)  # under the names of features_only
    x = torch.randn(1, 3, *family.size)
    with torch.inference_mode():
        for output, expected in zip(backbone(x), features(x), strict=True):
            assert output.shape == expected.shape
            assert relative_error(output, expected) < 1e-5


@every_whole
def test_keys_are_those_of_the_classifier(whole):
    family, backbone = whole
    theirs = classifier_without_memory(family.arch).state_dict()
    own = backbone.state_dict()
    assert {key: value.shape for key, value in own.items()}.items() <= {k: v.shape for k, v in theirs.items()}.items()
    heads = {key.split('.')[0] for key in theirs.keys() - own.keys()}
    ends = {'head', 'head_dist', 'norm', 'fc', 'classifier', 'conv_head', 'bn2', 'final_conv'}
    assert heads <= ends | {'cls_token', 'cls_attn_blocks'}
    assert list(get_state_dict(backbone)) == list(own)  # mmengine's, with which runners save


@every_whole
@pytest.mark.parametrize('size', [(65, 97), (32, 32)], ids=str)
def test_maps_of_any_size(whole, size):
    _, backbone = whole
    with torch.inference_mode():
        outputs = backbone(torch.randn(1, 3, *size))
    for output, channels, stride in zip(outputs, backbone.out_channels, backbone.strides, strict=True):
        assert tuple(output.shape) == (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))


@every_family
def test_training(family):
    """Gradients reach all that is not frozen; frozen stages and batch norms keep their statistics."""
    backbone = TimmBackbone(family.arch, frozen_stages=1, norm_eval=True)
    before = copy.deepcopy(dict(backbone.named_buffers()))
    sum(output.square().mean() for output in backbone(torch.randn(2, 3, 65, 97))).backward()
    frozen, trained = backbone.stem_and_stages()[:2], backbone.stem_and_stages()[2:]
    assert sum(len(list(part.parameters())) for part in (*frozen, *trained)) == len(list(backbone.parameters()))
    assert not [parameter for part in frozen for parameter in part.parameters() if parameter.requires_grad]
    assert all(list(part.parameters()) for part in (*frozen, *trained))
    assert all(parameter.grad is not None for part in trained for parameter in part.parameters())
    assert all(torch.equal(before[name], buffer) for name, buffer in backbone.named_buffers())


@every_whole
def test_fused_network_is_equivalent(whole):
    family, backbone = whole[0], copy.deepcopy(whole[1]).double()
    x = torch.randn(1, 3, 65, 97).double()
    with torch.inference_mode():
        expected = backbone(x)
        fused = backbone.fuse().fuse()
        assert len(batch_norms(fused)) == family.remaining_norms
        for output, reference in zip(fused(x), expected, strict=True):
            assert relative_error(output, reference) < 1e-11


@pytest.mark.parametrize('arch', ['repvit_m0_9', 'xcit_nano_12_p16_224', 'hiera_tiny_224', 'resnet18'])
def test_checkpointing(arch, randomize):
    """The same gradients and statistics from fewer stored activations, whatever way timm checkpoints."""

    def stored_bytes(backbone):
        sizes = {}
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.setdefault(t.data_ptr(), t.nbytes) and t, id)
        with hooks:
            backbone(x)
        return sum(sizes.values())

    x = torch.randn(2, 3, 65, 97)
    plain = randomize(TimmBackbone(arch))
    checkpointed = TimmBackbone(arch, with_cp=True)
    checkpointed.load_state_dict(plain.state_dict())
    for backbone in (plain, checkpointed):
        sum(output.square().mean() for output in backbone(x)).backward()
    grads = [[parameter.grad for parameter in backbone.parameters()] for backbone in (plain, checkpointed)]
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(dict(plain.named_buffers()), dict(checkpointed.named_buffers()), rtol=0, atol=0)
    assert stored_bytes(checkpointed) < 0.5 * stored_bytes(plain)


@pytest.mark.parametrize('arch', ['mobilenetv3_small_050', 'resnet18'])
def test_norms_synchronized_over_gpus(arch, randomize):
    """mmengine replaces the batch norms; activations in them remain, and checkpointing counts no batch twice."""
    backbone = randomize(TimmBackbone(arch, with_cp=True, frozen_stages=0)).eval()
    x = torch.randn(2, 3, 65, 97)
    expected = backbone(x)
    synchronized = convert_sync_batchnorm(backbone).eval()
    assert {type(norm) for norm in batch_norms(synchronized)} <= {nn.SyncBatchNorm, SyncBatchNormAct}
    torch.testing.assert_close(synchronized(x), expected)
    frozen = batch_norms(synchronized.stem_and_stages()[0])
    counters = {norm: norm.num_batches_tracked.item() for norm in batch_norms(synchronized)}
    sum(output.square().mean() for output in synchronized.train()(x)).backward()
    assert all(norm.num_batches_tracked == counter + (norm not in frozen) for norm, counter in counters.items())


# Sizes that timm does not take


@pytest.mark.parametrize('arch', ['efficientformerv2_s0', 'hiera_tiny_224'])
def test_networks_built_for_another_size(arch, randomize):
    """timm's network for that size computes the same, where its table for that size holds the same values."""
    size = (96, 160)
    backbone = randomize(TimmBackbone(arch).eval())
    reference = timm.create_model(arch, img_size=size).eval()
    with torch.no_grad():
        for name, parameter in (*backbone.named_parameters(), *reference.named_parameters()):
            if name.endswith(TABLES):
                parameter.fill_(0.3)
    own = {key: value for key, value in backbone.state_dict().items() if not key.endswith(TABLES)}
    assert not reference.load_state_dict(own, strict=False).unexpected_keys
    x = torch.randn(1, 3, *size)
    with torch.inference_mode():
        for output, expected in zip(backbone(x), reference.forward_intermediates(x)[1], strict=True):
            assert relative_error(output, expected) < 1e-5


def test_biases_follow_the_distances():
    attention = timm.models.efficientformer_v2.Attention2d(dim=8, key_dim=4, num_heads=1, resolution=3)
    accept_any_size(attention)
    with torch.no_grad():
        table = torch.arange(9.0).view(3, 3)  # vertical distance * 3 + horizontal distance
        attention.attention_biases.copy_(table.flatten())
    rows, columns = 5, 3
    positions = list(itertools.product(range(rows), range(columns)))
    for stride in (1, 2):
        queries = [position for position in positions if not any(side % stride for side in position)]
        biases = attention.biases(rows, columns, stride)
        assert biases.shape == (1, len(queries), len(positions))
        resized = F.interpolate(table[None, None], (rows, columns), mode='bicubic', align_corners=True)[0, 0]
        for (i, query), (j, key) in itertools.product(enumerate(queries), enumerate(positions)):
            vertical, horizontal = (abs(q - k) for q, k in zip(query, key, strict=True))
            assert biases[0, i, j].item() == resized[vertical, horizontal].item()
            if vertical in (0, 2, 4):  # where an old distance lies
                assert biases[0, i, j].item() == pytest.approx(table[vertical // 2, horizontal].item())


@pytest.mark.parametrize('arch', WITH_TABLES)
def test_tables_follow_the_weights_and_learn(arch, randomize):
    """Nothing that is kept from one image to the next outlives a change of size or weights."""
    backbone = randomize(TimmBackbone(arch)).eval()
    fresh = TimmBackbone(arch).eval()
    small, wide = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 128)
    tables = [p for name, p in backbone.named_parameters() if name.endswith(TABLES)]
    with torch.no_grad():
        before = backbone(wide)[-1]
        backbone(small)
        torch.testing.assert_close(backbone(wide)[-1], before, rtol=0, atol=0)
        for table in tables:
            nn.init.normal_(table, std=10)
        after = backbone(wide)[-1]
        fresh.load_state_dict(backbone.state_dict())
        torch.testing.assert_close(after, fresh(wide)[-1], rtol=0, atol=0)
        assert not torch.equal(after, before)
    for _ in range(2):
        backbone(wide)[-1].square().mean().backward()
    assert all(table.grad.abs().max() > 0 for table in tables)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(backbone)(wide)[-1], after, rtol=0, atol=0)


@pytest.mark.parametrize('arch', WITH_TABLES)
def test_nothing_without_data_is_kept(arch, randomize):
    """After a run on shapes alone, images are computed as ever."""
    backbone = randomize(TimmBackbone(arch)).eval()
    x = torch.randn(1, 3, 64, 128)
    with torch.no_grad():
        for name, table in backbone.named_parameters():
            if name.endswith(TABLES):
                nn.init.normal_(table, std=10)
        copied = copy.deepcopy(backbone)
        with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
            backbone(torch.empty(1, 3, 64, 128))
        torch.testing.assert_close(backbone(x)[-1], copied(x)[-1], rtol=0, atol=0)


@pytest.mark.parametrize('arch', WITH_TABLES)
def test_created_for_inference(arch):
    with torch.inference_mode():
        backbone = TimmBackbone(arch).eval()
        backbone(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize(
    ('arch', 'divisor'),
    [
        ('focalnet_tiny_srf', 32),
        ('hiera_tiny_224', 32),
        ('convnext_atto', 32),
        ('maxvit_rmlp_pico_rw_256', 256),
        ('test_maxvit', 160),
    ],
)
def test_padding(arch, divisor):
    """An odd image is one with zeros on the right and at the bottom, whose maps are cropped."""
    backbone = TimmBackbone(arch).eval()
    x = torch.randn(1, 3, 65, 97)
    whole = F.pad(x, (0, -97 % divisor, 0, -65 % divisor))
    with torch.inference_mode():
        timms = backbone.timm_model.forward_intermediates(
            whole, indices=list(backbone.out_indices), stop_early=True, intermediates_only=True
        )
        for output, padded in zip(backbone(x), timms, strict=True):
            torch.testing.assert_close(output, padded[:, :, : output.shape[2], : output.shape[3]], rtol=0, atol=0)
        finest = TimmBackbone(arch, out_indices=backbone.out_indices[:1]).eval()
        finest.load_state_dict(
            {key: value for key, value in backbone.state_dict().items() if key in finest.state_dict()}
        )
        torch.testing.assert_close(finest(x)[0], backbone(x)[0], rtol=0, atol=0)


def test_enlarged_maps_are_resized():
    """MobileViTv2 at 96 pixels: the maps of stride 8 are right, those of 32 are 4x4 instead of 3x3."""
    features = timm.create_model('mobilevitv2_050', features_only=True).eval()
    backbone = all_levels('mobilevitv2_050').eval()
    backbone.load_state_dict(features.state_dict())
    x = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        outputs, expected = backbone(x), features(x)
    assert expected[-1].shape[2:] == (4, 4)
    for output, reference in zip(outputs[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=0)
    corners = (slice(None), slice(None), slice(None, None, 2), slice(None, None, 2))
    torch.testing.assert_close(outputs[-1][corners], expected[-1][:, :, ::3, ::3])


@pytest.mark.parametrize('arch', ['mobilevit_xxs', 'mobilevitv2_050', 'efficientformer_l1', 'efficientformerv2_s0'])
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_a_traced_hybrid_takes_any_size_and_batch(arch, randomize):
    """Traced where nothing has to be resized; at 65x97 and 96x160 maps of odd sizes are."""
    backbone = randomize(TimmBackbone(arch)).eval()
    with torch.no_grad():
        traced = torch.jit.trace(backbone, torch.randn(1, 3, 64, 64), check_trace=False)
        for shape in ((2, 3, 65, 97), (1, 3, 96, 160), (3, 3, 128, 64)):
            x = torch.randn(*shape)
            for output, expected in zip(traced(x), backbone(x), strict=True):
                assert output.shape == expected.shape
                assert relative_error(output, expected) < 1e-5


# Names and options


def test_default_levels():
    assert TimmBackbone('resnet18').strides == (4, 8, 16, 32)
    xcit = TimmBackbone('xcit_nano_12_p16_224')
    assert (len(xcit.levels), xcit.out_indices, xcit.strides) == (12, (11,), (16,))
    assert TimmBackbone('xcit_nano_12_p16_224', out_indices=(3, 5, 7)).out_channels == (128, 128, 128)


def test_all_levels_one_by_one():
    backbone = TimmBackbone('resnet18', out_indices=(2,)).eval()
    x = torch.randn(1, 3, 64, 64)
    levels = list(backbone.forward_levels(x))
    assert [level.shape[1] for level in levels] == [64, 64, 128]
    torch.testing.assert_close(levels[2], backbone(x)[0], rtol=0, atol=0)


def test_names_with_a_tag(monkeypatch):
    asked = []
    weights = timm.create_model('resnet18').state_dict()
    monkeypatch.setattr(
        'projects.efficient_models.backbones.weights.load_state_dict_from_hf',
        lambda name: asked.append(name) or weights,
    )
    TimmBackbone('resnet18.a2_in1k', pretrained=True)
    assert asked == ['timm/resnet18.a2_in1k']
    with pytest.raises(ValueError, match=r'no such weights.*resnet18\.a1_in1k'):
        TimmBackbone('resnet18.in42k')


def test_weights_elsewhere_than_on_timms_hub():
    with pytest.raises(ValueError, match="timm's hub has no weights"):
        TimmBackbone('fastvit_mci0', pretrained=True)


def test_bad_options():
    with pytest.raises(ValueError, match=r"no arch 'fastvit_s12a'.* fastvit_sa12"):
        TimmBackbone('fastvit_s12a')
    with pytest.raises(ValueError, match='repvit_m0_9 has no stochastic depth'):
        TimmBackbone('repvit_m0_9', drop_path_rate=0.1)
    with pytest.raises(ValueError, match='vgg11 has no activation checkpointing'):
        TimmBackbone('vgg11', with_cp=True)
    with pytest.raises(ValueError, match=r'which layers of twins_svt_small make up .* must be -1 \(nothing\), got 1'):
        TimmBackbone('twins_svt_small', frozen_stages=1)
    with pytest.raises(ValueError, match=r'levit_128s of timm, .* does not give maps .* any size.*256x512: '):
        TimmBackbone('levit_128s')
    with pytest.raises(ValueError, match=r'crossvit_9_240 of timm, .* given as 12, 17, .*68x136: maps of 20x20, 14x14'):
        TimmBackbone('crossvit_9_240')


@pytest.mark.parametrize(
    ('forward', 'reason'),
    [
        (lambda images, **_: next(iter(())), r"16x32: StopIteration of '.*next\(iter\(\(\)\)\).*'"),
        (lambda images, **_: images.max().item(), r"16x32: its sizes depend on values of tensors, by '.*item\(\).*'"),
    ],
)  # fmt: skip
def test_errors_that_do_not_say_why_are_told_by_their_code(forward, reason):
    """Such as of an assertion without words, and of timm's Gemma 4, which asks a tensor for the size of its grid."""
    network = SimpleNamespace(
        feature_info=[{'num_chs': 3, 'reduction': 4, 'module': 'a'}], forward_intermediates=forward
    )
    with pytest.raises(ValueError, match=rf'\({reason}\)'):
        find_levels('silent', network)


TIMMS_OPTIONS = {
    'vit_tiny_patch16_224': ('img_size', 'patch_size', 'dynamic_img_size', 'dynamic_img_pad', 'strict_img_size'),
    'swin_tiny_patch4_window7_224': ('window_size', 'img_size', 'strict_img_size'),
    'resnet18': ('output_stride', 'drop_rate', 'act_layer', 'norm_layer'),
    'convnext_atto': ('output_stride', 'kernel_sizes'),
    'efficientnet_b0': ('act_layer', 'norm_layer', 'drop_rate'),
}


@pytest.mark.parametrize(('arch', 'option'), [(arch, name) for arch in TIMMS_OPTIONS for name in TIMMS_OPTIONS[arch]])
def test_options_of_timms_constructors_are_refused(arch, option):
    with pytest.raises(ValueError, match=f"^TimmBackbone has no option '{option}'. Its options are arch, .*pretrained"):
        TimmBackbone(arch, **{option: 8})


def test_mistyped_options_are_corrected():
    with pytest.raises(ValueError, match=r"no option 'drop_path_rat'\. Did you mean drop_path_rate\?"):
        TimmBackbone('resnet18', drop_path_rat=0.1)
    with pytest.raises(ValueError, match=r"^EfficientViTMIT has no option 'norm_ep'\. Did you mean norm_eps\?"):
        EfficientViTMIT('b0', norm_ep=1e-3)


@pytest.mark.parametrize(
    'arch', ['resnet18', 'convnext_atto', 'swin_tiny_patch4_window7_224', 'vit_tiny_patch16_224', 'efficientnet_b0']
)
def test_drop_path_rate_works_in_every_family(arch):
    backbone = TimmBackbone(arch, drop_path_rate=0.2)
    rates = [module.drop_prob for module in backbone.modules() if type(module).__name__ == 'DropPath']
    assert max(rates) == pytest.approx(0.2, rel=0.15)  # timm's EfficientNet ends one step short of it


def test_options_that_timm_hands_on():
    """Distilled networks take those of their base class, NaFlexViT those of its settings, none of them by name."""
    assert find_properties('naflexvit_base_patch16_gap').has_drop_path
    assert not find_properties('hrnet_w18_small').has_drop_path  # names of its settings, too, but not this one
    backbone = TimmBackbone('deit_tiny_distilled_patch16_224', drop_path_rate=0.2).eval()
    assert backbone.timm_model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.2)
    with torch.inference_mode():
        assert backbone(torch.randn(1, 3, 65, 97))[0].shape == (1, 192, 5, 7)


def test_strides_are_measured():
    """TResNet starts by moving 4x4 pixels to channels; timm gives its first level as one of stride 2."""
    backbone = TimmBackbone('tresnet_m', out_indices=range(5), frozen_stages=0).eval()
    assert [level[1:] for level in backbone.levels] == [(4, 0), (4, 1), (8, 2), (16, 3), (32, 4)]
    with torch.inference_mode():
        shapes = [tuple(output.shape[1:]) for output in backbone(torch.randn(1, 3, 65, 97))]
    assert shapes == [(64, 17, 25), (64, 17, 25), (128, 9, 13), (1024, 5, 7), (2048, 3, 4)]
    frozen = {name.split('.')[1] for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert frozen == {'body'}
    body = backbone.timm_model.body
    assert not any(parameter.requires_grad for parameter in body.conv1.parameters())
    assert all(parameter.requires_grad for parameter in body.layer1.parameters())


def test_drop_path_rate_replaces_timms():
    def rates(**options):
        backbone = TimmBackbone('efficientformerv2_s2', **options)  # 0.02 in timm
        return [module.drop_prob for module in backbone.modules() if type(module).__name__ == 'DropPath']

    assert not rates()
    assert rates(drop_path_rate=0.3)[-1] == pytest.approx(0.3)


# Folding


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.read_twice, self.read_by_norm = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.run_twice = nn.Conv2d(3, 3, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))

    def forward(self, x):
        first = self.read_twice(x)
        second = self.norms[1](self.read_by_norm(self.norms[0](first) + first))
        return (self.norms[2](self.run_twice(second)), self.norms[3](self.run_twice(second)))


def test_folding_leaves_alone_what_others_read(randomize):
    network = randomize(Branching()).eval()
    x = torch.randn(2, 3, 8, 8)
    expected = network(x)
    fold_batch_norms(network, x)
    assert [isinstance(norm, nn.Identity) for norm in network.norms] == [False, True, False, False]
    torch.testing.assert_close(network(x), expected)
