import re

import numpy as np
import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from projects.efficient_models.backbones import EfficientMod
from projects.efficient_models.checkpoint_keys import rename_keys

# The authors' networks, written out: channels and blocks of each stage. A number is the expansion of a modulation
# block; 'a4' is an attention block whose perceptron has four times the channels.
AUTHORS = {
    'xxs': ((32, '1 6'), (64, '1 6'), (128, '1 6 1 6 1 6 a4'), (256, '1 6 a4 a4')),
    'xs': ((32, '1 4 1'), (64, '1 4 1'), (144, '1 4 1 4 a4 a4 a4'), (288, '1 4 a4 a4 a4')),
    's': ((32, '1 6 1 6'), (64, '1 6 1 6'), (144, '1 6 1 6 1 6 1 6 a4 a4 a4 a4'), (312, '1 6 1 6 a5 a5 a5 a5')),
    's_conv': ((40, '1 6 1 6'), (80, '1 6 1 6'), (160, '1 6 1 6 1 6 1 6 1 6 1 6'), (344, '1 6 1 6 1 6 1 6')),
}
# Millions of parameters with a classifier of 1000 classes and its norm: 4.7, 6.6, 12.9 and 12.9 in the authors' table,
# here with the second digit that their code gives.
PARAMETERS_M = {'xxs': 4.74, 'xs': 6.63, 's': 12.90, 's_conv': 12.87}
CLASSIFIER = ('norm.', 'head.')

every_arch = pytest.mark.parametrize('arch', AUTHORS)


def relative_error(output, reference):
    return ((output - reference).abs().max() / reference.abs().mean()).item()


def without_classifier(weights):
    return {key: value for key, value in weights.items() if not key.startswith(CLASSIFIER)}


def authors_shapes(arch):
    """Key and shape of every parameter of the authors' classifier."""
    shapes = {}

    def norm(name, dim):
        shapes.update({f'{name}.weight': [dim], f'{name}.bias': [dim]})

    def layer(name, *shape):
        shapes.update({f'{name}.weight': list(shape), f'{name}.bias': [shape[0]]})

    dims = [dim for dim, _ in AUTHORS[arch]]
    layer('patch_embed.proj', dims[0], 3, 7, 7)
    norm('patch_embed.norm', dims[0])
    for index, (dim, blocks) in enumerate(AUTHORS[arch]):
        for number, kind in enumerate(blocks.split()):
            block = f'layers.{index}.blocks.{number}'
            hidden = int(kind.removeprefix('a')) * dim
            layer(f'{block}.mlp.fc1', hidden, dim)
            layer(f'{block}.mlp.fc2', dim, hidden)
            if kind.startswith('a'):
                inner = 8 * max(dim // 8, 32)
                shapes[f'{block}.attn.qkv.weight'] = [3 * inner, dim]
                layer(f'{block}.attn.proj', dim, inner)
                norm(f'{block}.norm1', dim)
                norm(f'{block}.norm2', dim)
            else:
                shapes[f'{block}.gamma_1'] = [dim]
                norm(f'{block}.norm', dim)
                layer(f'{block}.mlp.context_layer.f', dim, dim)
                layer(f'{block}.mlp.context_layer.context_list.0', dim, 1, 7, 7)
                layer(f'{block}.mlp.context_layer.g', dim, dim)
        if index < 3:
            layer(f'layers.{index}.downsample.proj', dims[index + 1], dim, 3, 3)
            norm(f'layers.{index}.downsample.norm', dims[index + 1])
    norm('norm', dims[3])
    layer('head', 1000, dims[3])
    return shapes


def authors_features(weights, images):
    """The network as the paper describes it, in images of (B, C, H, W), from weights in the authors' names."""

    def linear(name, x):
        return F.conv2d(x, weights[f'{name}.weight'][:, :, None, None], weights.get(f'{name}.bias'))

    def norm(name, x):
        x = x - x.mean(1, keepdim=True)
        x = x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return x * weights[f'{name}.weight'][:, None, None] + weights[f'{name}.bias'][:, None, None]

    def convolution(name, x, **options):
        return F.conv2d(x, weights[f'{name}.weight'], weights[f'{name}.bias'], **options)

    def modulation(block, x):
        normed = norm(f'{block}.norm', x)
        context = linear(f'{block}.mlp.context_layer.f', normed)
        context = convolution(f'{block}.mlp.context_layer.context_list.0', context, padding=3, groups=x.shape[1])
        context = linear(f'{block}.mlp.context_layer.g', F.gelu(context))
        hidden = linear(f'{block}.mlp.fc1', normed)
        expansion = hidden.shape[1] // x.shape[1]
        if expansion > 1:
            hidden = F.gelu(hidden)
        branch = linear(f'{block}.mlp.fc2', hidden * context.repeat(1, expansion, 1, 1))
        return x + weights[f'{block}.gamma_1'][:, None, None] * branch

    def attention(block, x):
        qkv = linear(f'{block}.attn.qkv', norm(f'{block}.norm1', x)).flatten(2)
        query, key, value = (part.unflatten(1, (8, -1)) for part in qkv.chunk(3, dim=1))
        scores = query.transpose(2, 3) @ key / query.shape[2] ** 0.5
        attended = value @ scores.softmax(dim=3).transpose(2, 3)
        x = x + linear(f'{block}.attn.proj', attended.flatten(1, 2).unflatten(2, x.shape[2:]))
        hidden = F.gelu(linear(f'{block}.mlp.fc1', norm(f'{block}.norm2', x)))
        return x + linear(f'{block}.mlp.fc2', hidden)

    x = norm('patch_embed.norm', convolution('patch_embed.proj', images, stride=4, padding=3))
    features = []
    for index in range(4):
        if index:
            downsample = f'layers.{index - 1}.downsample'
            x = norm(f'{downsample}.norm', convolution(f'{downsample}.proj', x, stride=2, padding=1))
        depth = 1 + max(int(key.split('.')[3]) for key in weights if key.startswith(f'layers.{index}.blocks.'))
        for block in (f'layers.{index}.blocks.{number}' for number in range(depth)):
            x = modulation(block, x) if f'{block}.gamma_1' in weights else attention(block, x)
        features.append(x)
    return features


@pytest.fixture(scope='module', params=AUTHORS)
def pair(request):
    """Our network and the weights of a classifier in the authors' names, loaded into it."""
    generator = torch.Generator().manual_seed(1)
    weights = {}
    for key, shape in authors_shapes(request.param).items():
        value = torch.randn(shape, generator=generator)
        weights[key] = value / np.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 0.5 + 0.2 * value
    network = EfficientMod(request.param).eval()
    network.load_state_dict(without_classifier(weights))
    return network, weights


@pytest.mark.parametrize('size', [(64, 96), (97, 131), (33, 70)], ids=str)
def test_features_equal_the_paper(pair, size):
    network, weights = pair
    x = torch.randn(2, 3, *size)
    with torch.inference_mode():
        for output, expected in zip(network(x), authors_features(weights, x), strict=True):
            assert relative_error(output, expected) < 3e-5


def test_gradients_equal_the_paper(pair):
    network, weights = pair
    theirs = {key: value.clone().requires_grad_() for key, value in without_classifier(weights).items()}
    x = torch.randn(1, 3, 65, 97)
    network.zero_grad()
    for features in (network(x), authors_features(theirs, x)):
        sum(feature.square().mean() for feature in features).backward()
    gradients = {key: value.grad for key, value in theirs.items()}
    rename_keys(gradients, network.renamed_prefixes())
    for name, parameter in network.named_parameters():
        scale = gradients[name].abs().max()
        assert scale > 0
        assert (parameter.grad - gradients[name]).abs().max() < 1e-4 * scale, name


@pytest.mark.parametrize('arch', ['xxs', 's_conv'])
def test_golden_features(golden, arch):
    """The authors' own code and key names."""
    name = f'efficientmod_{arch}'
    assert golden.shapes(name) == authors_shapes(arch)
    network = EfficientMod(arch).eval()
    network.load_state_dict(without_classifier(golden.weights(name)))
    assert golden.largest_error(name, network) < 1e-4


@every_arch
def test_authors_keys_map_one_to_one(assert_keys_map_one_to_one, arch):
    network = EfficientMod(arch)
    assert_keys_map_one_to_one(network, without_classifier(authors_shapes(arch)))
    assert all(key.startswith(('patch_embed.', *network.renamed_prefixes().values())) for key in network.state_dict())


def test_authors_keys_by_hand():
    """The downsampling that ends the authors' first three layers begins our last three stages."""
    expected = {
        'layers.0.blocks.1.gamma_1': 'stages.0.blocks.1.gamma_1',
        'layers.0.downsample.proj.weight': 'stages.1.downsample.proj.weight',
        'layers.2.blocks.6.attn.qkv.weight': 'stages.2.blocks.6.attn.qkv.weight',
        'layers.2.downsample.norm.bias': 'stages.3.downsample.norm.bias',
        'layers.3.blocks.0.mlp.context_layer.context_list.0.bias': (
            'stages.3.blocks.0.mlp.context_layer.context_list.0.bias'
        ),
    }
    renamed = dict.fromkeys(expected)
    rename_keys(renamed, EfficientMod('xxs').renamed_prefixes())
    assert list(renamed) == list(expected.values())


def test_authors_classification_checkpoint(pair, tmp_path):
    network, weights = pair
    torch.save({'state_dict': weights, 'arch': f'efficientMod_{network.arch}'}, tmp_path / 'model_best.pth.tar')
    loaded = EfficientMod(network.arch, pretrained=tmp_path / 'model_best.pth.tar').state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded[key], value), key


def test_published_weights_are_at_the_authors():
    with pytest.raises(ValueError, match=re.escape('https://github.com/ma-xu/EfficientMod')):
        EfficientMod('xxs', pretrained=True)


@every_arch
def test_number_of_parameters(arch):
    network = EfficientMod(arch)
    dim = network.out_channels[-1]
    classifier = 2 * dim + 1000 * dim + 1000
    parameters = sum(parameter.numel() for parameter in network.parameters()) + classifier
    assert round(parameters / 1e6, 2) == PARAMETERS_M[arch]


def test_initial_state_is_the_authors():
    """Linear layers from a normal distribution of width 0.02, layer scales 1e-4; convolutions as torch makes them."""
    modules = dict(EfficientMod('xs').named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert module.bias is None or not module.bias.any(), name
        elif isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert module.eps == 1e-5
        elif hasattr(module, 'gamma_1'):
            assert (module.gamma_1 == 1e-4).all()
    fan_in = 3 * 7 * 7
    weight = modules['patch_embed.proj'].weight
    assert weight.std().item() == pytest.approx((1 / (3 * fan_in)) ** 0.5, rel=0.1)  # uniform in ±1 / sqrt(fan_in)


def test_fuse_removes_the_layer_scales(randomize):
    network = randomize(EfficientMod('xxs', drop_path_rate=0.1))
    layer_scales = {name for name, _ in network.named_parameters() if name.endswith('gamma_1')}
    assert len(layer_scales) == 12
    before = sum(parameter.numel() for parameter in network.parameters())
    removed = sum(network.get_parameter(name).numel() for name in layer_scales)
    network.fuse()
    assert not [name for name, _ in network.named_parameters() if 'gamma' in name]
    assert sum(parameter.numel() for parameter in network.parameters()) == before - removed


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_maps_stay_channels_last_without_copies(layout):
    """No layer lays its map out anew or repeats it in memory, whatever the layout of the images."""
    network = EfficientMod('xxs').eval()
    x = torch.randn(2, 3, 224, 224).to(memory_format=layout)
    called = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            called.append(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    with torch.no_grad(), Record():
        outputs = network(x)
    assert called.count('convolution') == 16
    assert not {'clone', 'copy_', '_to_copy', 'repeat', 'cat'} & set(called)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in outputs)


def test_layout_of_the_images_does_not_matter(pair):
    network, _ = pair
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        for output, expected in zip(network(x.to(memory_format=torch.channels_last)), network(x), strict=True):
            assert relative_error(output, expected) < 1e-5


def test_autocast(pair):
    """Under bfloat16, whose rounding errors are up to 1 / 256, the features deviate by less than 1 percent."""
    network, _ = pair
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(x)
        with torch.autocast('cpu', torch.bfloat16):
            outputs = network(x)
    for output, reference in zip(outputs, expected, strict=True):
        assert (output - reference).square().mean().sqrt() < 0.01 * reference.square().mean().sqrt()


def test_drop_path_grows_linearly_over_blocks():
    """2, 2, 7 and 4 blocks: block i of 15 drops with probability 0.7 i / 14, in each of its branches."""
    network = EfficientMod('xxs', drop_path_rate=0.7)
    blocks = [block for stage in network.stages for block in stage.blocks]
    rates = [getattr(block.drop_path, 'drop_prob', 0.0) for block in blocks]
    assert rates == pytest.approx([0.05 * index for index in range(15)])
    assert not isinstance(blocks[0].drop_path, DropPath)


def test_dropped_branches_leave_the_input(monkeypatch):
    """A sample whose branches are all dropped passes through the blocks unchanged."""
    network = EfficientMod('xxs', drop_path_rate=0.5).train()
    monkeypatch.setattr(DropPath, 'forward', lambda self, branch: torch.zeros_like(branch))
    x = torch.randn(2, 5, 6, 256)
    blocks = network.stages[3].blocks
    assert torch.equal(blocks(x), x)
