"""Mobile-Former beside the features of the authors' code, and the figures of the paper."""

import pytest
import torch
from torch.nn import functional as F

from projects.deployment.multiply_adds import count_macs
from projects.efficient_models.backbones import MobileFormer
from projects.efficient_models.layers.token_bridge import DynamicReLU, LocalToGlobal

# Multiply-adds (10^9) of an image of 800x1280 without the classifier, counted in the authors' code.
MACS_G = {'26m': 0.36, '52m': 0.85, '96m': 1.63, '151m': 2.44, '214m': 3.61, '294m': 5.09, '508m': 9.23}


def whole(arch):
    return MobileFormer(arch, out_indices=range(len(MobileFormer(arch).levels))).eval()


def split_weights(weights):
    """Weights of the network, and of the gathering before the classifier, which is not ours to keep."""
    last = {key: value for key, value in weights.items() if key.startswith('local_global.')}
    kept = {key: value for key, value in weights.items() if key not in last}
    return kept, {key.removeprefix('local_global.'): value for key, value in last.items()}


@pytest.mark.parametrize('arch', ['26m', '294m'])
def test_golden_features(golden, arch):
    """The authors' own code and key names: the maps, and the tokens after one more gathering."""
    network = whole(arch)
    kept, last = split_weights(golden.weights(f'mobile_former_{arch}'))
    network.load_state_dict(kept)
    gather = LocalToGlobal(network.out_channels[-1], network.patch_embed.tokens.embedding_dim)
    gather.load_state_dict(last)

    def maps_and_tokens(images):
        states = list(network.forward_states(images))
        return [*(x for x, _ in states), gather(*states[-1])]

    assert golden.largest_error(f'mobile_former_{arch}', maps_and_tokens) < 1e-4


@pytest.mark.parametrize('arch', ['26m', '294m'])
def test_keys_are_the_authors(golden, assert_keys_map_one_to_one, arch):
    shapes = golden.shapes(f'mobile_former_{arch}')
    assert_keys_map_one_to_one(whole(arch), split_weights(shapes)[0])


@pytest.mark.parametrize('arch', MACS_G)
def test_multiply_adds(arch):
    with torch.device('meta'), torch.no_grad():
        _, macs = count_macs(MobileFormer(arch).eval(), torch.empty(1, 3, 800, 1280))
    assert macs.total / 1e9 == pytest.approx(MACS_G[arch], abs=0.005)


def test_tokens_gather_by_attention_to_unprojected_positions(randomize):
    """Written out for one head at a time."""
    gather = randomize(LocalToGlobal(dim=4, token_dim=8)).eval()
    x, tokens = torch.randn(1, 4, 2, 3), torch.randn(1, 5, 8)
    query, positions = gather.q(tokens)[0], x[0].flatten(1).T
    heads = [slice(0, 2), slice(2, 4)]
    attended = [((query[:, h] @ positions[:, h].T) / 2**0.5).softmax(1) @ positions[:, h] for h in heads]
    gate = F.relu6(gather.alpha[0](tokens[0]) + 3) / 3
    expected = F.layer_norm(
        tokens[0] + gather.proj(torch.cat(attended, 1) * gate), (8,), *gather.layer_norm.parameters()
    )
    torch.testing.assert_close(gather(x, tokens)[0], expected)


def test_activation_is_relu_where_both_coefficients_are_a_half():
    """Coefficients of 1/2, which a token of zeros gives without biases: max(x, 0)."""
    activation = DynamicReLU(dim=3, token_dim=8)
    for parameter in activation.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(activation(x, torch.zeros(2, 8)), x.relu())


def test_the_tokens_of_a_sample_do_not_see_another_sample(randomize):
    network = randomize(MobileFormer('26m')).eval()
    x = torch.randn(3, 3, 33, 65)
    with torch.inference_mode():
        together = network(x)[-1]
        alone = torch.cat([network(image[None])[-1] for image in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_stem_alone_keeps_no_tokens():
    stem = MobileFormer('96m', out_indices=(0,))
    assert not [name for name, _ in stem.named_parameters() if 'tokens' in name]
    assert stem(torch.randn(2, 3, 33, 65))[0].shape == (2, 12, 17, 33)
