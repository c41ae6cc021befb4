"""Files for Deepness and geodeep, fed as those two feed them; networks are narrow, their weights random.

Deepness (src/deepness/processing/models at f450c63): values of the metadata are read by `json.loads`; a tile of
(S, S, C) bytes is cut to the channels of the input, divided by 255, transposed and run; of a segmentor's only output,
(B, C, S, S), values below `seg_thresh` become 0 and the largest channel is taken. geodeep 0.9.13 does the same with
tiles (C, S, S); its `resolution`, thresholds and overlap are read by `float`, its tile size from the input's shape.
"""

import dataclasses
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from projects.command_line import UsageError
from projects.deployment.export import verified_export
from projects.deployment.export.onnx_files import write_onnx
from projects.deployment.inference_graphs import build_graph, load_model
from projects.deployment.model_info import INSTANCES, ModelInfo
from projects.deployment.prediction.coco_results import paste_masks
from projects.deployment.prediction.command import ModelChoice, predict
from projects.deployment.prediction.prediction_files import PredictionSettings
from projects.deployment.predictor import open_predictor
from projects.deployment.qgis import TILE_PX
from projects.deployment.scoring import DeployedModel
from projects.training.config import load_config
from projects.training.instance_masks import PlacedMasks

ROOT = Path(__file__).parents[2]
SIDE = 64
BUILDINGS = f"""
_base_ = '{ROOT}/configs/buildings/efficientnet_lite0_unet_tiles.py'
model = dict(
    backbone=dict(_delete_=True, type='TimmBackbone', arch='mobilenetv3_small_050', out_indices=(0, 1, 2, 3, 4)),
    decode_head=dict(threshold=THRESHOLD),
)
"""
CLASSES = f"""
_base_ = '{ROOT}/configs/mobilenetv3_fpn_ade20k.py'
model = dict(
    backbone=dict(arch='mobilenetv3_small_050', pretrained=False),
    neck=dict(out_channels=8),
    decode_head=dict(in_channels=[8] * 4, channels=8),
)
"""
BOXES = f"""
_base_ = '{ROOT}/configs/mobilenetv3_retinanet_coco.py'
model = dict(
    backbone=dict(arch='mobilenetv3_small_050', pretrained=False),
    neck=dict(out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0),
)
"""
MASKS = f"""
_base_ = '{ROOT}/configs/mobilenetv3_maskrcnn_coco.py'
model = dict(
    backbone=dict(arch='mobilenetv3_small_050', pretrained=False),
    neck=dict(out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        mask_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16),
        mask_head=dict(in_channels=8, conv_out_channels=8, num_convs=1),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=12)),
)
"""
CONFIGS = {
    'buildings': BUILDINGS.replace('THRESHOLD', '0.5'),
    'sensitive': BUILDINGS.replace('THRESHOLD', '0.3'),
    'classes': CLASSES,
    'boxes': BOXES,
    'masks': MASKS,
}


def load_tool():
    spec = importlib.util.spec_from_file_location('export', ROOT / 'tools' / 'export.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


export = load_tool()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('qgis')
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'photo.png'), cv2.resize(noise, (SIDE, SIDE)))
    return folder


def model_files(folder, name):
    """A config and its checkpoint."""
    config, checkpoint = folder / f'{name}.py', folder / f'{name}.pth'
    if not checkpoint.exists():
        config.write_text(CONFIGS[name])
        torch.manual_seed(0)
        weights = load_model(load_config(config)).state_dict()
        if name == 'sensitive':  # says 0.3 where the other says 0.5
            weights['decode_head.conv_seg.bias'] += math.log(0.3 / 0.7)
        torch.save({'state_dict': weights}, checkpoint)
    return config, checkpoint


def run(folder, name, *options, out):
    given = [*map(str, model_files(folder, name)), '--images', str(folder / 'photo.png'), '--size', f'{SIDE}x{SIDE}']
    export.main([*given, '--out', str(out), '--for', 'qgis', *options])
    return out


def exported(folder, name):
    out = folder / f'{name}.onnx'
    return out if out.exists() else run(folder, name, '--resolution-cm', '30', out=out)


def predicted(folder, name):
    """By the network in PyTorch; a detector's boxes, whose scores are nearly equal, by its usual file."""
    config, checkpoint = model_files(folder, name)
    if name not in ('boxes', 'masks'):
        return open_predictor(config, checkpoint)(tile()[None])[0]
    out, cfg = folder / f'{name}.usual.onnx', load_config(config)
    if not out.exists():
        info = dataclasses.replace(ModelInfo.from_config(cfg), input_size=(SIDE, SIDE), batch_size=1)
        write_onnx(build_graph(load_model(cfg, checkpoint), info), info, out, (SIDE, SIDE))
    return open_predictor(out)(tile()[None])[0]


def tile():
    return cv2.resize(np.random.default_rng(5).integers(0, 256, (5, 5, 3), dtype=np.uint8), (SIDE, SIDE))


class Deepness:
    """What the plugin does with a file, without its windows."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        (self.input,) = self.session.get_inputs()
        self.outputs = self.session.get_outputs()
        self.metadata = self.session.get_modelmeta().custom_metadata_map

    def value(self, key):
        return json.loads(self.metadata[key])

    def class_names(self):
        names = sorted(self.value('class_names').items(), key=lambda item: int(item[0]))
        assert [int(key) for key, _ in names] == list(range(len(names))), 'consecutive from 0'
        return [name for _, name in names]

    def process(self, tiles):
        """(B, S, S, C) bytes."""
        values = np.float32(tiles[..., : self.input.shape[-3]] * 1.0 / 255.0)
        values = (values - self.value('standardization_mean')) / self.value('standardization_std')
        return self.session.run(None, {self.input.name: values.transpose(0, 3, 1, 2).astype(np.float32)})

    def labels(self, tiles):
        (result,) = self.process(tiles)
        result[result < float(self.value('seg_thresh'))] = 0.0
        return np.argmax(result, axis=1)


def geodeep_mask(path, image):
    """(S, S) of an image (3, S, S), as geodeep's `create_session` and `execute_segmentation` come to it."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (given,) = session.get_inputs()
    meta = session.get_modelmeta().custom_metadata_map
    assert json.loads(meta['model_type']) == 'Segmentor'
    assert given.shape[-1] == SIDE
    out = session.run(None, {given.name: (image[None] / 255.0).astype(np.float32)})[0]
    out[out < float(meta['seg_thresh'])] = 0
    return np.argmax(out, axis=1)[0]


@pytest.mark.parametrize('name', ['buildings', 'sensitive', 'classes'])
def test_a_segmentor_says_in_the_plugins_what_it_says_here(folder, name):
    path, expected = exported(folder, name), predicted(folder, name)
    deepness = Deepness(path)
    assert deepness.input.shape == [1, 3, SIDE, SIDE]
    assert deepness.input.type == 'tensor(float)'
    (output,) = deepness.outputs
    assert output.shape == [1, len(deepness.class_names()), SIDE, SIDE]
    assert deepness.value('model_type').capitalize() == 'Segmentor'
    (channels,) = deepness.process(tile()[None])
    np.testing.assert_allclose(channels.sum(1), 1, atol=1e-5)
    if name == 'classes':
        np.testing.assert_allclose(channels[0], expected.probabilities, atol=1e-4)
    elif name == 'buildings':
        np.testing.assert_allclose(channels[0, 1], expected.probabilities[0], atol=1e-4)
    assert len(np.unique(expected.labels)) > 1, 'there is something to tell apart'
    for labels in (deepness.labels(tile()[None])[0], geodeep_mask(path, tile().transpose(2, 0, 1))):
        assert (labels == expected.labels).mean() > 0.999


def test_the_metadata_are_what_the_plugins_read(folder):
    read = Deepness(exported(folder, 'buildings'))
    assert {key: read.value(key) for key in read.metadata if key != 'skyline'} == {
        'model_type': 'Segmentor',
        'class_names': {'0': 'background', '1': 'building'},
        'resolution': 30.0,
        'tile_size': SIDE,
        'tiles_size': SIDE,
        'tiles_overlap': 25,
        'standardization_mean': [0.0, 0.0, 0.0],
        'standardization_std': [1.0, 1.0, 1.0],
        'seg_thresh': 0.5,
        'seg_small_segment': 0,
    }
    assert Deepness(exported(folder, 'classes')).value('seg_thresh') == 0, 'the most probable of many may be improbable'


@pytest.mark.parametrize('name', ['buildings', 'sensitive', 'classes', 'boxes', 'masks'])
def test_a_file_for_qgis_predicts_here_as_well(folder, name):
    found, expected = open_predictor(exported(folder, name))(tile()[None])[0], predicted(folder, name)
    if name in ('boxes', 'masks'):
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        np.testing.assert_array_equal(found.labels, expected.labels)
    else:
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_masks_of_tiles_are_not_taken_for_those_of_boxes(folder, tmp_path):
    file = exported(folder, 'masks')
    with pytest.raises(UsageError, match='without --for'):
        predict(ModelChoice(str(file)), [str(folder / 'photo.png')], tmp_path / 'out', PredictionSettings(()))
    with pytest.raises(UsageError, match='without --for'):
        DeployedModel(file, INSTANCES, open_predictor(file).info.classes)


def test_boxes_are_those_of_yolov5(folder):
    deepness, expected = Deepness(exported(folder, 'boxes')), predicted(folder, 'boxes')
    (output,) = deepness.outputs
    assert output.shape[0] == 1
    assert len(output.shape) == 3
    assert (deepness.value('model_type'), deepness.value('det_type')) == ('Detector', 'YOLO_v5_or_v7_default')
    rows = deepness.process(tile()[None])[0][0]
    assert rows.shape == (len(expected.boxes), 5 + len(deepness.class_names()))
    rows = rows[np.argsort(-rows[:, 4], kind='stable')]
    left_top, right_bottom = rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2
    np.testing.assert_allclose(np.hstack((left_top, right_bottom)), expected.boxes, atol=1e-3)
    np.testing.assert_allclose(rows[:, 4], expected.scores, atol=1e-5)
    np.testing.assert_array_equal(np.argmax(rows[:, 5:], axis=1), expected.labels)


def test_masks_come_out_of_prototypes(folder):
    deepness, expected = Deepness(exported(folder, 'masks')), predicted(folder, 'masks')
    assert deepness.value('det_type') == 'YOLO_Ultralytics_segmentation'
    detections, prototypes = deepness.process(tile()[None])
    rows, number = detections[0].T, len(deepness.class_names())
    rows = rows[np.argsort(-rows[:, 4 : 4 + number].max(1), kind='stable')]
    np.testing.assert_array_equal(np.argmax(rows[:, 4 : 4 + number], axis=1), expected.labels)
    c, height, width = prototypes[0].shape
    weighed = np.matmul(rows[:, 4 + number :], prototypes[0].astype(float).reshape(c, -1))
    masks = (1 / (1 + np.exp(-weighed))).reshape(-1, height, width) >= 0.5
    whole = PlacedMasks(paste_masks(expected, (SIDE, SIDE), 0.5), SIDE, SIDE).to_ndarray()
    assert whole.any()
    assert (masks == whole).mean() > 0.999


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ((), 'such as --resolution-cm 30'),
        (('--output', 'labels'), 'leave out --output labels'),
        (('--precision', 'int8'), 'leave out --precision int8'),
        (('--size', '64x96'), 'square'),
        (('--format', 'openvino'), 'leave out --format openvino'),
        (('--batch-size', '2'), 'leave out --dynamic, --batch-size'),
    ],
)
def test_what_plugins_cannot_read_is_refused(folder, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        run(folder, 'buildings', *options, '--cfg-options', f'data_root={tmp_path}', out=tmp_path / 'model.onnx')


def test_the_ground_sample_distance_is_that_of_the_data(folder, tmp_path):
    (tmp_path / 'parameters.json').write_text(json.dumps({'gsd_m': 0.125, 'tile_px': 256}))
    out = tmp_path / 'model.onnx'
    run(folder, 'buildings', '--cfg-options', f'data_root={tmp_path}', out=out)
    assert Deepness(out).value('resolution') == 12.5


def test_tiles_are_no_larger_than_needed(folder, tmp_path, monkeypatch):
    assert TILE_PX == 512
    monkeypatch.setattr(verified_export, 'TILE_PX', 96)
    large = cv2.resize(cv2.imread(str(folder / 'photo.png')), (160, 64))
    cv2.imwrite(str(tmp_path / 'large.png'), large)
    out = tmp_path / 'model.onnx'
    given = [*map(str, model_files(folder, 'buildings')), '--images', str(tmp_path / 'large.png'), '--out', str(out)]
    export.main([*given, '--for', 'qgis', '--resolution-cm', '30'])
    assert Deepness(out).input.shape == [1, 3, 96, 96]


def test_images_that_the_recipe_shrinks_have_larger_pixels(folder, tmp_path):
    (tmp_path / 'annotations').mkdir()
    images = [{'id': 1, 'file_name': 'a.png', 'width': 2666, 'height': 1600, 'gsd_m': 0.2}]
    (tmp_path / 'annotations' / 'instances_val2017.json').write_text(json.dumps({'images': images}))
    out = tmp_path / 'model.onnx'
    run(folder, 'boxes', '--cfg-options', f'data_root={tmp_path}/', out=out)
    assert Deepness(out).value('resolution') == pytest.approx(40, rel=0.01), 'the recipe makes 1333 px of 2666'
