import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from projects.deployment.runtimes.exact_boxes import keep_boxes_exact
from projects.deployment.runtimes.openvino_session import OpenVINOSession, convert_onnx

SIDE = 8
COORDINATES = np.array([100.3, 200.6, 1000.37, 1200.11], np.float32)


def constant(name, values):
    values = np.asarray(values)
    kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
    return helper.make_tensor(name, kind, values.shape, values.ravel())


def detector(path):
    """A residual block; deltas of a convolution, decoded, suppressed; the regions are pooled and convolved again."""
    nodes = [
        helper.make_node('Conv', ['images', 'weight_of_block'], ['block'], name='block'),
        helper.make_node('Add', ['block', 'images'], ['features'], name='features'),
        helper.make_node('Conv', ['features', 'weight'], ['deltas'], name='deltas'),
        helper.make_node('Reshape', ['deltas', 'of_boxes'], ['rows'], name='rows'),
        helper.make_node('Mul', ['rows', 'scale'], ['scaled'], name='scaled'),
        helper.make_node('Add', ['scaled', 'coordinates'], ['decoded'], name='decoded'),
        helper.make_node('Conv', ['images', 'weight_of_scores'], ['logits'], name='logits'),
        helper.make_node('Sigmoid', ['logits'], ['all_scores'], name='all_scores'),
        helper.make_node('Reshape', ['all_scores', 'of_scores'], ['scores_of_boxes'], name='scores_of_boxes'),
        helper.make_node('NonMaxSuppression', ['decoded', 'scores_of_boxes', 'most', 'iou', 'least'], ['kept']),
        helper.make_node('Gather', ['kept', 'last'], ['chosen'], axis=1),
        helper.make_node('Reshape', ['decoded', 'flat'], ['flat_boxes'], name='flat_boxes'),
        helper.make_node('Gather', ['flat_boxes', 'chosen'], ['boxes'], axis=0, name='boxes'),
        helper.make_node('Mul', ['kept', 'zero'], ['no_image']),
        helper.make_node('Gather', ['no_image', 'first'], ['image'], axis=1),
        helper.make_node('RoiAlign', ['images', 'boxes', 'image'], ['pooled'], output_height=2, output_width=2),
        helper.make_node('Conv', ['pooled', 'weight'], ['masks_of_four'], name='masks_of_four'),
        helper.make_node('Relu', ['masks_of_four'], ['masks'], name='masks'),
    ]
    random = np.random.default_rng(0)
    constants = [
        constant('weight', random.normal(size=(4, 3, 1, 1)).astype(np.float32)),
        constant('weight_of_block', random.normal(size=(3, 3, 1, 1)).astype(np.float32)),
        constant('weight_of_scores', random.normal(size=(1, 3, 1, 1)).astype(np.float32)),
        constant('of_boxes', np.array([1, -1, 4])),
        constant('of_scores', np.array([1, 1, -1])),
        constant('flat', np.array([-1, 4])),
        constant('scale', np.float32([5, 5, 7, 7])),
        constant('coordinates', COORDINATES),
        constant('most', np.array([9])),
        constant('iou', np.float32([0.9])),
        constant('least', np.float32([0.0])),
        constant('last', np.array(2)),
        constant('first', np.array(0)),
        constant('zero', np.array([0])),
    ]
    graph = helper.make_graph(
        nodes,
        'detector',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info('boxes', TensorProto.FLOAT, None),
            helper.make_tensor_value_info('masks', TensorProto.FLOAT, None),
        ],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)]), path)
    return path


@pytest.fixture
def converted(tmp_path):
    convert_onnx(detector(tmp_path / 'detector.onnx'), tmp_path / 'detector.xml', '{}', half_weights=False)
    return tmp_path / 'detector.xml'


def marked(path):
    model = openvino.Core().read_model(path)
    keys = ('DisablePrecisionConversion_0', 'precise_0')  # of newer and older versions
    return {node.get_friendly_name() for node in model.get_ops() if any(key in node.get_rt_info() for key in keys)}


def test_what_lies_between_weights_and_boxes_and_sums_are_marked(converted):
    names = marked(converted)
    assert {'features', 'rows', 'scaled', 'decoded', 'all_scores', 'scores_of_boxes', 'boxes'} <= names
    assert not names & {'block', 'deltas', 'logits', 'masks', 'masks_of_four', 'images'}


def test_marks_survive_a_new_description(converted, tmp_path):
    model = openvino.Core().read_model(converted)
    openvino.save_model(model, tmp_path / 'again.xml', compress_to_fp16=False)
    assert marked(tmp_path / 'again.xml') == marked(converted)


@pytest.mark.skipif(
    tuple(map(int, openvino.__version__.split('.')[:2])) < (2026, 4), reason='OpenVINO keeps the precision since 2026.4'
)
def test_boxes_are_decoded_in_float32_where_the_rest_is_bfloat16(converted):
    try:
        session = OpenVINOSession(converted, 'bf16')
    except ValueError as error:
        pytest.skip(f'bfloat16: {error}')
    kernels = {name: layer for layer in session.layers() for name in layer.made_of}
    assert {kernels[name].precision for name in ('features', 'decoded', 'flat_boxes')} == {'f32'}
    assert {kernels[name].precision for name in ('block', 'masks_of_four')} == {'bf16'}


def test_a_graph_without_boxes_stays_as_it_is(tmp_path):
    node = helper.make_node('Relu', ['images'], ['labels'])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ('images', 'labels')]
    model = helper.make_model(
        helper.make_graph([node], 'plain', values[:1], values[1:]), opset_imports=[helper.make_opsetid('', 17)]
    )
    onnx.save(model, tmp_path / 'plain.onnx')
    convert_onnx(tmp_path / 'plain.onnx', tmp_path / 'plain.xml', '{}', half_weights=False)
    before = (tmp_path / 'plain.xml').read_bytes()
    assert keep_boxes_exact(tmp_path / 'plain.xml') == 0
    assert (tmp_path / 'plain.xml').read_bytes() == before
