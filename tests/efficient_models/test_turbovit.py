import math
import re
from typing import NamedTuple

import pytest
import torch
from timm.layers import DropPath
from timm.models.hiera import Hiera
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from projects.deployment.multiply_adds import count_macs
from projects.efficient_models.backbones import TurboViT
from projects.efficient_models.backbones.turbovit import (
    Attention,
    Block,
    Variant,
    cut_windows,
    join_windows,
    max_pool,
    resize_positions,
)


class Layer(NamedTuple):
    heads: int
    window: int | None  # in cells of the input
    pool: bool = False


# The network written out, under Hiera's numbers of blocks: the attention lags one block behind the stage.
LAYERS = [
    Layer(1, 8),
    Layer(2, 8, pool=True),
    Layer(2, 4),
    Layer(4, 4, pool=True),
    *[Layer(4, None)] * 6,
    Layer(8, None, pool=True),
    Layer(8, None),
]
LAST_OF_STAGE = (0, 2, 9, 11)


def hiera(height, width, **options):
    sizes = {'embed_dim': 64, 'num_heads': 1, 'stages': (1, 2, 7, 2)} | options
    return Hiera(img_size=(height, width), q_pool=3, mask_unit_attn=(True, True, False, False), **sizes).eval()


def without_classifier(weights):
    return {key: value for key, value in weights.items() if not key.startswith('head.')}


def hiera_names(network):
    """Weights, or gradients, of a network by the names of Hiera."""
    theirs = {own: foreign for foreign, own in network.renamed_prefixes().items()}
    theirs |= {'patch_embed.pos_embed': 'pos_embed'}
    names = {}
    for key, value in network.named_parameters():
        own = next((prefix for prefix in theirs if key.startswith(prefix)), '')
        names[theirs.get(own, '') + key.removeprefix(own)] = value
    return names


def reference_features(weights, images):
    """The network in Hiera's names, computed window by window, of the cells inside the map alone: nothing is padded."""

    def linear(name, x):
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    def norm(name, x):
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return x * weights[f'{name}.weight'] + weights[f'{name}.bias']

    def pooled(x):
        rows = [
            torch.stack([x[:, i : i + 2, j : j + 2].amax((1, 2)) for j in range(0, x.shape[2], 2)], dim=1)
            for i in range(0, x.shape[1], 2)
        ]
        return torch.stack(rows, dim=1)

    def attention(name, x, layer):
        query, key, value = linear(f'{name}.qkv', x).chunk(3, dim=-1)
        query = pooled(query) if layer.pool else query
        query_heads, key_heads, value_heads = (
            part.flatten(1, 2).chunk(layer.heads, dim=-1) for part in (query, key, value)
        )
        attended = [
            (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v
            for q, k, v in zip(query_heads, key_heads, value_heads, strict=True)
        ]
        return linear(f'{name}.proj', torch.cat(attended, dim=-1)).unflatten(1, query.shape[1:3])

    def windowed(name, x, layer):
        side = layer.window or max(x.shape)
        rows = [
            torch.cat(
                [attention(name, x[:, i : i + side, j : j + side], layer) for j in range(0, x.shape[2], side)], dim=2
            )
            for i in range(0, x.shape[1], side)
        ]
        return torch.cat(rows, dim=1)

    x = F.conv2d(images, weights['patch_embed.proj.weight'], weights['patch_embed.proj.bias'], stride=4, padding=3)
    positions = weights['pos_embed'].transpose(1, 2).unflatten(2, (56, 56))
    x = (x + F.interpolate(positions, size=x.shape[2:], mode='bicubic')).permute(0, 2, 3, 1)
    features = []
    for index, layer in enumerate(LAYERS):
        block = f'blocks.{index}'
        normed = norm(f'{block}.norm1', x)
        shortcut = pooled(linear(f'{block}.proj', normed)) if layer.pool else x
        x = shortcut + windowed(f'{block}.attn', normed, layer)
        x = x + linear(f'{block}.mlp.fc2', F.gelu(linear(f'{block}.mlp.fc1', norm(f'{block}.norm2', x))))
        if index in LAST_OF_STAGE:
            features.append(x.permute(0, 3, 1, 2))
    return features


def strong(network):
    """Weights so large that every branch, attention and the positions have a say in every map."""
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=1 if name.endswith('pos_embed') else parameter[0].numel() ** -0.5)
        elif name.endswith('weight'):
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.uniform_(parameter, -0.5, 0.5)
    return network


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    return strong(TurboViT('w64')).eval()


@pytest.fixture(scope='module')
def double():
    torch.manual_seed(1)
    return strong(TurboViT('w64')).double()


def assert_same_features(outputs, expected, tolerance):
    for output, reference in zip(outputs, expected, strict=True):
        assert output.shape == reference.shape
        assert (output - reference).abs().max() < tolerance * reference.abs().mean()


class Record(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.called.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


# Exactness


@pytest.mark.parametrize('size', [(224, 224), (256, 256), (96, 160)], ids=str)
def test_equals_timms_hiera(double, size):
    """Features of all levels and gradients of all weights and of the images; positions fitted to the size of theirs."""
    theirs = strong(hiera(*size)).double()
    weights = without_classifier(theirs.state_dict())
    weights['pos_embed'] = double.patch_embed.pos_embed.detach()
    ours = TurboViT('w64').double()
    ours.load_state_dict(weights)
    height, width = (side // 4 for side in size)
    theirs.pos_embed = nn.Parameter(resize_positions(ours.patch_embed.pos_embed, height, width).detach())
    images = torch.randn(1, 3, *size, dtype=torch.double)
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    outputs, expected = ours(inputs[0]), theirs.forward_intermediates(inputs[1], intermediates_only=True)
    assert_same_features(outputs, expected, 1e-11)

    for features in (outputs, expected):
        sum(feature.square().mean() for feature in features).backward()
    own = {name: value.grad for name, value in hiera_names(ours).items()} | {'images': inputs[0].grad}
    reference = {name: value.grad for name, value in theirs.named_parameters()} | {'images': inputs[1].grad}
    if size != (224, 224):
        del own['pos_embed']  # on another grid
    for name, gradient in own.items():
        scale = reference[name].abs().max()
        assert scale > 0
        assert (gradient - reference[name]).abs().max() < 1e-10 * scale, name


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (97, 131), (44, 200)], ids=str)
def test_padding_has_no_influence(double, size):
    """At sizes where windows stick out of the map and maps are odd: features and gradients of the reference."""
    weights = {key: value.detach().clone().requires_grad_() for key, value in hiera_names(double).items()}
    images = torch.randn(2, 3, *size, dtype=torch.double)
    double.zero_grad()
    outputs, expected = double(images), reference_features(weights, images)
    assert_same_features(outputs, expected, 1e-11)
    for features in (outputs, expected):
        sum(feature.square().mean() for feature in features).backward()
    for name, parameter in hiera_names(double).items():
        reference = weights[name].grad
        assert reference.abs().max() > 0
        assert (parameter.grad - reference).abs().max() < 1e-10 * reference.abs().max(), name


def test_another_variant_equals_timms_hiera(monkeypatch):
    """The table can be extended: other widths, depths and heads."""
    monkeypatch.setitem(TurboViT.archs, 'narrow', Variant((24, 48, 96, 192), (2, 1, 3, 1), (2, 4, 8, 16)))
    ours = TurboViT('narrow')
    theirs = strong(hiera(224, 224, embed_dim=24, num_heads=2, stages=(2, 1, 3, 1)))
    ours.load_state_dict(without_classifier(theirs.state_dict()))
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert_same_features(ours(images), theirs.forward_intermediates(images, intermediates_only=True), 1e-4)
    assert ours.out_channels == (24, 48, 96, 192)


def test_stages_of_equal_width(monkeypatch):
    """What pools is the first block of a stage, not a change of width."""
    monkeypatch.setitem(TurboViT.archs, 'equal', Variant((8, 8, 16, 16), (1, 1, 1, 1), (1, 1, 2, 2)))
    outputs = TurboViT('equal')(torch.randn(1, 3, 64, 64))
    assert [tuple(output.shape) for output in outputs] == [(1, 8, 16, 16), (1, 8, 8, 8), (1, 16, 4, 4), (1, 16, 2, 2)]


def test_heads_that_do_not_fit(monkeypatch):
    monkeypatch.setitem(TurboViT.archs, 'uneven', Variant((64, 128, 250, 512), (1, 2, 7, 2), (1, 2, 4, 8)))
    with pytest.raises(ValueError, match=r'4 attention heads cannot share 250 channels.*multiples of num_heads'):
        TurboViT('uneven')


def test_size_of_the_network():
    """As inferred from the paper: 12.66 M parameters with a classifier; 2.07 GMACs without those of attention."""
    network = TurboViT('w64').eval()
    norm_and_classifier = 2 * 512 + 512 * 1000 + 1000
    parameters = sum(parameter.numel() for parameter in network.parameters()) + norm_and_classifier
    assert parameters == sum(parameter.numel() for parameter in hiera(224, 224).parameters())
    assert round(parameters / 1e6, 2) == 12.66
    with torch.no_grad():
        macs = count_macs(network, torch.randn(1, 3, 224, 224))[1]
    assert round((macs.total - macs.attention) / 1e9, 2) == 2.07
    product = 49 * (64 * 64 * 64 + 16 * 64 * 128 + 16 * 16 * 128 + 4 * 16 * 256)  # windows * queries * keys * channels
    product += 6 * 196 * 196 * 256 + 49 * 196 * 512 + 49 * 49 * 512  # over the whole map
    assert macs.attention == 2 * product


# Windows and pooling


def test_pooling_of_an_incomplete_window():
    """A map of 3x3 in a window of 4x4: cells at the border are pooled with nothing, whatever their sign."""
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])[None, :, :, None]
    for sign, expected in ((1, [[5, 6], [8, 9]]), (-1, [[-1, -3], [-7, -9]])):
        windows, inside = cut_windows(sign * x, 4)
        assert windows.shape == (1, 4, 4, 1)
        assert inside.view(4, 4).tolist() == [[True, True, True, False]] * 3 + [[False] * 4]
        assert join_windows(max_pool(windows), 2, 2)[0, :, :, 0].tolist() == expected
        assert max_pool(sign * x)[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize('size', [(8, 8), (16, 8), (9, 24), (1, 1), (3, 17)], ids=str)
def test_windows_are_cut_side_by_side(size):
    height, width = size
    x = torch.arange(2 * height * width * 3).view(2, height, width, 3)
    windows, inside = cut_windows(x, 8)
    expected = [image[i : i + 8, j : j + 8] for image in x for i in range(0, height, 8) for j in range(0, width, 8)]
    assert len(windows) == len(expected)
    for index, cells in enumerate(expected):
        assert torch.equal(windows[index, : cells.shape[0], : cells.shape[1]], cells)
        if inside is not None:
            assert torch.equal(windows[index].flatten(0, 1)[inside[index, 0, 0]], cells.flatten(0, 1))
    assert (inside is None) == (height % 8 == 0 and width % 8 == 0)
    assert torch.equal(join_windows(windows, height, width), x)


def test_attention_does_not_see_the_padding():
    """What stands in the padded cells changes nothing for the others, not even if it is huge."""
    attention = Attention(16, 16, 2, pool=False)
    windows, inside = cut_windows(torch.randn(2, 5, 6, 16), 4)
    outside = ~inside.view(-1, 4, 4, 1)
    expected = join_windows(attention(windows, inside), 5, 6)
    other = torch.where(outside, 1e6 * torch.randn_like(windows), windows)
    assert outside.any()
    assert torch.equal(join_windows(attention(other, inside), 5, 6), expected)


@pytest.mark.parametrize('pool', [False, True])
def test_global_attention_has_no_order(pool):
    """Cells exchanged as a whole, or within what is pooled, change places in the output or nothing."""
    block = strong(Block(8, 8, 2, None, pool, 0.0)).double()
    x = torch.randn(1, 6, 10, 8, dtype=torch.double)
    expected = block(x)
    torch.testing.assert_close(block(x.flip(1, 2)), expected.flip(1, 2))
    if pool:
        exchanged = x.unflatten(2, (5, 2)).flip(3).flatten(2, 3)
        torch.testing.assert_close(block(exchanged), expected)


def test_mask_units_see_themselves_alone(double):
    """Cells of the first two levels depend on the 32x32 pixels of their mask unit, and 3 beside them for the stem."""
    images = torch.randn(1, 3, 97, 131, dtype=torch.double, requires_grad=True)
    outputs = double(images)
    for level, output in enumerate(outputs):
        unit = 8 // 2**level
        cells = output[:, :, unit : 2 * unit, 2 * unit : 3 * unit]
        (gradient,) = torch.autograd.grad(cells.square().sum(), images, retain_graph=True)
        rows, columns = (gradient[0, 0] != 0).nonzero().unbind(1)
        seen = (rows.min().item(), rows.max().item(), columns.min().item(), columns.max().item())
        assert seen == ((29, 63, 61, 95) if level < 2 else (0, 96, 0, 130))


# Positions


def test_positions_are_fitted_to_the_map():
    """Cells have their centres at half of their size: at half the resolution, between the second and third of four.

    There, the bicubic kernel of torch has the weights -3/32, 19/32, 19/32, -3/32.
    """
    positions = torch.randn(1, 56 * 56, 3)
    rows = positions.view(56, 56, 3)
    halved = resize_positions(positions, 28, 56).view(28, 56, 3)
    for row in (1, 13, 26):
        first, second, third, fourth = rows[2 * row - 1 : 2 * row + 3]
        torch.testing.assert_close(halved[row], (19 * (second + third) - 3 * (first + fourth)) / 32)
    transposed = rows.transpose(0, 1).reshape(1, 56 * 56, 3)
    torch.testing.assert_close(resize_positions(transposed, 56, 28).view(56, 28, 3), halved.transpose(0, 1))
    assert resize_positions(positions, 56, 56) is positions


def test_changed_positions_take_effect_at_once(network):
    """Nothing is kept from an earlier forward pass, at any size."""
    images = torch.randn(1, 3, 64, 96)
    changed = TurboViT('w64').eval()
    changed.load_state_dict(network.state_dict())
    with torch.inference_mode():
        before = changed(images)[0]
        changed.patch_embed.pos_embed.zero_()
        after = changed(images)[0]
        fresh = TurboViT('w64').eval()
        fresh.load_state_dict(changed.state_dict())
        assert torch.equal(fresh(images)[0], after)
    assert not torch.allclose(before, after, atol=0.1)


# Checkpoints


def test_hieras_checkpoint(tmp_path):
    """A classifier of timm, of the same and of another resolution; the authors' norm and head are left out, too."""
    for side in (224, 256):
        weights = hiera(side, side).state_dict()
        theirs = {'norm.weight': torch.ones(512), 'head.projection.weight': torch.ones(1000, 512)}
        torch.save({'model': weights | theirs}, tmp_path / f'{side}.pth')
        network = TurboViT('w64', pretrained=tmp_path / f'{side}.pth')
        own = hiera_names(network)
        assert own.keys() == without_classifier(weights).keys()
        for key, value in own.items():
            if key != 'pos_embed' or side == 224:
                assert torch.equal(value, weights[key]), key
        grid = weights['pos_embed'].unflatten(1, (side // 4, side // 4)).permute(0, 3, 1, 2)
        expected = F.interpolate(grid, size=(56, 56), mode='bicubic').flatten(2).transpose(1, 2)
        torch.testing.assert_close(own['pos_embed'], expected)


@pytest.mark.parametrize('shape', [(1, 3000, 64), (3136, 64), (1, 3136, 96)], ids=str)
def test_positions_that_do_not_fit(shape, tmp_path):
    weights = hiera(224, 224).state_dict()
    torch.save(weights | {'pos_embed': torch.zeros(shape)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=re.escape(f'pos_embed {shape} instead of (1, 3136, 64)')):
        TurboViT('w64', pretrained=tmp_path / 'weights.pth')


def test_initial_state_is_hieras():
    expected = without_classifier(hiera(224, 224).state_dict())
    constant = 0
    for name, value in hiera_names(TurboViT('w64')).items():
        if name == 'patch_embed.proj.bias':
            continue  # 64 values, as torch draws them
        spread = expected[name].std().item()
        assert value.std().item() == pytest.approx(spread, rel=0.05), name
        if spread < 1e-6:
            assert torch.equal(value, expected[name]), name
            constant += 1
    assert constant == 12 * 8 + 3  # biases, and scales of the norms


# Speed and memory


@pytest.mark.parametrize('size', [(224, 224), (192, 256), (97, 131)], ids=str)
def test_operations(network, size):
    """One copy into windows and one out of them; attention is never a matrix in memory; padding where it is needed."""
    record = Record()
    with torch.no_grad(), record:
        network(torch.randn(2, 3, *size))
    called = record.called
    assert called.count('_scaled_dot_product_flash_attention_for_cpu') == 12
    assert not {'_softmax', '_safe_softmax', 'bmm', 'repeat', 'cat', 'index', 'gather'} & set(called)
    padded = size == (97, 131)
    windows, masks, images = 4 * 2 + 2, 4 * padded, 1
    assert called.count('clone') == windows + masks + images
    assert {'replication_pad2d', 'constant_pad_nd', 'ones', 'new_ones'} & set(called) == (
        {'replication_pad2d', 'constant_pad_nd', 'new_ones'} if padded else set()
    )
    assert called.count('upsample_bicubic2d') == (size != (224, 224))


def test_maps_are_channels_last(network):
    for layout in (torch.contiguous_format, torch.channels_last):
        for output in network(torch.randn(2, 3, 64, 96).to(memory_format=layout)):
            assert output.is_contiguous(memory_format=torch.channels_last)


def test_activation_is_in_place_where_nothing_needs_its_input(network):
    """In inference, and of frozen stages; with the same result and without touching the images."""
    images = torch.randn(1, 3, 64, 96)
    given = images.clone()
    with torch.inference_mode(), Record() as inference:
        inferred = network(images)
    assert torch.equal(images, given)
    with Record() as training:
        outputs = network(images)
    with Record() as frozen:
        TurboViT('w64', frozen_stages=2)(images)
    assert [record.called.count('gelu_') for record in (inference, training, frozen)] == [12, 0, 3]
    assert [record.called.count('gelu') for record in (inference, training, frozen)] == [0, 12, 9]
    assert_same_features(outputs, inferred, 1e-5)


@pytest.mark.parametrize('size', [(64, 64), (97, 131)], ids=str)
def test_autocast(network, size):
    """Under bfloat16, whose rounding errors are up to 1 / 256, the features deviate by less than 2 percent."""
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = network(x)
        with torch.autocast('cpu', torch.bfloat16):
            outputs = network(x)
    for output, reference in zip(outputs, expected, strict=True):
        assert (output - reference).square().mean().sqrt() < 0.02 * reference.square().mean().sqrt()


def test_drop_path_grows_linearly_over_blocks():
    """1, 2, 7 and 2 blocks: block i of 12 drops with probability 0.55 i / 11, in each of its branches."""
    blocks = [block for stage in TurboViT('w64', drop_path_rate=0.55).stages for block in stage]
    rates = [getattr(block.drop_path, 'drop_prob', 0.0) for block in blocks]
    assert rates == pytest.approx([0.05 * index for index in range(12)])
    assert not isinstance(blocks[0].drop_path, DropPath)


def test_branches_are_dropped_per_image(monkeypatch):
    """A sample whose branches are all dropped passes through a block unchanged, or only pooled, in windows too."""
    monkeypatch.setattr(DropPath, 'forward', lambda self, branch: branch * torch.tensor([0.0, 1]).view(2, 1, 1, 1))
    x = torch.randn(2, 9, 11, 8)
    for window in (4, None):
        block = Block(8, 8, 2, window, pool=False, drop_path=0.5)
        assert torch.equal(block(x)[0], x[0])
        assert not torch.equal(block(x)[1], x[1])
        pooling = Block(8, 16, 2, window, pool=True, drop_path=0.5)
        torch.testing.assert_close(pooling(x)[:1], max_pool(pooling.proj(pooling.norm1(x[:1]))))
        assert pooling(x).shape == (2, math.ceil(9 / 2), math.ceil(11 / 2), 16)
