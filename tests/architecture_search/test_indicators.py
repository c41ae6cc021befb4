"""Indicators of real networks, each of them one exported file."""

import json

import pytest

from projects.architecture_search.candidates import Candidate
from projects.architecture_search.indicators import Indicators
from projects.architecture_search.problem import Problem, Requirements
from projects.architecture_search.space import SelectSpace
from projects.deployment.inference_graphs import load_model
from projects.deployment.model_table.complexity import count_complexity
from projects.sample_data import use_sample

pytestmark = pytest.mark.usefixtures('impatient')
CONFIG = 'configs/efficientvit_mit_b2_fpn_ade20k.py'
BACKBONES = {arch: {'model.backbone.arch': arch} for arch in ('b0', 'b1')}


def indicators_of(tmp_path, runtime='openvino', precisions=('fp32',), **limits):
    space = SelectSpace(precisions, (0.5,), {'backbone': BACKBONES})
    hand = (Candidate('b0', CONFIG, {'model.backbone.arch': 'b0'}),)
    problem = Problem('T', CONFIG, 'mIoU', space, 2, 2, 0.1, {1.0: 1}, (0,), 0.25, hand)
    return Indicators(problem, Requirements({'latency_ms': 1e5, **limits}), use_sample, runtime, 1, True, tmp_path)


def test_indicators_are_those_of_the_network_and_are_kept(tmp_path):
    indicators = indicators_of(tmp_path, params_m=6.0, memory_mb=1e5)
    points = [{'backbone': arch, 'image_scale': 0.5, 'precision': 'fp32'} for arch in ('b0', 'b1')]
    candidates = [indicators.candidate(point) for point in points]
    small, large = indicators.look_at(candidates, measured=False)
    cfg = candidates[0].config_of(use_sample)
    complexity = count_complexity(load_model(cfg), (64, 80))  # half of the sample's
    assert small.indicators['params_m'] == complexity.params / 1e6
    assert small.indicators['macs_g'] == complexity.macs.total / 1e9
    assert small.latency_ms > 0
    assert 1 < small.indicators['memory_mb'] < 1e4
    assert small.is_feasible
    assert large.violated.keys() == {'params_m'}
    assert large.indicators.keys() == {'params_m', 'macs_g'}  # and nothing was exported to see it
    (again,) = indicators_of(tmp_path, params_m=6.0, memory_mb=1e5).look_at(candidates[:1], measured=True)
    assert again.indicators == small.indicators
    assert set(json.loads((tmp_path / 'indicators.json').read_text())) == {
        *(candidate.trained for candidate in candidates),
        f'{candidates[0].deployed}_openvino_memory',
    }


def test_a_config_made_by_hand_is_looked_at_likewise(tmp_path):
    indicators = indicators_of(tmp_path)
    (network,) = indicators.look_at(list(indicators.problem.hand_made), measured=True)
    assert network.latency_ms > 0
    assert indicators.candidate(indicators.point(network.candidate)) == network.candidate


def test_what_the_runtime_does_not_compute_is_refused(tmp_path):
    with pytest.raises(ValueError, match='ONNX Runtime computes no bfloat16'):
        indicators_of(tmp_path, 'onnxruntime', ('bf16',))
