"""Multiply-adds of layers by hand, of fixed and free sizes, and their times out of OpenVINO's means."""

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from projects.deployment.multiply_adds import count_macs
from projects.deployment.runtimes.openvino_layers import (
    ExecutedLayer,
    TimedLayer,
    large_products,
    macs_of_layers,
    measure_layer_ceiling,
    ms_of,
    node_macs,
    time_layers,
)
from projects.deployment.runtimes.openvino_session import compile_graph, read_model


class Everything(nn.Module):
    """Each kind of layer with weights; what follows depends on how many pixels are bright."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.linear = nn.Linear(6, 5)

    def forward(self, images):
        maps = self.up(self.depthwise(self.conv(images).relu()))
        tokens = maps.flatten(2).transpose(1, 2)[0]
        chosen = tokens[torch.nonzero(images[0, 0].flatten() > 0.5)[:, 0]]
        return self.linear(chosen), maps.flatten(2) @ maps.flatten(2).transpose(1, 2)


MACS = {  # of an image of 8x12 px, of which 7 are bright
    'conv': 4 * 6 * 8 * 3 * 9,
    'depthwise': 4 * 6 * 8 * 9,
    'up': 4 * 6 * 8 * 6 * 4,
    'linear': 7 * 6 * 5,
    'product': 6 * 6 * 8 * 12,
}


@pytest.fixture(scope='module', params=['fixed', 'free'])
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp('layers') / 'model.onnx'
    axes = {'dynamic_axes': {'images': {2: 'height', 3: 'width'}}} if request.param == 'free' else {}
    torch.manual_seed(0)
    example = torch.rand(1, 3, 8, 12)
    torch.onnx.export(Everything().eval(), (example,), path, dynamo=False, input_names=['images'], **axes)
    return path


@pytest.fixture(scope='module')
def image():
    image = np.zeros((1, 3, 8, 12), np.float32)
    image[0, 0].flat[[0, 5, 9, 20, 41, 77, 95]] = 1
    return image


def test_multiply_adds_by_hand_whatever_is_open(file, image):
    model = read_model(file)
    macs = node_macs(model, lambda graph: compile_graph(graph, 'fp32', 1)([image]).to_tuple())
    assert sorted(macs.values()) == sorted(MACS.values())
    assert sum(macs.values()) == count_macs(Everything(), torch.from_numpy(image))[1].total


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_each_multiply_add_is_of_one_layer_that_takes_time(file, image, precision):
    try:
        compile_graph(read_model(file), precision, 1)
    except ValueError as error:
        pytest.skip(f'bfloat16: {error}')
    layers = time_layers(read_model(file), [image], precision, threads=1, calls=2)
    assert sum(one.macs for one in layers) == pytest.approx(sum(MACS.values()), rel=0.1)  # some take less than 1 us
    assert {one.kind for one in layers if one.macs} <= {'Convolution', 'Deconvolution', 'FullyConnected', 'MatMul'}


def test_a_transposed_factor_is_summed_over_its_other_axis():
    left = openvino.opset15.parameter([2, 7, 3], np.float32)
    right = openvino.opset15.constant(np.ones((7, 5), np.float32))
    product = openvino.opset15.matmul(left, right, True, False)
    (macs,) = node_macs(openvino.Model([product], [left]), run=None).values()
    assert macs == 2 * 3 * 5 * 7


def test_times_out_of_means():
    calls_us = [9000, 5000, 2000, 4000]
    means = [sum(calls_us[:number]) // number for number in (1, 2, 3, 4)]
    assert ms_of(means) == pytest.approx(2, abs=4e-3)
    assert ms_of([30, 20, 18]) == 0.018, 'too short to be told from its error'
    assert ms_of([0, 0, 0]) == 0


def test_nodes_count_once_and_only_where_something_multiplies():
    layers = [
        ExecutedLayer('reorder', 'Reorder', 'jit', 'f32', ('a',)),
        ExecutedLayer('first', 'Convolution', 'brgconv', 'f32', ('a', 'bias', 'b')),
        ExecutedLayer('second', 'Subgraph', 'jit', 'f32', ('b', 'c')),
    ]
    assert macs_of_layers(layers, {'a': 3, 'b': 5, 'c': 7}) == [0, 8, 7]
    assert macs_of_layers(layers, {'a': 3, 'product': 5, 'c': 7}, {'product': ['scale', 'bias'], 'c': ['bias']}) == [
        0,
        8,
        7,
    ]


def test_rates_by_hand():
    assert TimedLayer('a', 'Convolution', 'brgconv', 'bf16', ms=2.0, macs=10**9).gflops == 1000
    assert TimedLayer('a', 'Reorder', 'jit', 'bf16', ms=2.0, macs=0).gflops is None


@pytest.mark.parametrize(('quantized', 'precision'), [(False, 'f32'), (True, 'u8')])
def test_large_products_run_in_the_precision_that_is_asked_for(quantized, precision):
    model = large_products(quantized, sides=(64,), channels=(32,), height=8)
    inputs = [np.ones(tuple(one.shape), np.float32) for one in model.inputs]
    layers = [one for one in time_layers(model, inputs, 'fp32', 1, calls=1) if one.macs]
    assert {one.precision for one in layers} == {precision}
    assert {one.macs for one in layers} <= {64**3, 32 * 32 * 9 * 8 * 8}


def test_no_ceiling_of_a_precision_that_nothing_runs_in():
    with pytest.raises(ValueError, match=r'no ceiling for f64: OpenVINO computes large products in f32 here'):
        measure_layer_ceiling('f64', threads=1, calls=1)
