"""What mixers do to order, constants and mirror images: each holds for those named here, and must fail for the others.

A mixer that is in no table is expected to depend on the order of tokens and on their direction.
"""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from projects.efficient_models.token_mixers import (
    TOKEN_MIXERS,
    build_token_mixer,
    focused_linear_attention,
    nystrom_attention,
)
from projects.efficient_models.token_mixers.nystrom_attention import pseudo_inverse

CHANNELS = 64
EXACT = 1e-9  # of float64
# tokens in any order give the same tokens in that order: of the mixer as it is, or once its local kernels are points
ANY_ORDER = ['softmax', 'efficient', 'cross_covariance', 'single_head', 'channel', 'dual', 'additive']
ANY_ORDER_BUT_FOR_KERNELS = [
    'relu_linear',
    'focused_linear',
    'inline',
    'focal_modulation',
    'efficient_modulation',
    'convolution',
    'conv_additive',
]
# mirror images give mirror images, once local kernels are points and learnt biases zero
MIRRORED = [*ANY_ORDER, *ANY_ORDER_BUT_FOR_KERNELS, 'neighborhood', 'nystrom', 'agent', 'pool']
# weights to zero so that all tokens have one value, where channel 0 is one; weights that sum up to 1 then keep it
VALUE_WEIGHTS = {
    **dict.fromkeys(
        [
            'softmax',
            'window',
            'neighborhood',
            'nystrom',
            'agent',
            'efficient',
            'focused_linear',
            'inline',
            'extra_tokens',
            'token_merging',
            'cross_scale',
        ],
        lambda mixer: [mixer.qkv.weight[2 * CHANNELS :, 1:]],
    ),
    'relu_linear': lambda mixer: [mixer.attn.qkv.conv.weight.unflatten(0, (-1, 3, mixer.attn.head_dim))[:, 2, :, 1:]],
    'single_head': lambda mixer: [
        mixer.attn.qkv.c.weight[2 * mixer.qk_dim :, 1:],
        mixer.attn.proj[1].c.weight[:, mixer.partial_dim :],
    ],
    'spatial_reduction': lambda mixer: [mixer.kv.weight[CHANNELS:]],
    'deformable': lambda mixer: [mixer.key_value.weight[CHANNELS:, 1:]],
}
# PyTorch computes their softmax attention in one piece, on a CPU, too: by the size of the map
FUSED = {
    **dict.fromkeys(
        ['softmax', 'neighborhood', 'agent', 'spatial_reduction', 'cross_scale', 'token_merging', 'deformable'],
        (17, 10),
    ),
    'single_head': (41, 25),  # faster with its scores on smaller maps
}
# softmax normalises their features, and scores no pairs
WITHOUT_SCORES = ['efficient', 'rala']


@pytest.fixture(params=list(TOKEN_MIXERS))
def name(request):
    return request.param


@pytest.fixture
def mixer(name, randomize):
    """In float64, so that what is exact but for rounding stands out."""
    return randomize(build_token_mixer(name, CHANNELS)).double().eval()


def without_local_kernels(mixer: nn.Module) -> nn.Module:
    """Leave only the central weight of each convolution of stride 1, and of the kernels that InLine predicts."""
    with torch.no_grad():
        for module in mixer.modules():
            if isinstance(module, nn.Conv2d) and module.stride == (1, 1):
                center = module.weight[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2].clone()
                module.weight.zero_()[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2] = center
        if hasattr(mixer, 'residual'):
            for parameter in (mixer.residual[-1].weight, mixer.residual[-1].bias):
                kernels = parameter.unflatten(0, (CHANNELS, 9))
                kernels[:, :4] = kernels[:, 5:] = 0
    return mixer


def relative_error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    return ((ours - expected).abs().max() / (expected - expected.mean(dim=(2, 3), keepdim=True)).std()).item()


def order_error(mixer: nn.Module) -> float:
    """How far the mixed tokens in another order are from the tokens in another order mixed."""
    x, order = torch.randn(2, CHANNELS, 9, 10, dtype=torch.double), torch.randperm(90)

    def shuffled(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2)[:, :, order].view_as(x)

    with torch.inference_mode():
        return relative_error(mixer(shuffled(x)), shuffled(mixer(x)))


def test_the_order_of_tokens_matters_where_it_must(name, mixer):
    if name in ANY_ORDER:
        assert order_error(mixer) < EXACT
        return
    assert order_error(mixer) > 0.05
    if name in ANY_ORDER_BUT_FOR_KERNELS:
        assert order_error(without_local_kernels(mixer)) < EXACT
    else:
        assert order_error(without_local_kernels(mixer)) > 0.05


@pytest.mark.parametrize('dim', [2, 3])
def test_mirror_images_give_mirror_images(name, mixer, dim):
    mixer = without_local_kernels(mixer)
    if hasattr(mixer, 'bias_table'):
        nn.init.zeros_(mixer.bias_table)
    x = torch.randn(2, CHANNELS, 9, 10, dtype=torch.double)
    with torch.inference_mode():
        error = relative_error(mixer(x.flip(dim)), mixer(x).flip(dim))
    if name in MIRRORED:
        assert error < EXACT
    else:
        assert error > 0.05


@pytest.mark.parametrize('name', list(VALUE_WEIGHTS))
@pytest.mark.parametrize('size', [(9, 10), (17, 5)])
def test_constant_values_stay_constant(name, mixer, size, monkeypatch):
    # exact in the limit: six steps stop before the inverse where logits are small; a sum of weights is kept from zero
    monkeypatch.setattr(nystrom_attention, 'ITERATIONS', 40)
    monkeypatch.setattr(focused_linear_attention, 'EPS', 1e-30)
    inverted = []
    monkeypatch.setattr(nystrom_attention, 'pseudo_inverse', lambda one: inverted.append(one) or pseudo_inverse(one))
    mixer = without_local_kernels(mixer)
    if name == 'nystrom':
        mixer.grid = 2  # few landmarks differ enough for a condition whose square leaves digits
    x = torch.randn(2, CHANNELS, *size, dtype=torch.double)
    x[:, 0] = 1
    with torch.no_grad():
        assert mixer(x).std(dim=(2, 3)).max() > 0.001
        for weight in VALUE_WEIGHTS[name](mixer):
            weight.zero_()
        y = mixer(x)
    assert y.abs().max() > 0.01
    # a step multiplies what rounding leaves of the product, epsilon times the condition, by the inverse once more
    condition = max((torch.linalg.cond(one).max().item() for one in inverted), default=0)
    assert (y - y[:, :, :1, :1]).abs().max() < max(EXACT, torch.finfo(torch.double).eps * condition**2)


class SoftmaxSizes(TorchDispatchMode):
    """Notes how many elements each softmax sees."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if 'softmax' in func.__name__:
            self.sizes.append(args[0].numel())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('size', [(3, 2), (17, 10)])
def test_scores_are_as_many_as_stated(name, mixer, size):
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), SoftmaxSizes() as seen:
        part = mixer.channel if name == 'dual' else mixer  # the other half is efficient attention, without scores
        part(torch.randn(1, CHANNELS, *size, dtype=torch.double))
    largest, total = (0, 0) if name in WITHOUT_SCORES else (max(seen.sizes), sum(seen.sizes))
    assert largest <= mixer.num_scores(*size) <= total


@pytest.mark.parametrize('name', FUSED)
def test_scores_are_not_kept_by_fused_attention(name, mixer):
    with SoftmaxSizes() as seen:
        mixer(torch.randn(1, CHANNELS, *FUSED[name], dtype=torch.double, requires_grad=True)).sum().backward()
    assert seen.sizes == [0]


def test_scores_grow_with_the_square_of_tokens_only_where_said(mixer):
    few, many = mixer.num_scores(64, 64), mixer.num_scores(128, 128)
    assert mixer.mechanism.is_quadratic == (many > 8 * few)


@pytest.mark.parametrize('name', TOKEN_MIXERS)
def test_far_positions_are_read_where_the_mechanism_says_so(name, randomize):
    mixer = randomize(build_token_mixer(name, CHANNELS)).double().eval()
    x = torch.randn(1, CHANNELS, 32, 32, dtype=torch.float64)
    changed = x.clone()
    changed[..., -1, -1] += 5
    with torch.inference_mode():
        difference = (mixer(changed) - mixer(x)).abs().amax(dim=1)[0]
    assert difference[-1, -1] > 1e-6
    assert (difference[0, 0] == 0) == (mixer.mechanism.reads == 'near')
