"""Groups are joined where OpenVINO's int8 kernels need it, which changes no number, and nowhere else."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from projects.deployment.runtimes.grouped_convolutions import groups_at_once, join_groups
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import OpenVINOSession, convert_onnx

SATURATION = 0.03  # relative, of sums on processors without VNNI; wrong kernels: 0.1 to 1.2


class Grouped(nn.Module):
    """One convolution in 8 bits: its input from -0.02 * zero_point in steps of 0.02, weights per output channel."""

    def __init__(self, groups, channels, outputs, kernel, zero_point):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(groups * outputs, channels, *kernel, generator=random))
        self.bias = nn.Parameter(torch.randn(groups * outputs, generator=random))
        self.steps = (self.weight.abs().amax((1, 2, 3)) / 127).detach()
        self.zeros = torch.zeros(groups * outputs, dtype=torch.int32)
        self.groups, self.zero_point = groups, zero_point

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(x, 0.02, self.zero_point, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.steps, self.zeros, 0, -128, 127)
        return F.conv2d(x, weight, self.bias, padding=[side // 2 for side in weight.shape[2:]], groups=self.groups)


def written(path, groups, channels, outputs, kernel, zero_point):
    """An `.onnx` file, an image and what the network says of it."""
    network = Grouped(groups, channels, outputs, kernel, zero_point).eval()
    image = torch.rand(1, groups * channels, 4, 5, generator=torch.Generator().manual_seed(1)) * 5 - 0.02 * zero_point
    names = {'input_names': ['x'], 'output_names': ['y']}
    torch.onnx.export(network, (image,), path, dynamo=False, opset_version=17, **names)
    with torch.no_grad():
        return image.numpy(), network(image).numpy()


def deviation(found, expected):
    return np.abs(found - expected).mean() / np.abs(expected).mean()


@pytest.mark.parametrize(
    ('case', 'joined'),
    [
        ((4, 96, (1, 1), 0), 2),  # 192 = 3 * 64
        ((4, 144, (1, 1), 7), 4),  # 2 * 144 is no multiple of 64, and of the last there are no others
        ((3, 96, (1, 1), 0), 3),
        ((4, 64, (1, 1), 0), 1),
        ((4, 128, (1, 1), 0), 1),
        ((4, 66, (1, 1), 0), 1),
        ((1, 96, (1, 1), 0), 1),
        ((2, 24, (3, 3), 30), 2),  # 24 * 3 > 64
        ((2, 24, (3, 3), 0), 1),
        ((2, 20, (3, 3), 30), 1),  # 20 * 3 < 64
        ((2, 24, (3, 1), 30), 1),
        ((4, 9, (5, 5), 30), 4),
        ((4, 32, (3, 3), 30), 1),
        ((64, 1, (3, 3), 30), 1),  # depthwise
    ],
)
def test_groups_to_join_by_hand(case, joined):
    assert groups_at_once(*case) == joined


WRONG = [(4, 96, 16, (1, 1), 0), (4, 144, 24, (1, 1), 30), (2, 24, 32, (3, 3), 30), (4, 9, 24, (5, 5), 30)]


@pytest.mark.parametrize('case', WRONG, ids=str)
@pytest.mark.parametrize('suffix', ['onnx', 'xml'])
def test_openvino_computes_what_the_network_says(case, suffix, tmp_path):
    path = tmp_path / 'grouped.onnx'
    image, expected = written(path, *case)
    if suffix == 'xml':
        convert_onnx(path, tmp_path / 'grouped.xml', '{}', half_weights=False)
        path = tmp_path / 'grouped.xml'
    session = OpenVINOSession(path, 'fp32')
    assert deviation(session(image)['y'], expected) < SATURATION
    assert {layer.precision for layer in session.layers() if layer.kind == 'Convolution'} <= {'u8', 'i8'}


@pytest.mark.parametrize('case', WRONG, ids=str)
def test_joined_groups_are_the_same_convolution_on_any_processor(case, tmp_path):
    path = tmp_path / 'grouped.onnx'
    image, expected = written(path, *case)
    model = onnx.load(path)
    assert join_groups(model)
    assert not join_groups(model), 'nothing is left to do'
    onnx.checker.check_model(model)
    onnx.save(model, path)
    assert deviation(OnnxRuntimeSession(path)(image)['y'], expected) < 1e-4
    groups, channels, _, kernel, zero_point = case
    (convolution,) = [node for node in model.graph.node if node.op_type == 'Conv']
    (left,) = [attribute.i for attribute in convolution.attribute if attribute.name == 'group']
    assert left == groups // groups_at_once(groups, channels, kernel, zero_point)


def test_weights_that_are_stored_as_integers_are_joined_by_the_integer_that_means_zero(tmp_path):
    """Weights 0, 1, 2, ... of which 5 means 0."""
    path = tmp_path / 'integers.onnx'
    weight = np.arange(2 * 96, dtype=np.uint8).reshape(2, 96, 1, 1)
    constants = {
        'weight': weight,
        'weight_scale': np.full(2, 0.1, np.float32),
        'weight_zero': np.full(2, 5, np.uint8),
        'scale': np.float32(0.5),
        'zero': np.uint8(0),
    }
    make = onnx.helper.make_node
    nodes = [
        make('QuantizeLinear', ['x', 'scale', 'zero'], ['q']),
        make('DequantizeLinear', ['q', 'scale', 'zero'], ['d']),
        make('DequantizeLinear', ['weight', 'weight_scale', 'weight_zero'], ['w'], axis=0),
        make('Conv', ['d', 'w'], ['y'], group=2),
    ]
    given = onnx.helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [1, 192, 2, 3])
    made = onnx.helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, [1, 2, 2, 3])
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, 'integers', [given], [made], stored)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    assert join_groups(model)
    onnx.save(model, path)
    image = np.random.default_rng(0).integers(0, 256, (1, 192, 2, 3)).astype(np.float32) / 2
    weights = (weight.astype(float).reshape(2, 96) - 5) * 0.1
    expected = np.einsum('gc,gchw->ghw', weights, image.reshape(2, 96, 2, 3))[None]
    assert deviation(OnnxRuntimeSession(path)(image)['y'], expected) < 1e-5


@pytest.mark.parametrize('case', [(4, 64, 16, (1, 1), 0), (16, 1, 1, (3, 3), 30), (1, 96, 16, (1, 1), 0)], ids=str)
def test_what_kernels_compute_right_stays_as_it_is(case, tmp_path):
    path = tmp_path / 'right.onnx'
    written(path, *case)
    model = onnx.load(path)
    before = model.SerializeToString()
    assert not join_groups(model)
    assert model.SerializeToString() == before


def test_convolutions_in_float_stay_as_they_are(tmp_path):
    path = tmp_path / 'float.onnx'
    network = nn.Conv2d(384, 64, 1, groups=4).eval()
    torch.onnx.export(network, (torch.zeros(1, 384, 4, 5),), path, dynamo=False, opset_version=17)
    assert not join_groups(onnx.load(path))
