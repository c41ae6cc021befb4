import pytest
import timm
import torch
from timm.layers import DropPath

from projects.deployment.multiply_adds import count_macs
from projects.efficient_models.backbones import SHViT, shvit
from projects.efficient_models.checkpoint_keys import rename_keys

ARCHS = ('s1', 's2', 's3', 's4')
# Parameters of a classifier with 1000 classes, in millions, as published (table 1 of the paper).
PUBLISHED_PARAMETERS_M = {'s1': 6.3, 's2': 11.4, 's3': 14.2, 's4': 16.5}


def relative_error(output, reference):
    return ((output - reference).abs().max() / reference.abs().mean()).item()


@pytest.fixture(scope='module', params=ARCHS)
def pair(request, randomize):
    """Our network and timm's, with the same weights, in double precision."""
    torch.manual_seed(1)
    reference = randomize(timm.create_model(f'shvit_{request.param}')).double()
    network = SHViT(request.param).double()
    network.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith('head.')})
    return network, reference


@pytest.mark.parametrize('size', [(224, 224), (256, 320), (97, 131)], ids=str)
def test_features_equal_timm(pair, size):
    network, reference = (model.eval() for model in pair)
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        for output, expected in zip(network(x), reference.forward_intermediates(x)[1], strict=True):
            assert relative_error(output, expected) <= 1e-12


def test_training_equals_timm(pair):
    """Outputs with batch statistics, the gradients of every parameter, and the running statistics afterwards."""
    network, reference = (model.train() for model in pair)
    x = torch.randn(2, 3, 97, 131, dtype=torch.float64)
    for model, features in ((network, network(x)), (reference, reference.forward_intermediates(x)[1])):
        model.zero_grad()
        sum(feature.square().mean() for feature in features).backward()
    expected_gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in network.named_parameters():
        scale = expected_gradients[name].abs().max() + 1e-3  # a shift before a normalisation has none
        assert (parameter.grad - expected_gradients[name]).abs().max() <= 1e-9 * scale, name
    buffers = dict(reference.named_buffers())
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize('partial_dim', [20, 8], ids=lambda dim: f'values of {dim}')
def test_attention_without_scores_is_that_with_scores(partial_dim, randomize, monkeypatch):
    """One kernel computes it on large maps, with queries and keys, here of 16 channels, or values filled up."""
    module = randomize(shvit.SHSA(32, partial_dim)).double()
    x = torch.randn(2, 32, 5, 7, dtype=torch.double, requires_grad=True)
    results = []
    for above in (35, 34):
        monkeypatch.setattr(shvit, 'FUSED_ABOVE', above)
        y = module(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, *module.parameters()])))
    assert (results[0][0].std(dim=(2, 3)) > 1e-3).all()
    for fused, with_scores in zip(*reversed(results), strict=True):
        torch.testing.assert_close(fused, with_scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('arch', ARCHS)
def test_size_and_initial_state_equal_timm(arch):
    network, reference = SHViT(arch), timm.create_model(f'shvit_{arch}')
    own, theirs = network.state_dict(), reference.state_dict()
    body = [key for key in theirs if not key.startswith('head.')]
    assert list(own) == body
    for key in body:
        if own[key].dim() <= 1:
            torch.testing.assert_close(own[key], theirs[key] if 'se.' not in key else own[key], msg=key)
        else:
            assert own[key].std() == pytest.approx(theirs[key].std().item(), rel=0.1), key
    classifier = sum(parameter.numel() for parameter in reference.head.parameters())
    parameters = sum(parameter.numel() for parameter in network.parameters()) + classifier
    assert parameters / 1e6 == pytest.approx(PUBLISHED_PARAMETERS_M[arch], rel=0.01)


@pytest.mark.parametrize('arch', ['s1', 's4'])
def test_golden_features(golden, arch):
    """The authors' own code and key names."""
    network = SHViT(arch).eval()
    network.load_state_dict(golden.weights(f'shvit_{arch}'))
    assert golden.largest_error(f'shvit_{arch}', network) < 1e-4


@pytest.mark.parametrize('arch', ['s1', 's4'])
def test_authors_keys_map_one_to_one(golden, assert_keys_map_one_to_one, arch):
    assert_keys_map_one_to_one(SHViT(arch), golden.shapes(f'shvit_{arch}'))


@pytest.mark.parametrize('arch', ARCHS)
def test_authors_keys_by_hand(arch):
    """The authors put the five modules of a downsampling into three, before the blocks of stages 2 and 3."""
    expected = {
        'blocks1.0.conv.': 'stages.0.blocks.0.conv.',
        'blocks1.1.ffn.m.': 'stages.0.blocks.1.ffn.m.',
        'blocks2.0.0.m.': 'stages.1.downsample.0.m.',
        'blocks2.0.1.m.': 'stages.1.downsample.1.m.',
        'blocks2.1.se.': 'stages.1.downsample.2.se.',
        'blocks3.2.0.m.': 'stages.2.downsample.3.m.',
        'blocks3.2.1.m.': 'stages.2.downsample.4.m.',
        'blocks3.3.mixer.': 'stages.2.blocks.0.mixer.',
        'blocks3.7.mixer.': 'stages.2.blocks.4.mixer.',
    }
    renamed = dict.fromkeys(expected)
    network = SHViT(arch)
    rename_keys(renamed, network.renamed_prefixes())
    assert list(renamed) == list(expected.values())
    own_prefixes = tuple(network.renamed_prefixes().values())
    assert all(key.startswith(own_prefixes) for key in network.state_dict() if not key.startswith('patch_embed.'))


def test_stem_levels():
    """Strides 2, 4 and 8 are taken after the activation of the stem's convolutions."""
    network = SHViT('s1', out_indices=(0, 1, 2)).eval()
    x = torch.randn(1, 3, 40, 56).to(memory_format=torch.channels_last)  # as the network lays it out
    with torch.inference_mode():
        outputs = network(x)
        for index, output in enumerate(outputs):
            torch.testing.assert_close(output, network.patch_embed[: 2 * (index + 1)](x), rtol=0, atol=0)
            assert output.min() >= 0
    assert network.strides == (2, 4, 8)
    assert len(network.stages) == 0


def test_drop_path_grows_linearly_over_blocks():
    """Depths 2, 4, 5: block i of 11 drops with probability 0.5 i / 10, in each of its branches."""
    network = SHViT('s1', drop_path_rate=0.5)
    rates = [block.ffn.drop_path for stage in network.stages for block in stage.blocks]
    assert [getattr(rate, 'drop_prob', 0.0) for rate in rates] == pytest.approx([0.05 * i for i in range(11)])
    for stage in network.stages:
        assert not [module for module in stage.downsample.modules() if isinstance(module, DropPath)]
        for block in stage.blocks:
            branches = {module.drop_prob for module in block.modules() if isinstance(module, DropPath)}
            assert branches == ({block.ffn.drop_path.drop_prob} if branches else set())


def test_outputs_survive_the_next_stage(randomize):
    """In-place activations never touch a map that was returned."""
    network = randomize(SHViT('s1', out_indices=range(6)).eval())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = [level.clone() for level in network.forward_levels(x)]
        outputs = network(x)
    for output, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=0)


def test_multiply_adds_are_those_of_the_formula_at_any_number_of_positions():
    attention = shvit.SHSA(64, 32).eval()
    for height, width in ((8, 8), (40, 40)):  # of the latter, one kernel computes with wider queries and keys
        with torch.no_grad():
            _, macs = count_macs(attention, torch.rand(1, 64, height, width))
        positions = height * width
        assert macs.attention == positions**2 * (16 + 32)
        assert macs.total == macs.attention + positions * (32 * (16 + 16 + 32) + 64 * 64)
