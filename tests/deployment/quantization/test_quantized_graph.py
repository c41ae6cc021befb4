"""A quantised graph: its sites, its file, its search; test_parity.py compares what runs with it."""

import collections
import dataclasses

import onnx
import pytest
import torch

from projects.deployment.quantization.discovery import find_sites
from projects.deployment.quantization.execution import int8_share
from projects.deployment.quantization.fidelity import exact_heads, head_sqnr_db, site_sqnr_db
from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.quantized_graph import QuantizedGraph
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.quantization.site_report import site_table

from .tiny import INFO, Head, Tiny, pictures

NAMES = [
    'backbone.stem#0',
    'backbone.depthwise#0',
    'backbone.qkv#0',
    'backbone#0',
    'backbone#1',
    'backbone.up#0',
    'decode_head.shared#0',
    'decode_head.squeeze#0',
    'decode_head.shared#1',
]
KINDS = ['conv', 'depthwise conv', 'linear', 'matmul', 'matmul', 'transposed conv', 'conv', 'conv', 'conv']


@pytest.fixture(scope='module')
def quantized():
    return quantize(Tiny(), pictures(10), QuantizationSettings('minmax'))


def test_sites_are_calls_and_not_modules():
    sites, kept, unknown = find_sites(Tiny(), torch.from_numpy(pictures(1)[0]))
    assert [(site.name, site.kind) for site in sites] == list(zip(NAMES, KINDS, strict=True))
    assert sites[0].macs == 12 * 16 * 27 * 16
    assert sites[3].operands == ((1, 2, 192, 8), (1, 2, 8, 192))
    assert not kept
    assert not unknown


def test_a_shared_layer_has_a_range_per_level(quantized):
    inputs = quantized.scheme.inputs
    assert inputs['decode_head.shared#0:0'] != inputs['decode_head.shared#1:0']
    assert list(quantized.scheme.weights).count('decode_head.shared.weight') == 1


def test_unknown_operators_are_named_and_counted():
    class Einsum(Tiny):
        def forward(self, images):
            (probabilities,) = super().forward(images)
            return (torch.einsum('bchw,cd->bdhw', probabilities, torch.eye(3)),)

    scheme = quantize(Einsum(), pictures(10), QuantizationSettings('minmax')).scheme
    assert scheme.unknown == {'torch.functional.einsum': 24 * 32 * 9}
    assert [site.name for site in scheme.sites] == NAMES
    executions = dict.fromkeys(NAMES, 'u8')
    macs = sum(site.macs for site in scheme.sites)
    assert int8_share(scheme, executions) == pytest.approx(macs / (macs + 24 * 32 * 9))


def test_weights_are_stored_as_integers(quantized, tmp_path):
    write_quantized(quantized, INFO, tmp_path / 'tiny.onnx', INFO.input_size)
    model = onnx.load(tmp_path / 'tiny.onnx')
    kinds = collections.Counter(tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1)
    assert kinds[onnx.TensorProto.INT8] == 6
    assert kinds[onnx.TensorProto.FLOAT] <= 2, 'mean and standard deviation of the images'
    assert [node.name for node in model.graph.node if '#' in node.name] == NAMES


def test_papers_forms_are_not_exported(quantized, tmp_path):
    scheme = dataclasses.replace(quantized.scheme, form='paper')
    with pytest.raises(ValueError, match='simulation'):
        write_quantized(QuantizedGraph(quantized.graph, scheme), INFO, tmp_path / 'tiny.onnx', INFO.input_size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('method', [name for name in METHODS if name != 'trio'])  # whose network is in test_trio.py
def test_more_bits_say_more(method):
    graph, images = Tiny(), pictures(10)
    ratios = [
        head_sqnr_db(
            exact_heads(graph, pictures(4, seed=2)), quantize(graph, images, QuantizationSettings(method, bits))
        )['all']
        for bits in (4, 8)
    ]
    assert ratios[0] + 10 < ratios[1]
    assert ratios[1] > 20


def test_the_report_names_every_site(quantized):
    ratios = site_sqnr_db(quantized, pictures(2))
    table = site_table(quantized.scheme, ratios, dict.fromkeys(NAMES, 'u8'))
    assert [row[0] for row in table.rows] == NAMES
    assert all(20 < ratio < 80 for ratio in ratios.values())


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_sites_without_finite_ranges_stay_in_float(value):
    class Spoilt(Tiny):
        def extract_features(self, images):
            fine, coarse = super().extract_features(images)
            return fine, coarse * value

    scheme = quantize(Spoilt(), pictures(10), QuantizationSettings('minmax')).scheme
    assert set(scheme.kept_in_float) == {'decode_head.squeeze#0', 'decode_head.shared#1'}
    assert 'decode_head.shared#0:0' in scheme.inputs


def test_an_interrupted_search_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / 'search'
    complete = quantize(Tiny(), pictures(10), QuantizationSettings('mse'))
    search, calls = METHODS['mse'].search, []

    def interrupted(unit, *rest):
        calls.append(unit.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return search(unit, *rest)

    monkeypatch.setitem(METHODS, 'mse', dataclasses.replace(METHODS['mse'], search=interrupted))
    with pytest.raises(KeyboardInterrupt):
        quantize(Tiny(), pictures(10), QuantizationSettings('mse'), folder)
    resumed = quantize(Tiny(), pictures(10), QuantizationSettings('mse'), folder)
    assert len(calls) == len(set(calls)) + 1, 'nothing was searched twice but what was interrupted'
    assert resumed.scheme == complete.scheme
    with pytest.raises(ValueError, match='bits: 8 before, 6 now'):
        quantize(Tiny(), pictures(10), QuantizationSettings('mse', 6), folder)


@pytest.mark.parametrize('method', ['minmax', 'mse', 'qhyvit'])
def test_weights_and_second_factors_have_as_many_bits_as_are_asked_for(method):
    highest = {}
    for bits in (8, 7):
        scheme = quantize(Tiny(), pictures(10), QuantizationSettings(method, weight_bits=bits)).scheme
        assert {grid.high for grid in scheme.weights.values()} == {2 ** (bits - 1) - 1}
        assert scheme.weight_bits == bits
        highest[bits] = {key: grid.high for key, grid in scheme.inputs.items()}
    seconds = {key for key in highest[8] if key.endswith(':1')}
    assert seconds
    for key, high in highest[8].items():
        assert highest[7][key] == (63 if key in seconds else high)


def test_unknown_settings_are_refused():
    for wrong in ({'method': 'best'}, {'bits': 5}, {'weight_bits': 6}, {'form': 'paper', 'method': 'minmax'}):
        with pytest.raises(ValueError, match='expected one of'):
            QuantizationSettings(**wrong)


def test_learnt_rounding_errs_less_than_the_nearest_values_and_resumes(tmp_path):
    graph, images = Tiny(), pictures(10)
    nearest = quantize(graph, images, QuantizationSettings('mse', 4))
    settings = QuantizationSettings('mse', 4, reconstruct=True)
    learnt = quantize(graph, images, settings, tmp_path)
    assert learnt.scheme == nearest.scheme
    unseen = pictures(6, seed=5)
    exact = exact_heads(graph, unseen)
    assert head_sqnr_db(exact, learnt)['cls'] > head_sqnr_db(exact, nearest)['cls'] + 0.3
    for name, grid in learnt.scheme.weights.items():
        steps = learnt.graph.get_parameter(name) / grid.scale_tensor(learnt.graph.get_parameter(name))
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
        moved = steps - graph.get_parameter(name) / grid.scale_tensor(steps)
        inside = steps.abs().round() < grid.high
        assert moved[inside].abs().max() < 1.001, 'one of the two neighbours'
    again = quantize(graph, images, settings, tmp_path)
    for name in learnt.scheme.weights:
        assert torch.equal(again.graph.get_parameter(name), learnt.graph.get_parameter(name))


class WithTokens(Head):
    """Its output is shifted by what a linear layer makes of learnt numbers, which no image reaches."""

    def __init__(self):
        super().__init__()
        self.tokens = torch.nn.Parameter(torch.randn(1, 8))
        self.query = torch.nn.Linear(8, 3)

    def forward(self, features):
        return super().forward(features) + self.query(self.tokens)[:, :, None, None]


@pytest.mark.parametrize('method', ['ptq4vit', 'qhyvit'])
def test_sites_that_read_parameters_alone_are_searched_too(method):
    graph = Tiny()
    graph.decode_head = WithTokens().eval().requires_grad_(False)
    quantized = quantize(graph, pictures(10), QuantizationSettings(method))
    assert 'decode_head.query#0:0' in quantized.scheme.inputs
    assert not quantized.scheme.kept_in_float
