"""ReLU linear attention is found by what is computed, and gets grids of its own that still run in integers."""

import copy
import dataclasses

import pytest
import torch

from projects.deployment.quantization.discovery import find_sites
from projects.deployment.quantization.execution import int8_share, site_executions
from projects.deployment.quantization.fidelity import exact_heads, head_sqnr_db, site_sqnr_db
from projects.deployment.quantization.grids import fake_quantize
from projects.deployment.quantization.observation import observe
from projects.deployment.quantization.origins import KEYS_AND_VALUES, VALUES, find_origins, record
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.ranges import least_error_grid
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.quantization.trio import column_grid, halved_scales, shift_pointwise
from projects.deployment.quantization.units import round_samples, units_of
from projects.deployment.runtimes.openvino_session import OpenVINOSession, convert_onnx
from projects.efficient_models.backbones.efficientvit_mit import EfficientViTBlock
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms
from projects.efficient_models.layers.mbconv import HardSwish

from .tiny import INFO, Tiny, pictures

ATTENTION = 'backbone.block.context_module.main'
LOCAL = 'backbone.block.local_module.main'


class Efficient(Tiny):
    """With a block of EfficientViT (MIT) in the place of attention by softmax, and channels of many sizes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone.block = EfficientViTBlock(16, 8, 2, HardSwish, 0.0)
        local = self.backbone.block.local_module.main
        local.inverted_conv.conv.weight.data *= torch.logspace(-1, 1, 32)[:, None, None, None]
        local.depth_conv.conv.bias.data += torch.linspace(-2, 2, 32)
        self.backbone.forward = self.features
        self.eval().requires_grad_(False)

    def features(self, x):
        x = self.backbone.block(torch.nn.functional.hardswish(self.backbone.stem(x)))
        return self.backbone.up(x), torch.nn.functional.max_pool2d(x, 2)


@pytest.fixture(scope='module')
def graph():
    graph = Efficient()
    fold_batch_norms(graph, torch.from_numpy(pictures(1)[0]).float())
    return graph


def test_values_of_relu_attention_are_found(graph):
    """Keys meet values, and their products the queries, in which positions are many; of few, queries meet keys."""
    origins = find_origins(record(graph, torch.from_numpy(pictures(1)[0])))
    keys = [f'{ATTENTION}#{call}:{index}' for call in (0, 1) for index in (0, 1)]
    assert [origins.get(key) for key in keys] == ['relu', VALUES, 'relu', KEYS_AND_VALUES]
    few = find_origins(record(graph, torch.from_numpy(pictures(1, size=(4, 4))[0])))
    assert [few.get(key) for key in keys] == ['relu', 'relu', None, VALUES]
    assert VALUES not in find_origins(record(Tiny(), torch.from_numpy(pictures(1)[0]))).values()


def test_networks_without_it_are_refused():
    with pytest.raises(ValueError, match='trio is for ReLU linear attention, and this network has none: choose'):
        quantize(Tiny(), pictures(10), QuantizationSettings('trio'))


def test_more_bits_say_more(graph):
    images, new = pictures(10), pictures(4, seed=2)
    quantized = [quantize(copy.deepcopy(graph), images, QuantizationSettings('trio', bits)) for bits in (4, 8)]
    four, eight = (head_sqnr_db(exact_heads(graph, new), each)['all'] for each in quantized)
    assert four + 10 < eight
    assert eight > 20


def test_centered_channels_are_exact_in_float():
    graph, images = Efficient(), pictures(10)
    image = torch.from_numpy(images[0])
    fold_batch_norms(graph, image.float())
    sites, _, _ = find_sites(graph, image)
    exact = graph.head_outputs(image)['cls']
    observed = observe(graph, images, sites, with_samples=False)
    assert shift_pointwise(graph, observed, image, 8) == 1
    torch.testing.assert_close(graph.head_outputs(image)['cls'], exact, atol=1e-4, rtol=1e-4)
    after = observe(graph, images, sites, with_samples=False)[f'{LOCAL}.point_conv.conv#0']
    torch.testing.assert_close(after.low[0], -after.high[0], atol=1e-4, rtol=1e-4)
    assert observed[f'{LOCAL}.point_conv.conv#0'].high[0].max() > 1.5 * after.high[0].max()


def test_scales_are_halved_and_columns_have_their_own(graph):
    images = pictures(10)
    sites, _, _ = find_sites(graph, torch.from_numpy(images[0]))
    observed = observe(graph, images, sites)
    units = {unit.name: unit for unit in units_of(graph, sites, observed, 6)}
    unit = units[f'{LOCAL}.depth_conv.conv#0']
    site, (samples,) = unit.sites[0], observed[unit.name].samples
    whole, found = least_error_grid(unit, site, 0), halved_scales(unit, site)
    halvings = torch.log2(whole.scale[0] / torch.tensor(found.scale))
    torch.testing.assert_close(halvings, halvings.round())
    assert len(halvings.unique()) > 2
    errors = [(round_samples(samples, site, grid) - samples).square().sum() for grid in (found, whole)]
    assert errors[0] < 0.9 * errors[1]
    unit = units[f'{ATTENTION}#1']
    grid, values = column_grid(unit, unit.sites[0]), observed[unit.name].samples[1]
    assert (len(grid.scale), set(grid.zero_point), grid.axis) == (9, {0}, 3)
    assert grid.scale[8] > 2 * max(grid.scale[:8]), 'sums of weights are larger than what values give'
    own, shared = (
        (fake_quantize(values, one) - values)[..., :8].square().sum()
        for one in (dataclasses.replace(grid, axis=2), least_error_grid(unit, unit.sites[0], 1))
    )
    assert own < 0.5 * shared


def test_more_is_left_than_of_one_range_and_all_runs_in_integers(graph, tmp_path):
    images, unseen = pictures(10), pictures(6, seed=3)
    six = [quantize(graph, images, QuantizationSettings(method, 6)) for method in ('trio', 'mse')]
    ratios = [head_sqnr_db(exact_heads(graph, unseen), one)['all'] for one in six]
    assert ratios[0] > ratios[1]
    quantized = quantize(graph, images, QuantizationSettings('trio'))
    assert min(site_sqnr_db(quantized, images[:2]).values()) > 20
    write_quantized(quantized, INFO, tmp_path / 'tiny.onnx', INFO.input_size)
    convert_onnx(tmp_path / 'tiny.onnx', tmp_path / 'tiny.xml', INFO.to_json(), half_weights=False)
    executions = site_executions(quantized.scheme, tmp_path / 'tiny.xml', 'fp32')
    assert int8_share(quantized.scheme, executions) == 1, executions
    session = OpenVINOSession(tmp_path / 'tiny.xml', 'fp32')
    for image in unseen:
        simulated, exact = (one(torch.from_numpy(image))[0] for one in (quantized, graph))
        ran = torch.from_numpy(session(image)['probabilities'])
        assert (ran - simulated).abs().mean() < 0.5 * (exact - simulated).abs().mean()


def test_runtimes_without_channels_get_one_range(graph):
    settings = QuantizationSettings('trio', channelwise=False)
    grids = quantize(graph, pictures(10), settings).scheme.inputs
    assert {grid.axis for grid in grids.values()} == {None}
