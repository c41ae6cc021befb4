"""What every backbone promises; a new one adds its rows to BACKBONES."""

import copy
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import safetensors.torch
import timm
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict as mmengine_load_state_dict
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import projects.efficient_models
from projects.efficient_models.checkpoint_keys import rename_keys


class Case(NamedTuple):
    name: str  # as registered
    arch: str
    channels: tuple[int, ...]  # of all levels
    strides: tuple[int, ...]
    num_stages: int
    timm_name: str | None  # None where timm has no such network

    @property
    def network(self):
        return MODELS.get(self.name)

    def build(self, **options):
        return MODELS.build(dict(type=self.name, arch=self.arch, **options))


STRIDES_32 = (4, 8, 16, 32)
STRIDES_2_TO_32 = (2, 4, 8, 16, 32)
STRIDES_64 = (2, 4, 8, 16, 32, 64)
BACKBONES = [
    Case('SHViT', 's1', (16, 32, 64, 128, 224, 320), STRIDES_64, 3, 'shvit_s1.in1k'),
    Case('SHViT', 's2', (16, 32, 64, 128, 308, 448), STRIDES_64, 3, 'shvit_s2.in1k'),
    Case('SHViT', 's3', (24, 48, 96, 192, 352, 448), STRIDES_64, 3, 'shvit_s3.in1k'),
    Case('SHViT', 's4', (28, 56, 112, 224, 336, 448), STRIDES_64, 3, 'shvit_s4.in1k'),
    Case('EfficientMod', 'xxs', (32, 64, 128, 256), STRIDES_32, 4, None),
    Case('EfficientMod', 'xs', (32, 64, 144, 288), STRIDES_32, 4, None),
    Case('EfficientMod', 's', (32, 64, 144, 312), STRIDES_32, 4, None),
    Case('EfficientMod', 's_conv', (40, 80, 160, 344), STRIDES_32, 4, None),
    Case('EfficientViTMSRA', 'm0', (8, 16, 32, 64, 128, 192), STRIDES_64, 3, 'efficientvit_m0.r224_in1k'),
    Case('EfficientViTMSRA', 'm1', (16, 32, 64, 128, 144, 192), STRIDES_64, 3, 'efficientvit_m1.r224_in1k'),
    Case('EfficientViTMSRA', 'm2', (16, 32, 64, 128, 192, 224), STRIDES_64, 3, 'efficientvit_m2.r224_in1k'),
    Case('EfficientViTMSRA', 'm3', (16, 32, 64, 128, 240, 320), STRIDES_64, 3, 'efficientvit_m3.r224_in1k'),
    Case('EfficientViTMSRA', 'm4', (16, 32, 64, 128, 256, 384), STRIDES_64, 3, 'efficientvit_m4.r224_in1k'),
    Case('EfficientViTMSRA', 'm5', (24, 48, 96, 192, 288, 384), STRIDES_64, 3, 'efficientvit_m5.r224_in1k'),
    Case('EfficientViTMIT', 'b0', (8, 16, 32, 64, 128), STRIDES_2_TO_32, 4, 'efficientvit_b0.r224_in1k'),
    Case('EfficientViTMIT', 'b1', (16, 32, 64, 128, 256), STRIDES_2_TO_32, 4, 'efficientvit_b1.r224_in1k'),
    Case('EfficientViTMIT', 'b2', (24, 48, 96, 192, 384), STRIDES_2_TO_32, 4, 'efficientvit_b2.r224_in1k'),
    Case('EfficientViTMIT', 'b3', (32, 64, 128, 256, 512), STRIDES_2_TO_32, 4, 'efficientvit_b3.r224_in1k'),
    Case('EfficientViTMIT', 'l0', (32, 64, 128, 256, 512), STRIDES_2_TO_32, 4, None),
    Case('EfficientViTMIT', 'l1', (32, 64, 128, 256, 512), STRIDES_2_TO_32, 4, 'efficientvit_l1.r224_in1k'),
    Case('EfficientViTMIT', 'l2', (32, 64, 128, 256, 512), STRIDES_2_TO_32, 4, 'efficientvit_l2.r224_in1k'),
    Case('EfficientViTMIT', 'l3', (64, 128, 256, 512, 1024), STRIDES_2_TO_32, 4, 'efficientvit_l3.r224_in1k'),
    Case('MobileFormer', '96m', (12, 16, 32, 88, 128), STRIDES_2_TO_32, 4, None),
    Case('MobileFormer', '26m', (12, 24, 64, 96), STRIDES_32, 4, None),
    Case('MobileFormer', '52m', (12, 24, 64, 96), STRIDES_32, 4, None),
    Case('MobileFormer', '151m', (12, 16, 32, 88, 128), STRIDES_2_TO_32, 4, None),
    Case('MobileFormer', '214m', (12, 20, 40, 112, 160), STRIDES_2_TO_32, 4, None),
    Case('MobileFormer', '294m', (16, 24, 48, 128, 192), STRIDES_2_TO_32, 4, None),
    Case('MobileFormer', '508m', (24, 40, 72, 176, 240), STRIDES_2_TO_32, 4, None),
    Case('MixerPyramid', 'tiny', (32, 64, 160, 256), STRIDES_32, 4, None),
    Case('MixerPyramid', 'small', (64, 128, 320, 512), STRIDES_32, 4, None),
    Case('MixerPyramid', 'base', (64, 128, 320, 512), STRIDES_32, 4, None),
    Case('TurboViT', 'w64', (64, 128, 256, 512), STRIDES_32, 4, None),
    Case('TimmBackbone', 'efficientformer_l1', (48, 96, 224, 448), STRIDES_32, 4, 'efficientformer_l1.snap_dist_in1k'),
    Case(
        'TimmBackbone', 'efficientformerv2_s0', (32, 48, 96, 176), STRIDES_32, 4, 'efficientformerv2_s0.snap_dist_in1k'
    ),
    Case('TimmBackbone', 'fastvit_t8', (48, 96, 192, 384), STRIDES_32, 4, 'fastvit_t8.apple_in1k'),
    Case('TimmBackbone', 'mobilevit_xxs', (16, 24, 48, 64, 320), STRIDES_2_TO_32, 4, 'mobilevit_xxs.cvnets_in1k'),
    Case('TimmBackbone', 'mobilevitv2_050', (32, 64, 128, 192, 256), STRIDES_2_TO_32, 4, 'mobilevitv2_050.cvnets_in1k'),
]
ONE_PER_NETWORK = list({case.name: case for case in reversed(BACKBONES)}.values())
SMALLEST = next(case for case in ONE_PER_NETWORK if case.name == 'EfficientViTMIT')
ON_TIMMS_HUB = [case for case in ONE_PER_NETWORK if case.timm_name]
NOT_ON_TIMMS_HUB = [case for case in ONE_PER_NETWORK if not case.timm_name]


def case_name(case):
    return f'{case.name}-{case.arch}'


# archs of other blocks than the first one of their network; all others have the same ones, more of them or wider
OF_OTHER_BLOCKS = [
    ('EfficientMod', 's_conv'),
    ('EfficientViTMSRA', 'm4'),
    ('EfficientViTMIT', 'l0'),
    ('MobileFormer', '26m'),
    ('MobileFormer', '151m'),
]
ALL_BLOCKS = [
    case
    for case in BACKBONES
    if case in ONE_PER_NETWORK or (case.name, case.arch) in OF_OTHER_BLOCKS or case.name == 'TimmBackbone'
]

every_arch = pytest.mark.parametrize('case', BACKBONES, ids=case_name)
every_network = pytest.mark.parametrize('case', ONE_PER_NETWORK, ids=case_name)


def images(height=65, width=97, batch=2):
    return torch.randn(batch, 3, height, width)


def gradients(backbone, x):
    outputs = backbone(x)
    sum(output.square().mean() for output in outputs).backward()
    return outputs, {name: parameter.grad for name, parameter in backbone.named_parameters()}


def batch_norms(module):
    return [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]


def assert_same_weights(backbone, expected):
    own = backbone.state_dict()
    assert expected
    for key, value in expected.items():
        torch.testing.assert_close(own[key], value, rtol=0, atol=0, msg=key)


def authors_names(backbone):
    """Weights of a backbone under the authors' keys: its table of prefixes, read backwards."""
    theirs = {own: foreign for foreign, own in backbone.renamed_prefixes().items()}
    return {
        next((theirs[p] + key[len(p) :] for p in theirs if key.startswith(p)), key): value
        for key, value in backbone.state_dict().items()
    }


# Registration and levels


def test_importing_the_package_registers_everything():
    assert MODELS.get('UpsamplingFPN') is projects.efficient_models.necks.UpsamplingFPN
    for case in BACKBONES:
        assert case.network.__name__ == case.name


@every_arch
def test_levels_are_described(case):
    with torch.device('meta'):
        backbone = case.build()
    assert tuple(level.channels for level in backbone.levels) == case.channels
    assert tuple(level.stride for level in backbone.levels) == case.strides
    assert tuple(level.stage for level in backbone.levels)[-case.num_stages :] == tuple(range(1, case.num_stages + 1))
    assert backbone.out_indices == tuple(range(len(case.channels) - case.num_stages, len(case.channels)))
    assert backbone.out_channels == case.channels[-case.num_stages :]
    assert backbone.strides == case.strides[-case.num_stages :]


@every_arch
def test_all_levels_at_any_size(case):
    backbone = case.build(out_indices=list(range(len(case.channels)))).eval()
    for size in [(32, 32), (64, 64), (97, 131), (33, 70)]:
        with torch.inference_mode():
            outputs = backbone(images(*size, batch=1))
        assert isinstance(outputs, tuple)
        expected = [
            (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
            for channels, stride in zip(case.channels, case.strides, strict=True)
        ]
        assert [tuple(output.shape) for output in outputs] == expected


@every_network
def test_chosen_levels_are_those_of_the_whole_network(case, randomize):
    """Levels that are not asked for are gone: every parameter has a gradient, as distributed training needs."""
    whole = randomize(case.build(out_indices=range(len(case.channels))).eval())
    x = images(batch=1)
    expected = whole(x)
    for last in range(len(case.channels)):
        chosen = (0, last) if last else (0,)
        part = case.build(out_indices=chosen).eval()
        part.load_state_dict({key: value for key, value in whole.state_dict().items() if key in part.state_dict()})
        outputs, grads = gradients(part, x)
        for index, output in zip(chosen, outputs, strict=True):
            torch.testing.assert_close(output, expected[index], rtol=0, atol=0)
        assert not [name for name, grad in grads.items() if grad is None]
        assert part.out_channels == tuple(case.channels[index] for index in chosen)


@every_network
@pytest.mark.parametrize('out_indices', [(), (-1,), (2, 1), (1, 1), (0, 99), ('0',)], ids=str)
def test_bad_out_indices(case, out_indices):
    valid = ', '.join(f'{index} (stride {stride})' for index, stride in enumerate(case.strides))
    with pytest.raises(ValueError, match='out_indices') as error:
        case.build(out_indices=out_indices)
    assert valid in str(error.value)


@every_network
def test_bad_arguments(case):
    with pytest.raises(ValueError, match=rf"no arch '{case.arch}_'.*{case.arch}"):
        case.network(f'{case.arch}_')
    for frozen_stages in (-2, case.num_stages + 1):
        with pytest.raises(ValueError, match=f'frozen_stages.*1 to {case.num_stages}.*got {frozen_stages}'):
            case.build(frozen_stages=frozen_stages)
    for drop_path_rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf'drop_path_rate.*\[0, 1\).*{drop_path_rate}'):
            case.build(drop_path_rate=drop_path_rate)


# Training


@every_network
def test_frozen_stages(case):
    for frozen_stages in range(-1, case.num_stages + 1):
        backbone = case.build(frozen_stages=frozen_stages)
        modules, layers = backbone.stem_and_stages(), set(backbone.modules())
        frozen, trained = modules[: frozen_stages + 1], modules[frozen_stages + 1 :]
        trained_norms = {norm for module in trained for norm in batch_norms(module)}
        backbone.eval().train()
        before = copy.deepcopy(dict(backbone.named_buffers()))
        outputs = backbone(images())
        if trained:
            sum(output.mean() for output in outputs if output.requires_grad).backward()
        for module in frozen:
            assert not any(parameter.requires_grad for parameter in module.parameters())
            assert not any(child.training for child in layers.intersection(module.modules()))
        for module in trained:
            assert all(parameter.grad is not None for parameter in module.parameters())
            assert all(child.training for child in layers.intersection(module.modules()))
        changed = {name for name, value in backbone.named_buffers() if not torch.equal(value, before[name])}
        moving = {f'{name}.running_mean' for name, module in backbone.named_modules() if module in trained_norms}
        assert {name for name in changed if name.endswith('running_mean')} == moving


@every_network
def test_norm_eval(case, randomize):
    backbone = case.build(norm_eval=True)
    norms = batch_norms(backbone)
    before = copy.deepcopy(dict(backbone.named_buffers()))
    for _ in ('after construction', 'after train()'):
        assert backbone.training
        assert not any(norm.training for norm in norms)
        backbone.eval().train()
    _, grads = gradients(randomize(backbone), images())
    assert all(norm.weight.requires_grad for norm in norms)
    assert not [name for name, grad in grads.items() if grad is None]
    backbone(images())
    counters = {name for name in before if name.endswith('num_batches_tracked')}
    assert all(torch.equal(before[name], dict(backbone.named_buffers())[name]) for name in counters)
    assert all(norm.training for norm in batch_norms(case.build().train()))


@every_network
def test_drop_path_acts_in_training_only(case, randomize):
    plain, dropping = randomize(case.build(norm_eval=True)), case.build(norm_eval=True, drop_path_rate=0.5)
    dropping.load_state_dict(plain.state_dict())
    rates = [module.drop_prob for module in dropping.modules() if isinstance(module, DropPath)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.5)
    assert rates[0] > 0
    assert not [module for module in plain.modules() if isinstance(module, DropPath)]
    x = images()
    with torch.no_grad():
        first, second, reference = dropping(x)[-1], dropping(x)[-1], plain(x)[-1]
        assert not torch.equal(first, second)
        torch.testing.assert_close(dropping.eval()(x)[-1], reference, rtol=0, atol=0)


@every_network
@pytest.mark.parametrize('norm_eval', [False, True])
def test_checkpointing_changes_nothing(case, norm_eval, randomize):
    """Outputs, gradients and running statistics; the stochastic depth draws the same samples."""
    options = {'norm_eval': norm_eval, 'drop_path_rate': 0.3, 'frozen_stages': 0}
    plain, checkpointed = randomize(case.build(**options)), case.build(**options, with_cp=True)
    checkpointed.load_state_dict(plain.state_dict())
    x = images()
    results = []
    for backbone in (plain, checkpointed):
        torch.manual_seed(1)
        results.append(gradients(backbone, x))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(dict(plain.named_buffers()), dict(checkpointed.named_buffers()), rtol=0, atol=0)


@every_network
def test_checkpointing_stores_less(case):
    def stored_bytes(backbone, x):
        sizes = {}
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.setdefault(t.data_ptr(), t.nbytes) and t, id)
        with hooks:
            backbone(x)
        return sum(sizes.values())

    x = images()
    assert stored_bytes(case.build(with_cp=True), x) < 0.8 * stored_bytes(case.build(), x)


# Pretrained weights


@pytest.fixture(scope='module', params=ONE_PER_NETWORK, ids=case_name)
def published(request, randomize):
    """A case with a classifier of random weights, as timm would publish it, in our names where timm has none."""
    torch.manual_seed(1)
    if request.param.timm_name is None:
        classifier = {f'{prefix}weight': torch.zeros(5, 5) for prefix in request.param.network.classifier_prefixes}
        return request.param, randomize(request.param.build()).state_dict() | classifier
    classifier = randomize(timm.create_model(request.param.timm_name.split('.')[0]))
    return request.param, classifier.state_dict()


def without_classifier(case, weights):
    """The backbone of a classifier, under our names and in our shapes."""
    backbone = case.build()
    weights = {key: value for key, value in weights.items() if not key.startswith(backbone.classifier_prefixes)}
    rename_keys(weights, backbone.timm_prefixes() | backbone.renamed_prefixes())
    backbone.resize_weights(weights)
    return weights


@pytest.mark.parametrize('published', ON_TIMMS_HUB, indirect=True, ids=case_name)
def test_published_weights(published, monkeypatch):
    case, weights = published
    asked = []
    monkeypatch.setattr(
        'projects.efficient_models.backbones.weights.load_state_dict_from_hf',
        lambda hub_id: asked.append(hub_id) or weights,
    )
    backbone = case.build(pretrained=True)
    assert asked == [f'timm/{case.timm_name}']
    assert_same_weights(backbone, without_classifier(case, weights))


@pytest.mark.parametrize('case', NOT_ON_TIMMS_HUB, ids=case_name)
def test_no_published_weights(case):
    with pytest.raises(ValueError, match="timm's hub has no weights") as error:
        case.build(pretrained=True)
    for hint in (f"{case.name}(arch='{case.arch}')", "pretrained='path.pth'", 'pretrained=False'):
        assert hint in str(error.value)


@pytest.mark.parametrize('case', ON_TIMMS_HUB, ids=case_name)
def test_published_weights_offline(case, monkeypatch, tmp_path):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(ConnectionError) as error:
        case.build(pretrained=True)
    for hint in (case.timm_name, "pretrained='path.pth'", '--cfg-options model.backbone.pretrained=False'):
        assert hint in str(error.value)


@pytest.mark.parametrize(
    ('published', 'container'),
    [(case, None) for case in ONE_PER_NETWORK]
    + [(SMALLEST, container) for container in ('model', 'state_dict', 'model_ema')],
    indirect=['published'],
    ids=lambda value: case_name(value) if isinstance(value, Case) else str(value),
)
@pytest.mark.parametrize('names', ['timm', 'authors'])
def test_classification_checkpoints(published, tmp_path, container, names):
    """What the weights lie in is unpacked for all networks by one function."""
    case, weights = published
    expected = without_classifier(case, weights)
    if names == 'authors':
        source = case.build()
        source.load_state_dict(expected)
        weights = authors_names(source)
        weights |= {f'{prefix}l.weight': torch.zeros(5, 5) for prefix in source.classifier_prefixes}
        weights = {f'module.{key}': value for key, value in weights.items()}
    path = tmp_path / 'classifier.pth'
    torch.save(weights if container is None else {container: weights, 'epoch': 300}, path)
    backbone = case.build(pretrained=str(path))
    assert_same_weights(backbone, expected)
    backbone.init_weights()
    assert_same_weights(backbone, expected)


def test_safetensors(published, tmp_path):
    case, weights = published
    safetensors.torch.save_file(weights, tmp_path / 'model.safetensors')
    backbone = case.build(pretrained=tmp_path / 'model.safetensors')
    assert_same_weights(backbone, without_classifier(case, weights))


@pytest.mark.parametrize('names', ['timm', 'authors'])
def test_detection_checkpoints(published, tmp_path, names):
    case, weights = published
    source = case.build()
    source.load_state_dict(without_classifier(case, weights))
    weights = authors_names(source) if names == 'authors' else source.state_dict()
    detector = {f'backbone.{key}': value for key, value in weights.items()}
    detector |= {f'{part}.0.weight': torch.zeros(3) for part in ('neck', 'rpn_head', 'roi_head', 'bbox_head')}
    torch.save({'meta': {}, 'state_dict': detector}, tmp_path / 'detector.pth')
    backbone = case.build(pretrained=str(tmp_path / 'detector.pth'), out_indices=(0, 1, 2), frozen_stages=1)
    assert_same_weights(backbone, {k: v for k, v in source.state_dict().items() if k in backbone.state_dict()})


@pytest.mark.parametrize(
    ('load', 'inside'),
    [(nn.Module.load_state_dict, False), (mmengine_load_state_dict, True)],
    ids=['alone', 'in a detector'],
)
def test_authors_names_load_everywhere(published, load, inside):
    case, weights = published
    source = case.build()
    source.load_state_dict(without_classifier(case, weights))
    theirs = authors_names(source)
    backbone = copy.deepcopy(case.build())  # copies, as model averaging makes them, must understand the names too
    module = backbone
    if inside:
        module = nn.ModuleDict({'backbone': backbone, 'neck': nn.Linear(2, 2)})
        theirs = {f'backbone.{key}': value for key, value in theirs.items()}
        theirs |= {f'neck.{key}': value for key, value in module['neck'].state_dict().items()}
    given = list(theirs)
    load(module, theirs, strict=True)
    assert list(theirs) == given
    assert_same_weights(backbone, source.state_dict())


def test_checkpoint_of_another_network(published, tmp_path):
    """Missing, unexpected and misshapen keys are listed; nothing is loaded in silence."""
    case, weights = published
    weights = without_classifier(case, weights)
    missing, misshapen = next(iter(weights)), list(weights)[-6]
    wrong = {key: value for key, value in weights.items() if key != missing}
    wrong |= {misshapen: torch.zeros(3, 5, 7), 'stages.9.extra': torch.zeros(1)}
    torch.save(wrong, tmp_path / 'wrong.pth')
    with pytest.raises(ValueError, match=rf"wrong.pth does not belong to {case.name}\(arch='{case.arch}'\)") as error:
        case.build(pretrained=str(tmp_path / 'wrong.pth'))
    message = str(error.value)
    assert f'missing: {missing}\n' in message
    assert 'unexpected: stages.9.extra\n' in message
    assert f'of another shape: {misshapen} (3, 5, 7) instead of {tuple(weights[misshapen].shape)}' in message


def test_checkpoint_of_another_arch(published, tmp_path):
    case, weights = published
    torch.save(weights, tmp_path / 'weights.pth')
    for other in BACKBONES:
        if other.network is case.network and other.arch != case.arch:
            with pytest.raises(ValueError, match=f"does not belong to .*arch='{other.arch}'") as error:
                other.build(pretrained=str(tmp_path / 'weights.pth'))
            assert len(str(error.value)) < 8000, 'hundreds of keys are cut short'


class WritesFile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@every_network
def test_unreadable_checkpoints(case, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth does not exist.*pretrained=False'):
        case.build(pretrained=str(tmp_path / 'nowhere.pth'))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        case.build(pretrained=tmp_path)
    contents = {
        'text.pth': b'not a checkpoint',
        'empty.pth': b'',
        'broken.safetensors': b'\0' * 20,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    torch.save({'model': WritesFile(tmp_path / 'written')}, tmp_path / 'malicious.pth')
    for name in (*contents, 'malicious.pth'):
        with pytest.raises(ValueError, match=f'{name} (cannot be read as|is refused: it contains)'):
            case.build(pretrained=str(tmp_path / name))
    assert not (tmp_path / 'written').exists()
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth holds a list'):
        case.build(pretrained=str(tmp_path / 'list.pth'))


@every_network
def test_init_weights_inside_a_detector(case, tmp_path, randomize):
    source = randomize(case.build())
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    detector = BaseModule()
    detector.backbone = case.build(pretrained=str(tmp_path / 'weights.pth'))
    detector.init_weights()
    assert_same_weights(detector.backbone, source.state_dict())


# Inference


@pytest.mark.parametrize('case', ALL_BLOCKS, ids=case_name)
def test_fused_network_is_equivalent(case, randomize):
    """In double precision, where the rounding of deep networks hides nothing; at even and odd sizes."""
    backbone = randomize(case.build(drop_path_rate=0.2, out_indices=range(len(case.channels)))).double()
    inputs = [images(*size, batch=1).double() for size in ((64, 96), (97, 131))]
    with torch.inference_mode():
        expected = [backbone.eval()(x) for x in inputs]
        fused = backbone.train().fuse()
        assert fused is backbone
        assert not fused.training
        assert not batch_norms(fused)
        for x, references in zip(inputs, expected, strict=True):
            for output, reference in zip(fused(x), references, strict=True):
                assert (output - reference).abs().max() / reference.abs().mean() < 1e-12
