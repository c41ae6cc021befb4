"""Grids of papers that no kernel computes with: their values by hand, and where they are found."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from projects.deployment.quantization.discovery import find_sites
from projects.deployment.quantization.fidelity import exact_heads, head_sqnr_db
from projects.deployment.quantization.gauss_newton import probes
from projects.deployment.quantization.grids import Grid, LogGrid, TwinGrid, fake_quantize
from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization.observation import Observed, observe
from projects.deployment.quantization.origins import find_origins, record
from projects.deployment.quantization.output_search import weighted_error
from projects.deployment.quantization.published import power_of_two_factors, twin_grids
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.ranges import least_error_weights
from projects.deployment.quantization.scheme import NORM, Scheme, Site
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.quantization.site_report import site_table
from projects.deployment.quantization.units import Unit, round_samples, units_of

from .tiny import INFO, Tiny, pictures

BOTH = [name for name, method in METHODS.items() if 'paper' in method.forms]


class Gelu(Tiny):
    """Whose tokens go through a GELU, and whose levels are rectified."""

    def __init__(self):
        super().__init__()
        self.backbone.gelu = nn.GELU()
        self.backbone.norm = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), self.backbone.gelu)
        self.eval().requires_grad_(False)

    def extract_features(self, images):
        return [F.relu(one) for one in super().extract_features(images)]


def unit_of(origin, bits=4, low=0.0, high=1.0):
    site = Site('a#0', 'matmul', None, 1, ((1, 2, 2), (1, 2, 2)))
    limits = [torch.tensor(low)] * 2, [torch.tensor(high)] * 2
    return Unit((site,), {'a#0': Observed(*limits)}, None, bits, origins={'a#0:0': origin}, is_executable=False)


def test_twins_of_a_softmax_by_hand():
    """4 bits: 8 values each. Those below 1/4 have steps of 1/28, those above of 1/7."""
    unit = unit_of('softmax')
    grids = twin_grids(unit, unit.sites[0], 0, (1.0,))
    assert [grid.border for grid in grids] == [2.0**-i for i in range(20)]
    values = fake_quantize(torch.tensor([-1.0, 0.0, 0.1, 0.24, 0.26, 0.95, 3.0]), grids[2])
    torch.testing.assert_close(values, torch.tensor([0, 0, 3 / 28, 1 / 4, 2 / 7, 1, 1]))
    assert len(fake_quantize(torch.linspace(-1, 2, 4001), grids[2]).unique()) <= 16


def test_twins_of_a_gelu_by_hand():
    """4 bits: eight steps of 0.16997 / 8 below zero, seven of 1 up to 7."""
    unit = unit_of('gelu', low=-0.17, high=7.0)
    (grid,) = twin_grids(unit, unit.sites[0], 0, (1.0,))
    values = fake_quantize(torch.tensor([-0.2, -0.03, -0.01, 0.4, 3.4, 9.0]), grid)
    torch.testing.assert_close(values, torch.tensor([-0.16997, -0.16997 / 8, 0, 0, 3, 7]))
    assert len(fake_quantize(torch.linspace(-1, 9, 9001), grid).unique()) == 16
    assert twin_grids(unit, unit.sites[0], 1, (1.0,)) == []


def test_logarithms_by_hand():
    """Two steps for each halving of 0.8, down to 0.8 / 2 ** 7.5; one for each of 1."""
    x = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.8 / 2**7.5, 0.8 / 2**8, 0.0, -1.0])
    expected = [0.8, 0.8, 0.8 / math.sqrt(2), 0.2, 0.8 / 2**7.5, 0, 0, 0]
    torch.testing.assert_close(fake_quantize(x, LogGrid(0.8, 2, 4)), torch.tensor(expected))
    x = torch.tensor([1.0, 0.3, 2.0**-15, 2.0**-16, 0.0])
    torch.testing.assert_close(fake_quantize(x, LogGrid(1.0, 1, 4)), torch.tensor([1, 0.25, 2.0**-15, 0, 0]))


def test_factors_of_channels_by_hand():
    """4 bits of 0 to 8: steps of 8 / 15, a half, a quarter or an eighth of it; 0 to 1 needs the last."""
    samples = torch.stack([torch.linspace(0, 1, 40), torch.linspace(0, 8, 40), torch.linspace(0, 3.9, 40)], 1)[None]
    site = Site('norm#norm0', NORM, None, 0, ((1, 40, 3),))
    unit = Unit((site,), {site.name: Observed([samples.amin((0, 1))], [samples.amax((0, 1))], [samples])}, None, 4)
    grid = power_of_two_factors(unit, site)
    assert (grid.scale, grid.zero_point, grid.axis) == (pytest.approx((1 / 15, 8 / 15, 4 / 15)), (0, 0, 0), 2)
    for channel in range(3):
        whole = fake_quantize(samples, unit.input_grid(site, 0, symmetric=False))
        errors = [(one - samples)[..., channel].square().sum() for one in (round_samples(samples, site, grid), whole)]
        assert errors[0] <= errors[1]


def test_origins_are_found_by_what_is_computed():
    found = find_origins(record(Gelu(), torch.from_numpy(pictures(1)[0])))
    assert found == {
        'backbone.qkv#0:0': 'gelu',
        'backbone#1:0': 'softmax',
        'decode_head.shared#0:0': 'relu',
        'decode_head.squeeze#0:0': 'relu',
    }


@pytest.fixture(scope='module')
def published():
    return {method: quantize(Gelu(), pictures(10), QuantizationSettings(method, 6, 'paper')) for method in BOTH}


def test_each_paper_has_its_own_grids(published):
    schemes = {name: one.scheme for name, one in published.items()}
    assert isinstance(schemes['ptq4vit'].inputs['backbone#1:0'], TwinGrid)
    assert schemes['ptq4vit'].inputs['backbone.qkv#0:0'].above.scale[0] > 0
    assert schemes['repqvit'].inputs['backbone#1:0'].steps == 2
    assert schemes['fqvit'].inputs['backbone#1:0'] == LogGrid(1.0, 1, 4)
    norm = schemes['fqvit'].inputs['backbone.norm.0#norm0:0']
    assert len(set(norm.zero_point)) == 1
    assert {round(scale / min(norm.scale)) for scale in norm.scale} <= {1, 2, 4, 8}
    assert schemes['qhyvit'].weights['backbone.up.weight'].low == 0
    others = [isinstance(grid, Grid) for scheme in schemes.values() for grid in scheme.inputs.values()]
    assert others.count(False) == 4


def test_per_channel_grids_are_found_where_channels_differ():
    graph = Tiny()
    with torch.no_grad():  # that of the stem's outputs which `depthwise` passes on, and `up` and `squeeze` read
        graph.backbone.stem.weight[:8] *= 40
    scheme = quantize(graph, pictures(10), QuantizationSettings('qhyvit', 4, 'paper')).scheme
    assert scheme.inputs['backbone.depthwise#0:0'].axis == 1
    dense = [scheme.inputs[f'{site.name}:0'].axis for site in scheme.sites if site.kind in ('conv', 'linear')]
    assert any(axis is not None for axis in dense)


@pytest.mark.parametrize('method', BOTH)
def test_simulations_come_back_from_json_say_what_they_are_and_are_not_exported(published, method, tmp_path):
    quantized = published[method]
    assert Scheme.from_json(quantized.scheme.to_json()) == quantized.scheme
    assert head_sqnr_db(exact_heads(Gelu(), pictures(4, seed=2)), quantized)['all'] > 8
    assert site_table(quantized.scheme, {}, {}).rows
    message = f"{method}, 6 bits, in its paper's form, a simulation: .* form 'executable'"
    with pytest.raises(ValueError, match=message) as caught:
        write_quantized(quantized, INFO, tmp_path / 'tiny.onnx', INFO.input_size)
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_simulation_goes_on(tmp_path):
    for method in ('ptq4vit', 'repqvit', 'fqvit'):
        settings = QuantizationSettings(method, 4, 'paper')
        first = quantize(Gelu(), pictures(10), settings, tmp_path / method)
        assert quantize(Gelu(), pictures(10), settings, tmp_path / method).scheme == first.scheme


def test_rounding_is_learnt_on_grids_with_zero_points():
    graph = Tiny()
    with torch.no_grad():
        graph.backbone.stem.weight.abs_()
    quantized = quantize(graph, pictures(10), QuantizationSettings('repqvit', 4, 'paper', reconstruct=True))
    grid = quantized.scheme.weights['backbone.stem.weight']
    assert set(grid.zero_point) == {0}, 'nothing is negative'
    for name, grid in quantized.scheme.weights.items():
        learnt, exact = quantized.graph.get_parameter(name), quantized.exact_weights[name]
        torch.testing.assert_close(fake_quantize(learnt, grid), learnt, atol=1e-5, rtol=1e-5)
        step, inside = (
            grid.scale_tensor(exact),
            (fake_quantize(exact, grid) - exact).abs() < grid.scale_tensor(exact) / 2,
        )
        assert ((learnt - exact).abs() < 1.001 * step)[inside].all(), 'one of the two neighbours'


def test_what_kernels_execute_of_fqvit_is_the_whole_range():
    schemes = [quantize(Tiny(), pictures(10), QuantizationSettings(name)).scheme for name in ('fqvit', 'minmax')]
    assert schemes[0].inputs == schemes[1].inputs
    assert schemes[0].weights == schemes[1].weights
    assert schemes[0].sites == schemes[1].sites


def test_without_kernels_grids_are_never_worse():
    """Of weights by their own error; of inputs by that of the output, where the weights are the same."""
    graph, images = Tiny(), pictures(10)
    with torch.no_grad():
        graph.backbone.stem.weight.abs_()  # whose range needs a zero point
        graph.backbone.stem.bias[3] += 20
    sites, _, _ = find_sites(graph, torch.from_numpy(images[0]))
    observed = observe(graph, images, sites, probes=probes(0))
    pairs = [units_of(graph, sites, observed, 4, is_executable=form) for form in (True, False)]
    search, better = copy.copy(METHODS['qhyvit'].search), 0
    object.__setattr__(search, 'rounds', 1)
    for limited, free in zip(*pairs, strict=True):
        if limited.weight is not None:
            errors = [
                (fake_quantize(unit.weight, least_error_weights(unit)) - unit.weight).square().sum()
                for unit in (limited, free)
            ]
            assert errors[1] <= errors[0]
            better += errors[1] < 0.5 * errors[0]
        else:
            site, losses = limited.sites[0], []
            for unit in (limited, free):
                exact = unit.output(site, observed[site.name].samples, None)
                rounded = unit.output(site, unit.rounded(site, search(unit)), None)
                losses.append(weighted_error(exact, rounded, observed[site.name].importance, (0, 1, 2)))
            assert losses[1] <= losses[0]
    assert better
