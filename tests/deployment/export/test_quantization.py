import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from projects.deployment.export.quantization import kept_in_float, quantize_onnx


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, images):
        logits = self.head(self.body(images.permute(0, 3, 1, 2).float() / 255))
        return (10 * (logits + logits.roll(1, 2))).softmax(1)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp('tiny') / 'tiny.onnx'
    images = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    axes = {'images': {1: 'height', 2: 'width'}}
    options = {'input_names': ['images'], 'output_names': ['probabilities'], 'dynamic_axes': axes}
    torch.onnx.export(Tiny().eval(), (images,), str(path), dynamo=False, opset_version=17, **options)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {'skyline': 'described'})
    onnx.save(model, path)
    return path


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (1, 16 + 2 * (index % 3), 16, 3), dtype=np.uint8) for index in range(count)]


def run(path, image):
    return onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider']).run(None, {'images': image})[0]


def test_a_quantized_file_says_nearly_the_same_in_int8(tiny, tmp_path):
    out = tmp_path / 'int8.onnx'
    quantize_onnx(tiny, out, pictures(12))
    model = onnx.load(out)
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    assert len(convolutions) == 3
    for node in convolutions:
        assert makers[node.input[1]].op_type == 'DequantizeLinear', 'weights of 8 bits'
        assert makers[node.input[0]].op_type == 'DequantizeLinear', 'activations of 8 bits'
    assert {prop.key: prop.value for prop in model.metadata_props} == {'skyline': 'described'}
    logits = convolutions[-1].output[0]
    assert 'QuantizeLinear' not in {node.op_type for node in model.graph.node if logits in node.input}
    for image in pictures(3, seed=1):
        difference = np.abs(run(tiny, image) - run(out, image))
        assert 0 < difference.max() < 0.1


def test_regions_and_results_stay_in_float_and_what_is_between_does_not():
    """images -> conv -> (conv -> decode -> regions), RoIAlign -> gemm -> softmax."""
    names = {
        'stem': ('Conv', ['images', 'w'], ['maps']),
        'act': ('Relu', ['maps'], ['features']),
        'rpn': ('Conv', ['features', 'w'], ['deltas']),
        'exp': ('Exp', ['deltas'], ['sizes']),
        'decode': ('Add', ['sizes', 'anchors'], ['regions']),
        'roi': ('RoiAlign', ['features', 'regions', 'numbers'], ['pooled']),
        'flat': ('Flatten', ['pooled'], ['flattened']),
        'fc': ('Gemm', ['flattened', 'w'], ['logits']),
        'softmax': ('Softmax', ['logits'], ['scores']),
    }
    nodes = [helper.make_node(kind, given, made, name=name) for name, (kind, given, made) in names.items()]
    output = helper.make_tensor_value_info('scores', TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, 'detector', [], [output]))
    assert sorted(kept_in_float(model)) == ['decode', 'exp', 'flat', 'roi', 'softmax']
