"""Each search reaches what it searches for."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from projects.deployment.quantization.bridges import find_chains, find_passages
from projects.deployment.quantization.discovery import find_sites
from projects.deployment.quantization.gauss_newton import probes
from projects.deployment.quantization.grids import fake_quantize
from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization.observation import observe
from projects.deployment.quantization.output_search import cosine_error, weighted_error
from projects.deployment.quantization.ranges import whole_ranges
from projects.deployment.quantization.reparametrization import equalize_normalized
from projects.deployment.quantization.tape import Tape, replay
from projects.deployment.quantization.units import round_samples, units_of

from .tiny import Tiny, pictures


@pytest.fixture(scope='module')
def units():
    graph, images = Tiny(), pictures(10)
    with torch.no_grad():  # an outlier, as hybrid networks have them
        graph.backbone.stem.bias[3] += 20
        graph.backbone.stem.weight[5] *= 30
    sites, _, _ = find_sites(graph, torch.from_numpy(images[0]))
    observed = observe(graph, images, sites, probes=probes(0))
    return units_of(graph, sites, observed, 4, passages=find_passages(graph, images, 0))


def errors(unit, grids, error):
    """Of all of a unit's sites."""
    weight = None if unit.weight is None else fake_quantize(unit.weight, grids.weights[unit.sites[0].weight])
    found = []
    for site in unit.sites:
        exact = unit.output(site, unit.observed[site.name].samples, unit.weight)
        rounded = unit.output(site, unit.rounded(site, grids), weight)
        found.append(error(exact, rounded, unit.observed[site.name].importance, tuple(range(exact.dim()))))
    return float(sum(found))


def test_samples_times_weights_are_what_the_layers_give():
    """The matrices of convolutions, transposed ones and products are the network's own numbers."""
    graph, images = Tiny(), pictures(10)
    sites, _, _ = find_sites(graph, torch.from_numpy(images[0]))
    observed = observe(graph, images, sites, probes=probes(0))
    tape = Tape(graph)
    with torch.no_grad(), tape.following():
        graph(torch.from_numpy(images[0]))
    outputs = {step.call.site: tape.tensors[step.writes[0]] for step in tape.steps if step.call is not None}
    parameters = dict(graph.named_parameters())
    for unit in units_of(graph, sites, observed, 8):
        for site in unit.sites:
            samples = observed[site.name].samples
            first = [samples[0][:, : samples[0].shape[1] // 10], *samples[1:]]
            if site.kind == 'matmul':
                first = [one[: len(one) // 10] for one in samples]
            result = unit.output(site, first, unit.weight).flatten()
            values = outputs[site.name]
            if site.bias:
                values = values - parameters[site.bias].reshape([-1] + [1] * (0 if site.kind == 'linear' else 2))
            values = values.flatten().sort().values
            nearest = values[torch.searchsorted(values, result).clamp(max=len(values) - 1)]
            before = values[(torch.searchsorted(values, result) - 1).clamp(min=0)]
            assert torch.minimum((nearest - result).abs(), (before - result).abs()).max() < 1e-3, site.name
            assert observed[site.name].importance.shape == unit.output(site, samples, unit.weight).shape


def test_mse_rounds_values_with_less_error_than_minmax(units):
    for unit in units:
        found, whole = METHODS['mse'].search(unit), whole_ranges(unit)
        for site in unit.sites:
            for key, samples in zip(site.inputs, unit.observed[site.name].samples, strict=True):
                mine, theirs = (
                    (round_samples(samples, site, grids.inputs[key]) - samples).square().mean()
                    for grids in (found, whole)
                )
                assert mine <= theirs
        for name, grid in found.weights.items():
            others = (
                (fake_quantize(unit.weight, one) - unit.weight).square().sum() for one in (grid, whole.weights[name])
            )
            assert next(others) <= next(others)


@pytest.mark.parametrize(('method', 'error'), [('easyquant', cosine_error), ('qhyvit', weighted_error)])
def test_searches_by_outputs_find_less_error_than_ranges(units, method, error):
    better = 0
    for unit in units:
        if unit.passages:
            continue
        mine = errors(unit, METHODS[method].search(unit), error)
        whole = dataclasses.replace(METHODS[method].search, parts=(1.0,), start=None)
        theirs = errors(unit, whole(unit), error)
        assert mine <= theirs * 1.001 + 1e-9, unit.name
        better += mine < 0.9 * theirs
    assert better >= 3


def test_a_search_by_curvature_ends_with_no_more_error_than_the_grids_that_it_began_with(units):
    """Without them it scales both ends of ranges alike, which is worse where one of them is far from 0."""
    search, better = METHODS['qhyvit'].search, 0
    for unit in units:
        if unit.passages:
            continue
        mine, began = (errors(unit, grids, weighted_error) for grids in (search(unit), METHODS['mse'].search(unit)))
        assert mine <= began * 1.001 + 1e-9, unit.name
        better += mine < 0.95 * began
    assert better >= 3


def test_a_bridge_block_is_found_and_computed_again():
    """Stem and depthwise convolution lead to the tokens of `qkv`; nothing else does."""
    graph, images = Tiny(), pictures(10)
    tape = Tape(graph)
    with torch.no_grad(), tape.following():
        graph(torch.from_numpy(images[0]))
    assert [[tape.steps[index].call.site for index in chain] for chain in find_chains(tape)] == [
        ['backbone.stem#0', 'backbone.depthwise#0']
    ]
    passages = find_passages(graph, images, 0)
    assert set(passages) == {'backbone.stem#0', 'backbone.depthwise#0'}
    for passage in (passages['backbone.stem#0'][1], passages['backbone.depthwise#0'][0]):
        exact = passage.call()
        again = replay(passage.steps, {passage.output: exact}) if passage.steps else exact
        torch.testing.assert_close(again, passage.tokens)
        twice = replay(passage.steps, {passage.output: 2 * exact}) if passage.steps else 2 * exact
        assert not torch.allclose(twice, passage.tokens)


def test_a_bridge_block_is_searched_by_its_tokens(units):
    unit = units[0]
    assert len(unit.passages) == 4
    search = METHODS['qhyvit'].search

    def error(grids):
        (key,), (name,) = unit.sites[0].inputs, grids.weights
        weight = fake_quantize(unit.weight, grids.weights[name])
        return sum(passage.error(weight, grids.inputs[key]) for passage in unit.passages)

    alone = copy.copy(search)
    object.__setattr__(alone, 'bridges', False)
    assert error(search(unit)) <= error(alone(unit))
    assert error(search(unit)) < error(whole_ranges(unit))


def test_depthwise_inputs_get_grids_per_channel_where_ranges_differ(units):
    unit = next(unit for unit in units if unit.kind == 'depthwise conv')
    grid = METHODS['qhyvit'].search(unit).inputs[f'{unit.name}:0']
    assert grid.axis == 1
    assert np.ptp(grid.scale) > 0


def test_grids_per_channel_are_for_channels_with_one_output(units):
    unit = next(unit for unit in units if unit.kind == 'depthwise conv')
    (site,) = unit.sites
    several = dataclasses.replace(unit, weight=unit.weight.repeat(4, 1, 1, 1))
    assert unit.can_have_channels(site)
    assert not several.can_have_channels(site)
    assert dataclasses.replace(several, is_executable=False).can_have_channels(site)


def test_biases_take_over_the_mean_error(units):
    """With them the mean of each output is that of the exact weights on the rounded inputs."""
    for unit in units:
        if unit.weight is None or unit.sites[0].bias is None or len(unit.sites) > 1:
            continue
        (site,) = unit.sites
        grids = METHODS['ptq4vit'].search(unit)
        rounded = unit.rounded(site, grids)
        weight = fake_quantize(unit.weight, grids.weights[site.weight])
        mean, exact = (unit.per_channel(unit.output(site, rounded, one).mean(1)) for one in (weight, unit.weight))
        taps = unit.matrix().shape[0] * unit.matrix().shape[1] / len(mean)
        torch.testing.assert_close(mean + taps * torch.tensor(grids.biases[site.bias]), exact, atol=1e-4, rtol=1e-3)


def test_reparametrisation_is_exact_in_float_and_levels_the_channels():
    graph, images = Tiny(), pictures(10)
    with torch.no_grad():
        graph.backbone.norm.weight.copy_(torch.logspace(-1, 1, 16))
        graph.backbone.norm.bias.copy_(torch.linspace(-3, 3, 16))
    sites, _, _ = find_sites(graph, torch.from_numpy(images[0]))
    exact = graph.head_outputs(torch.from_numpy(images[0]))['cls']
    observed = observe(graph, images, sites, with_samples=False)
    assert equalize_normalized(graph, observed, torch.from_numpy(images[0]), 8) == 1
    torch.testing.assert_close(graph.head_outputs(torch.from_numpy(images[0]))['cls'], exact, atol=1e-4, rtol=1e-4)
    ranges = [
        (seen.low[0], seen.high[0])
        for seen in (one['backbone.qkv#0'] for one in (observed, observe(graph, images, sites, with_samples=False)))
    ]
    both_signs = (ranges[0][0] < 0) & (ranges[0][1] > 0)
    assert both_signs.sum() > 5
    before, after = ((high - low)[both_signs].log().std() for low, high in ranges)
    assert before > 0.5
    assert after < 0.05
