"""tools/export.py on narrow networks with random weights, and pictures of noise."""

import hashlib
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from projects.deployment.export import file_verification as export_verification
from projects.deployment.inference_graphs import load_model
from projects.deployment.predictor import open_predictor
from projects.deployment.runtimes.descriptions import read_info
from projects.training.config import load_config

ROOT = Path(__file__).parents[2]

SEGMENTOR = f"""
_base_ = '{ROOT}/configs/mobilenetv3_fpn_ade20k.py'
model = dict(
    backbone=dict(arch='mobilenetv3_small_050', pretrained=False),
    neck=dict(out_channels=8),
    decode_head=dict(in_channels=[8] * 4, channels=8),
)
"""
DETECTOR = f"""
_base_ = '{ROOT}/configs/mobilenetv3_retinanet_coco.py'
model = dict(
    backbone=dict(arch='mobilenetv3_small_050', pretrained=False),
    neck=dict(out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
)
"""

TWO_STAGE = f"""
_base_ = '{ROOT}/configs/mobilenetv3_maskrcnn_coco.py'
model = dict(
    backbone=dict(pretrained=False),
    neck=dict(out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=8),
        mask_roi_extractor=dict(out_channels=8),
        mask_head=dict(in_channels=8, conv_out_channels=8),
    ),
)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('export')
    rng = np.random.default_rng(0)
    (folder / 'photos').mkdir()
    for index in range(2):
        noise = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / 'photos' / f'{index}.png'), cv2.resize(noise, (96, 64)))
    for name, text in (('segmentor', SEGMENTOR), ('detector', DETECTOR), ('two_stage', TWO_STAGE)):
        (folder / f'{name}.py').write_text(text)
        torch.manual_seed(0)
        model = load_model(load_config(folder / f'{name}.py'))
        torch.save({'state_dict': model.state_dict()}, folder / f'{name}.pth')
    return folder


def load_tool():
    spec = importlib.util.spec_from_file_location('export', ROOT / 'tools' / 'export.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


export = load_tool()


def run(folder, name, *arguments, out):
    given = [str(folder / f'{name}.py'), str(folder / f'{name}.pth'), '--images', str(folder / 'photos')]
    export.main([*given, '--out', str(out), *arguments])


def test_a_segmentor_is_written_with_its_description_and_report(folder, tmp_path, capsys):
    out = tmp_path / 'new' / 'model.onnx'
    run(folder, 'segmentor', '--format', 'onnx', '--size', '64x96', out=out)
    info = read_info(out)
    assert (info.input_size, info.batch_size, info.precision) == ((64, 96), 1, 'fp32')
    assert info.strides
    assert info.accuracy['verification']['passed']
    report = json.loads((out.parent / 'model.onnx.json').read_text())
    assert report['verification']['checked'] == 2 * 64 * 96
    card = (out.parent / 'model.onnx.md').read_text()
    assert card.startswith('---\nlibrary_name: skyline\n')
    assert 'pixels' in card
    assert 'model-index' not in card, 'nothing was scored'
    item = json.loads((out.parent / 'model.onnx.stac.json').read_text())
    assert {asset['href'] for asset in item['assets'].values()} == {
        './model.onnx',
        './model.onnx.json',
        './model.onnx.md',
        './model.onnx.png',
    }
    assert item['assets']['model']['file:checksum'] == '1220' + hashlib.sha256(out.read_bytes()).hexdigest()
    assert item['properties']['mlm:architecture'] == 'TimmBackbone mobilenetv3_small_050, FPNHead'
    assert cv2.imread(str(out.parent / 'model.onnx.png')) is not None
    assert not [path for path in out.parent.iterdir() if path.name.startswith('.')]
    image = np.zeros((64, 96, 3), dtype=np.uint8)
    assert open_predictor(out).predict_image(image).labels.shape == (64, 96)
    assert 'times as fast' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('suffix', 'arguments'),
    [
        ('xml', ('--size', '61x97')),
        ('onnx', ('--dynamic', '--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=(97,61)')),
    ],
)
def test_logits_that_leave_the_file_give_the_labels_of_one_that_stands_alone(folder, tmp_path, suffix, arguments):
    predicted = []
    for output in ('labels', 'logits'):
        out = tmp_path / f'{output}.{suffix}'
        format_ = 'onnx' if suffix == 'onnx' else 'openvino'
        run(folder, 'segmentor', '--format', format_, '--output', output, *arguments, out=out)
        assert read_info(out).output == output
        predictor = open_predictor(out)
        assert predictor.info.output == 'labels'
        image = np.random.default_rng(1).integers(0, 256, (61, 97, 3), dtype=np.uint8)
        predicted.append(predictor.predict_image(image).labels)
    assert predicted[0].shape == (61, 97)
    assert (predicted[0] != predicted[1]).mean() < 1e-3


def test_an_untrained_detector_is_verified_without_its_threshold(folder, tmp_path, capsys):
    out = tmp_path / 'model.onnx'
    run(folder, 'detector', '--format', 'onnx', '--size', '64x96', out=out)
    verification = read_info(out).accuracy['verification']
    assert verification['equal'] >= 50
    assert 'threshold 0' in verification['note']
    image = np.zeros((64, 96, 3), dtype=np.uint8)
    assert len(open_predictor(out).predict_image(image).scores) == 0, 'the file itself has the threshold'


def test_a_file_looks_at_no_more_proposals_than_it_is_told(folder, tmp_path):
    out = tmp_path / 'model.onnx'
    run(folder, 'two_stage', '--format', 'onnx', '--size', '64x96', '--max-proposals', '7', out=out)
    assert read_info(out).max_proposals == 7
    assert 'looks at 7 proposals' in out.with_name('model.onnx.md').read_text()
    graph = onnx.load(out).graph
    makers = {output: node for node in graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    most = [node.input[2] for node in graph.node if node.op_type == 'NonMaxSuppression']
    most = [stored[name] if name in stored else makers[name].attribute[0].t for name in most]
    assert [int(onnx.numpy_helper.to_array(one).item()) for one in most] == [7, 100]


class Deviating(nn.Module):
    """A graph that says a little less of the first class."""

    def __init__(self, graph):
        super().__init__()
        self.graph, self.output_names = graph, graph.output_names

    def forward(self, images):
        (probabilities,) = self.graph(images)
        weights = torch.ones(probabilities.shape[1])
        weights[0] = 0.5
        return (probabilities * weights.view(1, -1, 1, 1),)


def test_a_deviating_export_is_refused_and_leaves_no_file(folder, tmp_path, monkeypatch):
    honest = export_verification.build_graph
    monkeypatch.setattr(export_verification, 'build_graph', lambda model, info: Deviating(honest(model, info)))
    with pytest.raises(SystemExit, match=r'nothing was written[\s\S]*0\.png'):
        run(folder, 'segmentor', '--format', 'onnx', '--size', '64x96', out=tmp_path / 'model.onnx')
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]


def test_an_earlier_file_survives_a_refusal(folder, tmp_path, monkeypatch):
    out = tmp_path / 'model.onnx'
    out.write_text('earlier')
    honest = export_verification.build_graph
    monkeypatch.setattr(export_verification, 'build_graph', lambda model, info: Deviating(honest(model, info)))
    with pytest.raises(SystemExit):
        run(folder, 'segmentor', '--format', 'onnx', '--size', '64x96', out=out)
    assert out.read_text() == 'earlier'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--format', 'onnx', '--precision', 'bf16'], '--format openvino'),
        (['--format', 'onnx', '--precision', 'fp16'], '--format openvino'),
        (['--format', 'onnx', '--dynamic', '--size', '64x64'], 'leave out --size'),
        (['--format', 'onnx', '--size', '16x64'], 'at least 32 px'),
        (['--format', 'onnx', '--calibration', 'x'], 'int8'),
        (['--format', 'openvino'], r'end in \.xml'),
        (['--format', 'onnx', '--push-to-hub', 'bright'], 'expected hf://USER/NAME'),
        (['--format', 'onnx', '--images', 'nowhere'], 'nowhere'),
        (['--format', 'onnx', '--max-proposals', '300'], 'no proposals'),
        (['--format', 'onnx', '--precision', 'int8', '--calibration', 'nowhere'], 'nowhere'),
    ],
)
def test_what_cannot_be_exported_says_what_to_do(folder, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run(folder, 'segmentor', *arguments, out=tmp_path / 'model.onnx')


def test_absent_data_name_the_next_step(folder, tmp_path):
    given = [str(folder / 'segmentor.py'), str(folder / 'segmentor.pth'), '--format', 'onnx']
    options = ['--out', str(tmp_path / 'model.onnx'), '--cfg-options', f'data_root={tmp_path / "nowhere"}']
    with pytest.raises(SystemExit, match='--images'):
        export.main([*given, *options])
