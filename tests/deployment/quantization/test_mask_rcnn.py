"""A whole two-stage detector, with NMS and RoIAlign inside, is simulated, exported and run."""

import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from projects.deployment.export.onnx_files import write_onnx
from projects.deployment.export.verification import SITE_DEVIATION
from projects.deployment.inference_graphs import build_graph, load_model
from projects.deployment.model_info import ModelInfo
from projects.deployment.quantization.agreement import HeadsOfRegions, relative_difference, site_deviations
from projects.deployment.quantization.execution import int8_share, site_executions
from projects.deployment.quantization.fidelity import exact_heads, head_sqnr_db
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.quantized_file import write_quantized
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import OpenVINOSession
from projects.training.config import load_config
from tests.narrow import TWO_STAGE

from .tiny import pictures

SIZE = 64, 96
NARROW = TWO_STAGE | {
    'model.backbone.arch': 's1',
    'model.backbone.pretrained': False,
    'model.test_cfg.rpn.max_per_img': 40,
    'model.test_cfg.rcnn.max_per_img': 10,
    'model.test_cfg.rcnn.score_thr': 0.001,
}


@pytest.fixture(scope='module')
def detector():
    cfg = load_config('configs/shvit_maskrcnn_coco.py', NARROW)
    torch.manual_seed(0)
    model = load_model(cfg)
    model.roi_head.bbox_head.fc_cls.weight.data.normal_(0, 0.3)
    model.backbone.fuse()
    info = dataclasses.replace(ModelInfo.from_config(cfg), input_size=SIZE, batch_size=1)
    graph = build_graph(model, info)
    images = pictures(10, size=SIZE)
    return graph, info, quantize(graph, images, QuantizationSettings('mse'))


def test_levels_have_ranges_of_their_own_and_masks_are_calibrated(detector):
    _, _, quantized = detector
    scheme = quantized.scheme
    assert not scheme.unknown
    assert not scheme.kept_in_float
    assert len({scheme.inputs[f'rpn_head.rpn_conv#{level}:0'] for level in range(5)}) > 1
    assert {'roi_head.bbox_head.fc_cls#0:0', 'roi_head.mask_head.upsample#0:0'} <= set(scheme.inputs)
    assert {'masks_of_classes#0:0', 'masks_of_classes#0:1'} <= set(scheme.inputs), 'maps, and weights of their classes'


def test_heads_are_compared_on_the_same_regions(detector):
    graph, _, quantized = detector
    ratios = head_sqnr_db(exact_heads(graph, pictures(2, seed=3, size=SIZE)), quantized)
    assert {'rpn_cls.0', 'rpn_box.4', 'cls', 'box', 'mask', 'all'} <= set(ratios)
    assert ratios['cls'] > 15


def test_both_runtimes_compute_the_file_in_integers(detector, tmp_path):
    _, info, quantized = detector
    path = tmp_path / 'detector.onnx'
    write_quantized(quantized, info, path, SIZE)
    executions = site_executions(quantized.scheme, path, 'fp32')
    assert int8_share(quantized.scheme, executions) >= 0.95
    image = pictures(1, seed=4, size=SIZE)[0]
    boxes, scores, _, _, masks = quantized(torch.from_numpy(image))
    assert len(scores) > 3
    for session in (OnnxRuntimeSession(path), OpenVINOSession(path, 'fp32')):
        found = session(image)
        assert found['masks'].shape[1:] == masks.shape[1:]
        overlaps = box_iou(boxes[:3], torch.from_numpy(found['boxes']))
        assert overlaps.max(dim=1).values.min() > 0.5, 'the best boxes are found again'


def test_every_site_runs_as_it_was_simulated(detector):
    _, info, quantized = detector
    image = pictures(1, seed=4, size=SIZE)[0]
    found = site_deviations(quantized, info, image, lambda path: OpenVINOSession(path, 'fp32'))
    assert {site.name for site in quantized.scheme.sites} == set(found), 'those that read regions, too'
    assert max(found.values()) < SITE_DEVIATION / 2, found


def test_heads_are_executed_for_regions_of_which_a_level_has_none(detector, tmp_path):
    """All regions are of the finest level; their constants in the file must not be empty for the others."""
    graph, info, quantized = detector
    images = torch.from_numpy(pictures(1, seed=4, size=SIZE)[0])
    small = torch.tensor([[0.0, 4, 4, 30, 30], [0, 20, 10, 60, 40]])
    regions = small, torch.cat((small, torch.zeros(2, 1)), 1)
    heads = HeadsOfRegions(quantized, regions, images).eval()
    path = tmp_path / 'heads.onnx'
    write_onnx(heads, info, path, SIZE)
    found = OpenVINOSession(path, 'fp32')(images.numpy())
    simulated, exact = (
        {k: v.numpy() for k, v in each.head_outputs(images, regions).items()} for each in (quantized, graph)
    )
    assert found['mask'].shape == simulated['mask'].shape
    # kernels stray from the simulation by less than the rounding that both have
    assert relative_difference(found, simulated) < relative_difference(simulated, exact)
