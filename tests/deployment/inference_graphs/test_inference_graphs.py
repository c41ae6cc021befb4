"""The graphs say what OpenMMLab's own inference says, and so do their files at other sizes than the traced one."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.models import EncoderDecoder

from projects.deployment.export.onnx_files import write_onnx
from projects.deployment.export.pytorch_reference import PyTorchReference
from projects.deployment.inference_graphs import build_graph, load_model
from projects.deployment.inference_graphs.segmentation import CELLS, PIXELS, labels_by_cells
from projects.deployment.model_info import ModelInfo
from projects.deployment.predictor import Predictor
from projects.deployment.runtimes.descriptions import read_info
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import OpenVINOSession
from projects.deployment.runtimes.torch_session import TorchSession
from projects.training.config import load_config
from tests.narrow import ONE_STAGE, TWO_STAGE

SIZES = (96, 128), (77, 121)
LEAVES = {
    'segmentation': 'configs/efficientvit_mit_b0_seg_cityscapes.py',
    'one logit': 'configs/buildings/shvit_unet_scenes_student.py',
    'Semantic FPN': 'configs/mobile_former_294m_fpn_ade20k.py',
    'Semantic FPN of MobileViTv2': 'configs/mobilevitv2_100_fpn_ade20k.py',
    'RetinaNet': 'configs/mobilenetv3_retinanet_coco.py',
    'RTMDet': 'configs/efficientvit_mit_b1_rtmdet_coco.py',
    'UPerNet': 'configs/efficientmod_s_upernet_ade20k.py',
    'Mask R-CNN': 'configs/mobilenetv3_maskrcnn_coco.py',
}


NARROW = {
    'segmentation': {'model.backbone.pretrained': False},
    'one logit': {
        'model.backbone.pretrained': False,
        'model.backbone.arch': 's1',
        'model.decode_head.in_channels': [16, 32, 64, 128, 224, 320],
    },
    'Semantic FPN': {'model.backbone.arch': '26m', 'model.backbone.out_indices': (0, 1, 2, 3)},
    'Semantic FPN of MobileViTv2': {'model.backbone.pretrained': False, 'model.backbone.arch': 'mobilevitv2_050'},
    'RetinaNet': ONE_STAGE | {'model.backbone.pretrained': False, 'model.backbone.arch': 'mobilenetv3_small_050'},
    'RTMDet': {
        'model.backbone.pretrained': False,
        'model.backbone.arch': 'b0',
        'model.neck.num_csp_blocks': 1,
        'model.bbox_head.stacked_convs': 1,
        'model.test_cfg.score_thr': 0.05,
    },
    'UPerNet': {
        'model.backbone.pretrained': False,
        'model.backbone.arch': 'xxs',
        'model.decode_head.in_channels': [32, 64, 128, 256],
        'model.decode_head.channels': 32,
    },
    'Mask R-CNN': TWO_STAGE
    | {
        'model.test_cfg.rpn.max_per_img': 60,
        'model.test_cfg.rcnn.max_per_img': 12,
        'model.backbone.pretrained': False,
    },
}


@pytest.fixture(scope='module', params=LEAVES)
def opened(request):
    return scattered(load_config(LEAVES[request.param], NARROW[request.param]))


def scattered(cfg):
    """A model whose random weights give scores that are far apart."""
    torch.manual_seed(0)
    model = load_model(cfg)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
    head = getattr(model, 'bbox_head', None)
    if head is not None:
        last = [head.retina_cls] if hasattr(head, 'retina_cls') else list(head.rtm_cls)
        for layer in last:
            layer.weight.data.normal_(0, 0.05)
        with torch.no_grad():
            scores = head(model.extract_feat(torch.randn(1, 3, 96, 128)))[0]
        for layer in last:
            layer.weight.data *= 2 / torch.cat([score.flatten() for score in scores]).std()
    if hasattr(model, 'roi_head'):
        model.roi_head.bbox_head.fc_cls.weight.data.normal_(0, 0.05)
    return model, ModelInfo.from_config(cfg)


def photographs(size, number=1):
    """Images with large and small structures."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (number, 5, 7, 3), dtype=np.uint8)
    large = np.stack([cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC) for image in coarse])
    return (large // 2 + rng.integers(0, 128, large.shape)).astype(np.uint8)


def assert_same_objects(mine, theirs):
    """Each object of either has one of the other at its place; nearly equal scores may come in another order."""
    assert len(mine.scores) == len(theirs.scores) > 3
    mine, theirs = (one.select(one.scores > mine.scores.min() + 1e-4) for one in (mine, theirs))  # of ties any is last
    alike = (mine.labels[:, None] == theirs.labels) & (np.abs(mine.scores[:, None] - theirs.scores) < 1e-4)
    alike &= np.abs(mine.boxes[:, None] - theirs.boxes).max(-1) < 0.02
    assert alike.any(0).all()
    assert alike.any(1).all()
    if mine.masks is not None and mine.masks.shape == theirs.masks.shape:
        np.testing.assert_allclose(mine.masks, theirs.masks[alike.argmax(1)], atol=5e-3)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_a_graph_says_what_openmmlab_says(opened, size):
    model, info = opened
    images = photographs(size, 2)
    ours = Predictor(TorchSession(build_graph(model, info)), info)(images)
    for mine, theirs in zip(ours, PyTorchReference(model)(images), strict=True):
        if info.is_segmentor:
            assert (mine.labels == theirs.labels).mean() > 0.9999
            np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=1e-4)
            continue
        assert_same_objects(mine, theirs)


def test_a_file_says_what_its_graph_says_at_any_size_and_batch(opened, tmp_path):
    model, info = opened
    graph = build_graph(model, info)
    path = tmp_path / 'graph.onnx'
    write_onnx(graph, info, path, (96, 128))
    assert read_info(path) == info
    for session in OnnxRuntimeSession(path, threads=1), OpenVINOSession(path, 'fp32', threads=1):
        for size, number in (((96, 128), 1), ((77, 121), 2)):
            images = photographs(size, number)
            expected, found = Predictor(TorchSession(graph), info)(images), Predictor(session, info)(images)
            for one, other in zip(expected, found, strict=True):
                if info.is_segmentor:
                    np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-4)
                else:
                    assert_same_objects(other, one)


def test_nothing_found_is_an_empty_result(tmp_path):
    cfg = load_config(LEAVES['Mask R-CNN'], NARROW['Mask R-CNN'] | {'model.test_cfg.rcnn.score_thr': 1.0})
    model, info = scattered(cfg)
    graph = build_graph(model, info)
    path = tmp_path / 'graph.onnx'
    write_onnx(graph, info, path, (64, 64))
    for session in TorchSession(graph), OnnxRuntimeSession(path), OpenVINOSession(path):
        (found,) = Predictor(session, info)(photographs((64, 64)))
        assert found.boxes.shape == (0, 4)
        assert found.masks.shape == (0, 28, 28)


@pytest.mark.parametrize('part', ['backbone', 'rpn_head.rpn_reg', 'rpn_head.rpn_cls', 'fc_reg', 'fc_cls'])
def test_a_box_of_nan_is_no_object(part):
    """Nor does one reach the pooling, which would end the process."""
    model, info = scattered(load_config(LEAVES['Mask R-CNN'], NARROW['Mask R-CNN']))
    for name, parameter in model.named_parameters():
        if part in name:
            parameter.data.fill_(torch.nan)
    (found,) = Predictor(TorchSession(build_graph(model, info)), info)(photographs((64, 96)))
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 28, 28)


def test_other_boxes_stay_beside_those_of_nan():
    model, info = scattered(load_config(LEAVES['Mask R-CNN'], NARROW['Mask R-CNN']))
    images, predict = photographs((64, 96)), Predictor(TorchSession(build_graph(model, info)), info)
    labels = predict(images)[0].labels
    lost = int(labels[0])
    model.roi_head.bbox_head.fc_reg.bias.data[4 * lost] = torch.nan
    (found,) = predict(images)
    assert lost not in found.labels
    assert len(found.boxes) == len(found.masks) >= (labels != lost).sum() > 0
    assert np.isfinite(found.boxes).all()


def test_labels_are_the_most_probable_classes():
    model, info = scattered(
        load_config('configs/efficientvit_mit_b0_seg_cityscapes.py', {'model.backbone.pretrained': False})
    )
    images = photographs((64, 96))
    probabilities = TorchSession(build_graph(model, info))(images)['probabilities']
    labels = TorchSession(build_graph(model, dataclasses.replace(info, output='labels')))(images)['labels']
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, probabilities.argmax(1))
    graph = build_graph(model, dataclasses.replace(info, output='labels'))
    graph.by_maximum = CELLS, PIXELS
    np.testing.assert_array_equal(TorchSession(graph)(images)['labels'], labels)


@pytest.mark.parametrize('by_maximum', [False, True])
@pytest.mark.parametrize('scale', [2, 3, 4])
def test_labels_by_cells_are_those_of_all_pixels(scale, by_maximum):
    torch.manual_seed(0)
    logits = F.interpolate(torch.randn(2, 7, 4, 5), (12, 17), mode='bicubic')
    logits[:, 6] = logits.amax(1) - 0.05  # wins nowhere among the samples, and somewhere between them
    expected = F.interpolate(logits, scale_factor=scale, mode='bilinear').argmax(1)
    assert (expected == 6).any()
    found = labels_by_cells(logits, scale, by_maximum)
    assert (found != expected).float().mean() < 1e-3, 'but for ties'
    assert (found[expected == 6] == 6).float().mean() > 0.99


def test_labels_of_one_class_need_no_cells(tmp_path):
    class Labels(torch.nn.Module):
        output_names = ('labels',)

        def forward(self, images):
            return (labels_by_cells(images.permute(0, 3, 1, 2).float(), 4, True),)

    info = dataclasses.replace(scattered_info(), input_size=(6, 9), batch_size=1)
    path = tmp_path / 'labels.onnx'
    write_onnx(Labels(), info, path, (6, 9))
    images = np.zeros((1, 6, 9, 3), np.uint8)
    images[..., 1] = 1
    for session in (OnnxRuntimeSession(path), OpenVINOSession(path, 'fp32')):
        np.testing.assert_array_equal(session(images)['labels'], np.ones((1, 24, 36)))
        other = images.copy()
        other[:, 2, 3] = 0, 0, 5
        expected = F.interpolate(torch.from_numpy(other).permute(0, 3, 1, 2).float(), scale_factor=4, mode='bilinear')
        assert (session(other)['labels'] == expected.argmax(1).numpy()).mean() > 0.99


def test_a_fixed_graph_keeps_its_size_in_its_description(tmp_path):
    model, info = scattered(
        load_config('configs/efficientvit_mit_b0_seg_cityscapes.py', {'model.backbone.pretrained': False})
    )
    info = dataclasses.replace(info, input_size=(64, 96), batch_size=1)
    write_onnx(build_graph(model, info), info, tmp_path / 'graph.onnx', (512, 512))
    predictor = Predictor(OnnxRuntimeSession(tmp_path / 'graph.onnx'), read_info(tmp_path / 'graph.onnx'))
    assert predictor(photographs((64, 96)))[0].labels.shape == (64, 96)
    with pytest.raises(ValueError, match='64x96 px alone'):
        predictor(photographs((96, 96)))


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ValueError, match='Conv2d cannot be exported; expected an EncoderDecoder'):
        build_graph(torch.nn.Conv2d(3, 3, 1), dataclasses.replace(scattered_info(), task='object detection'))


def scattered_info():
    return ModelInfo.from_config(Config.fromfile(LEAVES['segmentation']))


@pytest.mark.parametrize('method', ['kd', 'dml'])
def test_networks_that_only_training_needs_are_left_out(method):
    cfg = load_config(f'configs/buildings/shvit_unet_scenes_{method}.py', {'model.backbone.pretrained': False})
    model = load_model(cfg)  # no teacher was trained
    assert type(model) is EncoderDecoder
    assert not any(name.startswith('peer') for name, _ in model.named_parameters())


def test_a_peer_is_not_exported_in_place_of_the_first():
    with pytest.raises(ValueError, match='only the first can be deployed'):
        load_model(load_config('configs/buildings/shvit_unet_scenes_dml.py', {'model.predict_with': 'peer'}))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    torch.save({'state_dict': {'backbone.weight': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit the model of'):
        load_model(load_config(LEAVES['segmentation']), tmp_path / 'other.pth')
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        load_model(load_config(LEAVES['segmentation']), tmp_path / 'missing.pth')
