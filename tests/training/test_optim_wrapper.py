"""Autocast to bfloat16, and the convolutions that a processor keeps in float32."""

from copy import deepcopy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from projects.training.optim_wrapper import BFloat16OptimWrapper, Float32Conv2d


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, groups=2),
        nn.Conv2d(8, 1, 1, stride=2),
    )


def wrapper(network):
    return BFloat16OptimWrapper(torch.optim.SGD(network.parameters(), lr=0.1))


def test_the_strided_depthwise_convolutions_and_no_others_stay_in_float32(network):
    names = list(network.state_dict())
    outputs = {}
    with wrapper(network).optim_context(network):
        for index, layer in enumerate(network):
            layer.register_forward_hook(lambda _layer, _inputs, output, i=index: outputs.update({i: output.dtype}))
        network(torch.rand(2, 3, 32, 32))
    assert [type(layer) is Float32Conv2d for layer in network] == [False, True, False, False, False]
    assert set(outputs.values()) == {torch.bfloat16}  # what follows is as fast as before
    assert list(network.state_dict()) == names


def test_their_output_and_gradients_are_those_of_float32(network):
    layer, x = network[1], torch.rand(2, 8, 9, 9).bfloat16()
    reference, exact = deepcopy(layer), x.float().requires_grad_()
    expected = reference(exact)
    expected.sum().backward()
    x.requires_grad_()
    with wrapper(network).optim_context(network):
        output = layer(x)
    assert torch.equal(output, expected.bfloat16())
    output.sum().backward()
    assert torch.equal(layer.weight.grad, reference.weight.grad)
    assert torch.equal(x.grad, exact.grad.bfloat16())


def test_large_kernels_and_other_kinds_of_convolution_too():
    network = nn.Sequential(
        Conv2dSame(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 4, 5, padding=2, groups=4),
        Conv2dSame(4, 4, 3, groups=4),
    )
    x = torch.rand(2, 4, 9, 9)
    expected = deepcopy(network[0])(x)
    with wrapper(network).optim_context(network):
        output = network[0](x)
        network[0](x)
    assert [isinstance(layer, Float32Conv2d) for layer in network] == [True, True, False]
    assert output.shape == (2, 4, 5, 5)  # of TensorFlow's padding
    assert torch.allclose(output, expected, atol=1e-6)  # in bfloat16: 1e-3
    with wrapper(network).optim_context(network):  # prepared twice
        assert torch.equal(network[0](x), output)


def test_outside_of_autocast_nothing_is_rounded(network):
    x = torch.rand(2, 3, 32, 32)
    expected = network(x)
    with wrapper(network).optim_context(network):
        pass
    assert torch.allclose(network(x), expected, atol=1e-6)
    assert network(x).dtype == torch.float32


def test_a_copy_of_a_prepared_network_has_weights_of_its_own(network):
    with wrapper(network).optim_context(network):
        pass
    copy = deepcopy(network)
    with torch.no_grad():
        copy[1].weight.zero_()
    assert network[1].weight.any()
    assert not copy[1](torch.rand(1, 8, 4, 4)).sub(copy[1].bias[:, None, None]).any()
