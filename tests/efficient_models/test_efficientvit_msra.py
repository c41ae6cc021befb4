import copy

import numpy as np
import pytest
import timm
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import load_state_dict as mmengine_load_state_dict
from timm.layers import DropPath
from torch import nn

from projects.efficient_models.backbones import EfficientViTMSRA
from projects.efficient_models.backbones.efficientvit_msra import CascadedGroupAttention, LocalWindowAttention
from projects.efficient_models.checkpoint_keys import rename_keys

ARCHS = ('m0', 'm1', 'm2', 'm3', 'm4', 'm5')
# Parameters in millions: of a classifier with 1000 classes as published (table 2 of the paper).
PUBLISHED_PARAMETERS_M = {'m0': 2.3, 'm1': 3.0, 'm2': 4.2, 'm3': 6.9, 'm4': 8.8, 'm5': 12.4}


def relative_error(output, reference):
    return ((output - reference).abs().max() / reference.abs().mean()).item()


def body(state_dict):
    return {key: value for key, value in state_dict.items() if not key.startswith('head.')}


def randomized(network, randomize):
    """With bias tables that matter, too."""
    for name, parameter in randomize(network).named_parameters():
        if name.endswith('attention_biases'):
            nn.init.normal_(parameter)
    return network


def biases(state_dict):
    return {key: value for key, value in state_dict.items() if key.endswith('attention_biases')}


def authors_names(network):
    """Weights under the authors' names, with the index buffers of their checkpoints."""
    weights = dict(network.state_dict())
    rename_keys(weights, {own: theirs for theirs, own in network.renamed_prefixes().items()})
    for key in list(biases(weights)):
        weights[key.replace('attention_biases', 'attention_bias_idxs')] = torch.zeros(49, 49, dtype=torch.long)
    return weights


# timm


@pytest.fixture(scope='module', params=ARCHS)
def pair(request, randomize):
    """Our network and timm's with windows of 7 in every stage, with the same weights."""
    torch.manual_seed(1)
    reference = randomized(timm.create_model(f'efficientvit_{request.param}', img_size=448), randomize)
    network = EfficientViTMSRA(request.param)
    network.load_state_dict(body(reference.state_dict()))
    return network, reference


# Maps of the last two stages: 16x20 and 8x10; exactly 7x7 and 4x4; 5x5 and 3x3; one position.
@pytest.mark.parametrize('size', [(512, 640), (224, 224), (97, 131), (32, 32)], ids=str)
def test_features_equal_timm(pair, size):
    network, reference = (model.eval() for model in pair)
    x = torch.randn(1, 3, *size)
    with torch.inference_mode():
        for output, expected in zip(network(x), reference.forward_intermediates(x)[1], strict=True):
            assert output.shape == expected.shape
            assert relative_error(output, expected) <= 1e-5


def test_training_equals_timm(pair):
    """Outputs with batch statistics, the gradients of every parameter, and the running statistics afterwards."""
    network, reference = (model.double().train() for model in copy.deepcopy(pair))
    x = torch.randn(2, 3, 97, 131).double()
    for features in (network(x), reference.forward_intermediates(x)[1]):
        sum(feature.square().mean() for feature in features).backward()
    expected_gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    buffers = dict(reference.named_buffers())
    for tensors in (expected_gradients, buffers):
        rename_keys(tensors, network.timm_prefixes())
    for name, parameter in network.named_parameters():
        scale = expected_gradients[name].abs().max() + 1e-3  # a shift before a normalisation has none
        assert (parameter.grad - expected_gradients[name]).abs().max() <= 1e-9 * scale, name
    for name, buffer in network.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            torch.testing.assert_close(buffer, buffers[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize('arch', ARCHS)
def test_size_and_initial_state_equal_timm(arch):
    network, reference = EfficientViTMSRA(arch), timm.create_model(f'efficientvit_{arch}', img_size=448)
    own, theirs = network.state_dict(), body(reference.state_dict())
    to_own = network.timm_prefixes()
    assert len(set(to_own.values())) == len(to_own)
    back = dict(own)
    rename_keys(back, {own_prefix: timm_prefix for timm_prefix, own_prefix in to_own.items()})
    assert set(back) == set(theirs)
    rename_keys(theirs, to_own)
    assert set(own) == set(theirs)
    for key, value in theirs.items():
        if 'se.' in key and value.dim() == 1:
            assert own[key].shape == value.shape
        elif value.dim() <= 1 or key.endswith('attention_biases'):
            torch.testing.assert_close(own[key], value, msg=key)
        else:
            assert own[key].std() == pytest.approx(value.std().item(), rel=0.15), key
    classifier = sum(parameter.numel() for parameter in reference.head.parameters())
    parameters = sum(parameter.numel() for parameter in network.parameters()) + classifier
    assert parameters / 1e6 == pytest.approx(PUBLISHED_PARAMETERS_M[arch], rel=0.025)


# The authors' code


@pytest.mark.parametrize('arch', ['m0', 'm4'])
def test_golden_features(golden, arch):
    """The authors' own code and key names."""
    network = EfficientViTMSRA(arch).eval()
    network.load_state_dict(golden.weights(f'efficientvit_msra_{arch}'))
    assert golden.largest_error(f'efficientvit_msra_{arch}', network) < 1e-4


@pytest.mark.parametrize('arch', ['m0', 'm4'])
def test_authors_keys_map_one_to_one(golden, assert_keys_map_one_to_one, arch):
    assert_keys_map_one_to_one(EfficientViTMSRA(arch), golden.shapes(f'efficientvit_msra_{arch}'))


@pytest.mark.parametrize('arch', ARCHS)
def test_keys_by_hand(arch):
    """The authors put the five modules of a downsampling into three, timm gives them names."""
    authors = {
        'blocks1.0.dw0.m.c.weight': 'stages.0.blocks.0.dw0.m.c.weight',
        'blocks2.0.0.m.bn.bias': 'stages.1.downsample.0.m.bn.bias',
        'blocks2.0.1.m.pw1.c.weight': 'stages.1.downsample.1.m.pw1.c.weight',
        'blocks2.1.se.fc1.bias': 'stages.1.downsample.2.se.fc1.bias',
        'blocks3.2.0.m.c.weight': 'stages.2.downsample.3.m.c.weight',
        'blocks3.2.1.m.pw2.c.weight': 'stages.2.downsample.4.m.pw2.c.weight',
        'blocks3.5.mixer.m.attn.attention_biases': 'stages.2.blocks.2.mixer.m.attn.attention_biases',
    }
    timms = {
        'patch_embed.conv1.conv.weight': 'patch_embed.0.c.weight',
        'patch_embed.conv4.bn.weight': 'patch_embed.6.bn.weight',
        'stages.1.downsample.res1.1.m.pw1.conv.weight': 'stages.1.downsample.1.m.pw1.c.weight',
        'stages.1.downsample.patchmerge.conv3.conv.weight': 'stages.1.downsample.2.conv3.c.weight',
        'stages.2.downsample.patchmerge.se.fc2.bias': 'stages.2.downsample.2.se.fc2.bias',
        'stages.2.downsample.res2.0.m.bn.weight': 'stages.2.downsample.3.m.bn.weight',
        'stages.0.blocks.0.mixer.m.attn.dws.1.conv.weight': 'stages.0.blocks.0.mixer.m.attn.dws.1.c.weight',
        'stages.0.blocks.0.mixer.m.attn.proj.1.bn.weight': 'stages.0.blocks.0.mixer.m.attn.proj.1.bn.weight',
    }
    network = EfficientViTMSRA(arch)
    for expected, prefixes in ((authors, network.renamed_prefixes()), (timms, network.timm_prefixes())):
        renamed = dict.fromkeys(expected)
        rename_keys(renamed, prefixes)
        assert set(renamed) == set(expected.values())
        assert set(renamed) <= set(network.state_dict())


def test_kernels_of_the_heads():
    """One kernel per head, in order; M0 has those of its published weights."""
    expected = {'m0': [5, 5, 5, 5], 'm2': [7, 5], 'm4': [7, 5, 3, 3], 'm5': [7, 5, 3, 3]}
    for arch, kernels in expected.items():
        attention = EfficientViTMSRA(arch).stages[2].blocks[0].mixer.m.attn
        assert [dw.c.kernel_size[0] for dw in attention.dws] == kernels


# Bias tables of other windows


def bicubic_weights(old, new):
    """Interpolation of a row of `old` values at `new` places: cubic convolution, a = -0.75, edges repeated."""
    a = -0.75
    weights = np.zeros((new, old))
    for place in range(new):
        center = (place + 0.5) * old / new - 0.5
        for neighbor in range(int(np.floor(center)) - 1, int(np.floor(center)) + 3):
            x = abs(center - neighbor)
            weight = (a + 2) * x**3 - (a + 3) * x**2 + 1 if x <= 1 else a * (x**3 - 5 * x**2 + 8 * x - 4)
            weights[place, min(max(neighbor, 0), old - 1)] += weight
    return torch.from_numpy(weights)


def resized_by_hand(table, side):
    weights = bicubic_weights(side, 7)
    return torch.stack([(weights @ head.double().view(side, side) @ weights.T).flatten() for head in table]).float()


@pytest.mark.parametrize('arch', ARCHS)
def test_weights_of_classifiers(arch, randomize, monkeypatch):
    """timm's classifiers of 224 pixels have windows of 4 in the last stage."""
    classifier = randomized(timm.create_model(f'efficientvit_{arch}'), randomize).state_dict()
    small = biases(classifier)
    assert {table.shape[1] for table in small.values()} == {16, 49}
    monkeypatch.setattr('projects.efficient_models.backbones.weights.load_state_dict_from_hf', lambda _: classifier)
    network = EfficientViTMSRA(arch, pretrained=True)
    for key, table in biases(network.state_dict()).items():
        expected = small[key] if key.startswith(('stages.0', 'stages.1')) else resized_by_hand(small[key], 4)
        torch.testing.assert_close(table, expected, rtol=1e-5, atol=1e-5, msg=key)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, mmengine_load_state_dict, 'pretrained'])
@pytest.mark.parametrize('inside', [False, True], ids=['alone', 'in a detector'])
def test_authors_checkpoints(load, inside, randomize, tmp_path):
    """Index buffers are dropped, small tables resized, and the given state dict is left as it was."""
    source = randomized(EfficientViTMSRA('m1'), randomize)
    weights, expected = authors_names(source), source.state_dict()
    for block in range(3):
        table = torch.randn(3, 16)
        weights[f'blocks3.{3 + block}.mixer.m.attn.attention_biases'] = table
        expected[f'stages.2.blocks.{block}.mixer.m.attn.attention_biases'] = resized_by_hand(table, 4)
    if inside:
        weights = {f'backbone.{key}': value for key, value in weights.items()}
    if load == 'pretrained':
        torch.save({'state_dict': weights}, tmp_path / 'weights.pth')
        network = EfficientViTMSRA('m1', pretrained=str(tmp_path / 'weights.pth'))
    else:
        network = copy.deepcopy(EfficientViTMSRA('m1'))
        shapes = {key: value.shape for key, value in weights.items()}
        load(nn.ModuleDict({'backbone': network}) if inside else network, weights, strict=True)
        assert {key: value.shape for key, value in weights.items()} == shapes
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-5, msg=key)


@pytest.mark.parametrize('shape', [(4, 15), (3, 49), (3, 16)], ids=str)
def test_bias_tables_that_fit_no_window(shape, tmp_path):
    """A length that is no square, or another number of heads, is not adapted in silence."""
    weights = authors_names(EfficientViTMSRA('m0'))
    weights['blocks1.0.mixer.m.attn.attention_biases'] = torch.zeros(shape)
    torch.save(weights, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'stages\.0\.blocks\.0\.mixer\.m\.attn\.attention_biases \(\d, \d+\) instead'):
        EfficientViTMSRA('m0', pretrained=str(tmp_path / 'weights.pth'))


def test_half_precision_tables_keep_their_type():
    weights = EfficientViTMSRA('m0').half().state_dict()
    key = 'stages.2.blocks.0.mixer.m.attn.attention_biases'
    weights[key] = torch.randn(4, 16).half()
    EfficientViTMSRA('m0').resize_weights(weights)
    assert weights[key].dtype == torch.float16
    assert weights[key].shape == (4, 49)


# Attention


def attention(kernels=(5, 3)):
    module = CascadedGroupAttention(8, kernels)
    nn.init.normal_(module.attention_biases)
    nn.init.ones_(module.proj[1].bn.weight)
    return module


def windows_attention():
    module = LocalWindowAttention(8, (5, 3)).eval()
    module.attn = attention().eval()
    return module


def test_bias_by_hand():
    """Positions (1, 2) and (4, 0) of a window are 3 rows and 2 columns apart: entry 3 * 7 + 2."""
    module = attention()
    bias = module.bias()
    assert bias.shape == (2, 49, 49)
    assert torch.equal(bias[:, 1 * 7 + 2, 4 * 7 + 0], module.attention_biases[:, 23])
    assert torch.equal(bias[:, 4 * 7 + 0, 1 * 7 + 2], module.attention_biases[:, 23])
    assert torch.equal(bias[:, 6, 42], module.attention_biases[:, 48])
    assert torch.equal(bias.diagonal(dim1=1, dim2=2), module.attention_biases[:, :1].expand(2, 49))


def test_bias_is_gathered_once_and_never_stale():
    module = attention().eval()
    expected = CascadedGroupAttention(8, (5, 3))

    def check(module):
        expected.load_state_dict(module.state_dict())
        assert torch.equal(module.bias(), expected.train().bias().to(module.attention_biases.dtype))

    with torch.no_grad():
        first = module.bias()
        assert module.bias() is first
        check(module)
        module.attention_biases.normal_()
        check(module)
        module.load_state_dict(attention().state_dict())
        check(module)
        twin = copy.deepcopy(module)
        twin.attention_biases.normal_()
        check(twin)
        check(module)
        module.attention_biases.data.normal_()  # as weight averaging writes, before it calls eval()
        module.eval()
        check(module)
        for _ in range(2):
            module.attention_biases = nn.Parameter(torch.randn(2, 49))
            check(module)
        assert module.double().bias().dtype == torch.float64
        assert module.to('meta').bias().device.type == 'meta'
    assert set(attention().state_dict()) == set(expected.state_dict())


def test_bias_learns_in_every_mode():
    """Also in eval mode, and after a bias was kept; a frozen one is kept although gradients are recorded."""
    module = attention().eval()
    x = torch.randn(2, 8, 7, 7)
    with torch.inference_mode():
        module(x)
    module(x).square().sum().backward()
    assert module.attention_biases.grad.abs().min() > 0
    module.requires_grad_(False)
    assert module.bias() is module.bias()
    x.requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None


def test_copies_and_conversions_of_a_network_that_has_run(randomize):
    network = randomized(EfficientViTMSRA('m1'), randomize).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = network(x)
        copied = copy.deepcopy(network)
        torch.testing.assert_close(copied(x), expected, rtol=0, atol=0)
        torch.testing.assert_close(copied.fuse()(x)[-1], expected[-1], rtol=1e-4, atol=1e-5)
        for output, reference in zip(copy.deepcopy(network).double()(x.double()), expected, strict=True):
            assert relative_error(output, reference.double()) < 1e-5


def test_graphs_leave_nothing_behind():
    """What stands for the bias while a graph is recorded must not be found in the module afterwards."""
    module = windows_attention()
    x = torch.randn(1, 8, 10, 9)
    with torch.no_grad():
        exported = torch.export.export(module, (x,)).module()(x)
        traced = torch.jit.trace(module, x)(x)
        expected = module(x)
    torch.testing.assert_close(exported, expected)
    torch.testing.assert_close(traced, expected)


def test_heads_work_one_after_another():
    """A change in the channels of the second head reaches no output of the first; the reverse does."""
    module = attention().eval()
    heads = []
    module.proj.register_forward_hook(lambda _, inputs, __: heads.append(inputs[0].clone()))
    module.proj[0] = nn.Identity()
    x = torch.randn(1, 8, 7, 7)
    with torch.no_grad():
        module(x)
        for changed in (slice(4, 8), slice(0, 4)):
            other = x.clone()
            other[:, changed] += 1
            module(other)
    assert torch.equal(heads[1][:, :4], heads[0][:, :4])
    assert not torch.allclose(heads[1][:, 4:], heads[0][:, 4:])
    assert not torch.allclose(heads[2][:, :4], heads[0][:, :4])
    assert not torch.allclose(heads[2][:, 4:], heads[0][:, 4:])


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=str)
def test_windows_start_at_the_top_left_and_end_in_zeros(memory_format):
    module = windows_attention()
    x = torch.randn(2, 8, 10, 15).contiguous(memory_format=memory_format)
    padded = torch.zeros(2, 8, 14, 21)
    padded[:, :, :10, :15] = x
    with torch.no_grad():
        output = module(x)
        assert output.shape == x.shape
        expected = torch.zeros_like(padded)
        for row in (0, 7):
            for column in (0, 7, 14):
                window = padded[:, :, row : row + 7, column : column + 7]
                expected[:, :, row : row + 7, column : column + 7] = module.attn(window)
        torch.testing.assert_close(output, expected[:, :, :10, :15])


@pytest.mark.parametrize('size', [(7, 7), (1, 1), (3, 7), (7, 5)], ids=str)
def test_one_window(size):
    """A map of exactly 7x7 is a window; a smaller one is filled up with zeros, whose positions take part."""
    module = windows_attention()
    x = torch.randn(1, 8, *size)
    padded = nn.functional.pad(x, (0, 7 - size[1], 0, 7 - size[0]))
    with torch.no_grad():
        torch.testing.assert_close(module(x), module.attn(padded)[:, :, : size[0], : size[1]])


# Training


def test_biases_are_excluded_from_weight_decay_by_name():
    network = EfficientViTMSRA('m5')
    optimizer = build_optim_wrapper(
        network,
        {
            'optimizer': {'type': 'AdamW', 'lr': 1e-4, 'weight_decay': 0.05},
            'paramwise_cfg': {'custom_keys': {'attention_biases': {'decay_mult': 0.0}}},
        },
    ).optimizer
    undecayed = [group['params'][0] for group in optimizer.param_groups if group['weight_decay'] == 0]
    assert len(undecayed) == sum(network.archs['m5'].depths)
    assert {parameter.shape[1] for parameter in undecayed} == {49}


def test_drop_path_grows_linearly_over_blocks():
    """Depths 1, 2, 3: block i of 6 drops with probability 0.5 i / 5, in each of its five branches."""
    network = EfficientViTMSRA('m0', drop_path_rate=0.5)
    for index, block in enumerate(block for stage in network.stages for block in stage.blocks):
        rates = [module.drop_prob for module in block.modules() if isinstance(module, DropPath)]
        assert rates == pytest.approx([0.1 * index] * 5 if index else [])
    for stage in network.stages:
        assert not [module for module in stage.downsample.modules() if isinstance(module, DropPath)]


def test_autocast_trains(randomize):
    network = randomized(EfficientViTMSRA('m0'), randomize)
    x = torch.randn(2, 3, 64, 64)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = network(x)
        sum(output.float().square().mean() for output in outputs).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
