"""Offsets and heights leave the graph, ONNX Runtime and OpenVINO as PyTorch says them, and carry on to the results."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, init_default_scope

from projects.deployment.export.comparison import verify
from projects.deployment.export.file_verification import cutoffs_of
from projects.deployment.export.onnx_files import write_onnx
from projects.deployment.export.pytorch_reference import PyTorchReference
from projects.deployment.export.verification import BOUNDS
from projects.deployment.inference_graphs import build_graph
from projects.deployment.model_info import ModelInfo
from projects.deployment.predictor import Predictor, open_predictor
from projects.deployment.quantization.fidelity import exact_heads, head_sqnr_db
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.runtimes.openvino_session import convert_onnx
from projects.deployment.runtimes.torch_session import TorchSession
from projects.deployment.scoring import DeployedModel
from projects.training.config import load_config
from tests.narrow import TWO_STAGE

NARROW = TWO_STAGE | {'model.backbone.arch': 's1', 'model.backbone.pretrained': False}
OF_OFFSETS = {'model.roi_head.offset_head.in_channels': 16}


@pytest.fixture(scope='module')
def cfg():
    cfg = load_config(
        'configs/buildings/shvit_roofoffsets_scenes.py', NARROW | {'model.roi_head.offset_head.in_channels': 16}
    )
    cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=8)
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    return cfg


@pytest.fixture(scope='module')
def model(cfg):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    for name, parameter in model.named_parameters():  # what is said differs from box to box
        if name.startswith(('roi_head.offset_head', 'roi_head.bbox_head.fc_')):
            parameter.data += (0.05 if 'offset_head' in name else 0.2) * torch.randn_like(parameter)
    return model


@pytest.fixture(scope='module')
def info(cfg):
    return ModelInfo.from_config(cfg)


def batches():
    rng = np.random.default_rng(0)
    shapes = {('a', 'b'): (2, 96, 128, 3), ('c',): (1, 128, 96, 3)}
    return [(names, rng.integers(0, 256, shape, np.uint8)) for names, shape in shapes.items()]


@pytest.fixture(scope='module')
def files(model, info, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported')
    write_onnx(build_graph(copy.deepcopy(model), info), info, folder / 'model.onnx', (96, 128))
    convert_onnx(folder / 'model.onnx', folder / 'model.xml', info.to_json(), half_weights=False)
    return folder


@pytest.mark.parametrize('runtime', ['graph', 'model.onnx', 'model.xml'])
def test_every_runtime_says_what_pytorch_says(model, info, files, runtime):
    if runtime == 'graph':
        predictor = Predictor(TorchSession(build_graph(copy.deepcopy(model), info)), info)
    else:
        predictor = open_predictor(files / runtime)
    result = verify(PyTorchReference(model), predictor, batches(), info, BOUNDS['fp32'], cutoffs_of(model.test_cfg))
    assert result.passed, result.problems
    assert result.equal >= 20
    assert result.offset < 1e-4


def test_other_offsets_or_heights_do_not_pass(model, info, files):
    reference, exported = PyTorchReference(model), open_predictor(files / 'model.onnx')
    for changed in ('offsets', 'heights_m'):

        def wrong(images, changed=changed):
            return [replace(one, **{changed: getattr(one, changed) * 2 + 1}) for one in exported(images)]

        result = verify(reference, wrong, batches(), info, BOUNDS['fp32'], cutoffs_of(model.test_cfg))
        assert not result.passed
        assert 'offsets and heights differ' in result.problems[0]


def test_consensus_is_taken_over_each_image_and_not_over_the_batch(info, files):
    (_, images), _ = batches()
    together = open_predictor(files / 'model.onnx')(images)
    for image, expected in zip(images, together, strict=True):
        (alone,) = open_predictor(files / 'model.onnx')(image[None])
        np.testing.assert_allclose(alone.offsets, expected.offsets, atol=1e-3)
        lean = alone.offsets / alone.heights_m[:, None]
        np.testing.assert_allclose(lean, lean[:1].repeat(len(lean), 0), atol=1e-4)
        assert np.abs(lean).max() > 1e-2
    assert not np.allclose(together[0].offsets[0] / together[0].heights_m[0], together[1].offsets[0], atol=1e-3)


def test_without_consensus_every_offset_is_its_own(cfg, model, info):
    (_, images), _ = batches()
    alone = copy.deepcopy(model)
    alone.roi_head.test_cfg.lean_consensus = False
    (found, _) = Predictor(TorchSession(build_graph(alone, info)), info)(images)
    (expected, _) = PyTorchReference(alone)(images)
    np.testing.assert_allclose(found.offsets, expected.offsets, atol=1e-3)
    assert (found.offsets / found.heights_m[:, None]).std(axis=0).min() > 1e-3


def test_scores_see_offsets_in_pixels_of_the_file(model, info, files):
    (_, images), _ = batches()
    deployed = DeployedModel(str(files / 'model.onnx'), info.task, info.classes)
    meta = {'img_shape': (96, 128), 'ori_shape': (48, 256), 'scale_factor': (0.5, 2.0), 'pad_shape': (96, 128)}
    sample = DetDataSample(metainfo=meta)
    inputs = torch.from_numpy(np.ascontiguousarray(images[0, ..., ::-1].transpose(2, 0, 1)))
    found = deployed([inputs], [sample.clone()])[0].pred_instances
    with torch.no_grad():
        expected = model.test_step({'inputs': [inputs], 'data_samples': [sample.clone()]})[0].pred_instances
    torch.testing.assert_close(found.offsets, expected.offsets, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.heights_m, expected.heights_m, atol=1e-3, rtol=1e-3)


def test_eight_bits_say_about_the_same(cfg, model, info, tmp_path):
    graph = build_graph(copy.deepcopy(model), replace(info, input_size=(96, 128), batch_size=1))
    images = [np.random.default_rng(seed).integers(0, 256, (1, 96, 128, 3), np.uint8) for seed in range(10)]
    quantized = quantize(graph, images, QuantizationSettings('minmax'))
    assert not quantized.scheme.kept_in_float
    assert {'roi_head.offset_head.offset#0:0', 'roi_head.offset_head.height#0:0'} <= set(quantized.scheme.inputs)
    ratios = head_sqnr_db(exact_heads(graph, images[:2]), quantized)
    assert min(ratios['offset'], ratios['height']) > 15
    fixed = replace(info, input_size=(96, 128), batch_size=1, precision='int8')
    write_quantized(quantized, fixed, tmp_path / 'model.onnx', (96, 128))
    (found,) = open_predictor(tmp_path / 'model.onnx')(images[0])
    assert np.isfinite(found.offsets).all()
    assert found.offsets.shape == (len(found.scores), 2) == (8, 2)


def test_a_detector_without_offsets_has_none():
    cfg = load_config('configs/buildings/shvit_maskrcnn_scenes.py', NARROW)
    init_default_scope('mmdet')
    graph = build_graph(MODELS.build(cfg.model), ModelInfo.from_config(cfg))
    assert graph.output_names == ('boxes', 'scores', 'labels', 'image_indices', 'masks')
