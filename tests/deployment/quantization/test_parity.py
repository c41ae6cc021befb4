"""What runs is what was simulated, but for the last digits of float32, and for what ONNX Runtime does to biases."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from projects.deployment.quantization.execution import int8_share, site_executions
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.quantized_graph import Rounded, rounding
from projects.deployment.quantization.scheme import CONV, DEPTHWISE
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import OpenVINOSession, convert_onnx

from .tiny import INFO, Tiny, pictures

NOISE = 1e-6  # relative, on what convolutions give: some ten roundings of float32
DRAWS = 20


class Simulation(Rounded):
    """The quantised graph with biases that are moved, and noise on what convolutions give."""

    def __init__(self, quantized, moved, noise, generator):
        scheme = quantized.scheme
        inputs = {key: rounding(grid) for key, grid in scheme.inputs.items()}
        super().__init__(quantized.graph, inputs, {name: rounding(grid) for name, grid in scheme.weights.items()})
        self.moved, self.noise, self.generator = moved, noise, generator

    def on_call(self, call):
        result = super().on_call(call)
        if call.site in self.moved:
            result = result + self.moved[call.site].reshape(-1, 1, 1)
        if self.noise and call.kind in (CONV, DEPTHWISE):
            result = result * (1 + self.noise * torch.randn(result.shape, generator=self.generator))
        return result


def simulate(quantized, images, moved, noise=0, seed=0):
    simulation = Simulation(quantized, moved, noise, torch.Generator().manual_seed(seed))
    found = []
    for image in images:
        with torch.no_grad(), simulation.following():
            found.append(quantized.graph(torch.from_numpy(image))[0].numpy())
    return found


def difference(ones, others):
    return np.mean([np.abs(one - other).mean() for one, other in zip(ones, others, strict=True)])


def noise_floor(quantized, images, moved):
    """What noise does to the simulation, on average: where it makes a value round to the other side, many follow."""
    exact = simulate(quantized, images, moved)
    return np.mean([difference(exact, simulate(quantized, images, moved, NOISE, seed)) for seed in range(DRAWS)])


def rounded_biases(quantized, path):
    """How far ONNX Runtime moves the biases of sites, by its own graph.

    Where the result of a convolution is rounded at once, its kernel adds the bias to sums of products of integers, and
    so in multiples of the product of both steps (onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization).
    """
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix('.optimized'))
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    stored = {one.name: one for one in onnx.load(options.optimized_model_filepath).graph.initializer}
    moved = {}
    for site in quantized.scheme.sites:
        if (integers := stored.get(f'{site.name}_bias_int32')) is None:
            continue
        bias = quantized.graph.get_parameter(site.bias).double()
        weight_step = torch.tensor(quantized.scheme.weights[site.weight].scale, dtype=torch.float64)
        step = weight_step * quantized.scheme.inputs[f'{site.name}:0'].scale[0]
        nearest = (bias / step).round()
        assert numpy_helper.to_array(integers).tolist() == nearest.tolist(), site.name
        moved[site.name] = (nearest * step - bias).float()
    return moved


@pytest.fixture(scope='module', params=[8, 4], ids=lambda bits: f'{bits}-bits')
def written(request, tmp_path_factory):
    quantized = quantize(Tiny(), pictures(10), QuantizationSettings('minmax', request.param))
    path = tmp_path_factory.mktemp('file') / 'tiny.onnx'
    write_quantized(quantized, INFO, path, INFO.input_size)
    return quantized, path, pictures(6, seed=1)


def test_the_simulation_of_this_test_is_that_of_the_graph(written):
    quantized, _, images = written
    own = [quantized(torch.from_numpy(image))[0].numpy() for image in images]
    assert difference(own, simulate(quantized, images, {})) == 0


def test_openvino_computes_what_was_simulated(written):
    quantized, path, images = written
    file = path.with_suffix('.xml')
    convert_onnx(path, file, INFO.to_json(), half_weights=False)
    session = OpenVINOSession(file, 'fp32')
    found = [session(image)['probabilities'] for image in images]
    assert difference(simulate(quantized, images, {}), found) <= 2 * noise_floor(quantized, images, {})
    executions = site_executions(quantized.scheme, file, 'fp32')
    assert set(executions.values()) <= {'i8', 'u8'}, executions
    assert int8_share(quantized.scheme, executions) == 1


def test_onnx_runtime_computes_what_was_simulated_with_biases_rounded_to_products_of_steps(written):
    quantized, path, images = written
    moved = rounded_biases(quantized, path)
    session = OnnxRuntimeSession(path)
    found = [session(image)['probabilities'] for image in images]
    expected = simulate(quantized, images, moved)
    assert difference(expected, found) <= 2 * noise_floor(quantized, images, moved)
