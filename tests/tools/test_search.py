"""The command line, on networks that are trained for two iterations."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from projects import sample_data
from projects.architecture_search.networks import Network
from projects.deployment.predictor import open_predictor
from projects.deployment.scoring import scores_of
from projects.sample_data import test_sets, use_sample
from projects.sample_data.samples import SAMPLES
from projects.sample_data.test_sets import use_new_test_images
from projects.training.config import load_config
from projects.training.launch import set_up
from projects.training.run_length import set_length

ROOT = Path(__file__).parents[2]
SIZE = (64, 80)
SEARCH = """
title = 'Three networks'
config = 'configs/mobilenetv3_fpn_ade20k.py'
score = 'mIoU'
four = {'model.neck.num_outs': 4, 'model.decode_head.in_index': [0, 1, 2, 3]}
space = dict(
    select=dict(
        backbone={
            'small': {'model.backbone': dict(type='EfficientViTMIT', arch='b0', pretrained=False), **four},
            'none': {'model.backbone': dict(type='MixerPyramid', arch='tiny', mixers=('softmax',) * 4), **four},
        },
        neck={'16': {'model.neck.out_channels': 16, 'model.decode_head.channels': 16}},
    ),
    image_scales=(0.5, 1.0),
    precisions=('fp32',),
)
proposals = 6
population = 3
proposal_length = 0.5
rungs = ((1.0, 1),)
hand_made = dict(
    small=dict(
        config='configs/mobilenetv3_fpn_ade20k.py',
        options={'model.backbone.arch': 'mobilenetv3_small_050', 'model.neck.out_channels': 16},
    ),
    large=dict(config='configs/resnet50_fpn_ade20k.py'),
)
del four
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tmp_path_factory.mktemp('data')


@pytest.fixture
def tool(data, impatient, monkeypatch):
    spec = importlib.util.spec_from_file_location('search_tool', ROOT / 'tools' / 'search.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def briefly(cfg):
        use_sample(cfg, data)
        set_length(cfg, 2)

    small = replace(SAMPLES['CheckedADE20KDataset'], image_size=SIZE, num_train_images=8, num_val_images=4)
    monkeypatch.setitem(SAMPLES, 'CheckedADE20KDataset', small)
    monkeypatch.setattr(sample_data, 'use_sample', briefly)
    monkeypatch.setattr(test_sets, 'use_new_test_images', lambda cfg, number: use_new_test_images(cfg, 4, root=data))
    threads = torch.get_num_threads()
    yield tool
    torch.set_num_threads(threads)


def test_a_search_ends_with_a_network_that_can_be_used(tool, tmp_path, monkeypatch, capsys):
    (tmp_path / 'three.py').write_text(SEARCH)
    folder = tmp_path / 'work'
    # of 1e4 ms for any processor; ResNet-50 has 23 million parameters
    command = [str(tmp_path / 'three.py'), '--sample', '--budget-ms', '1e4', '--max-params', '20', '--cpu-time']
    command += ['--work-dir', str(folder)]
    tool.main(command)
    assert 'report: ' in capsys.readouterr().out
    found = json.loads((folder / 'front.json').read_text())
    networks = {name: Network.from_json(content) for name, content in found['networks'].items()}
    best = networks[found['best']['network']]
    assert best.candidate.point['backbone'] == 'small'
    assert best.latency_ms > 0
    refused = [one for one in networks.values() if 'none' in one.candidate.name.split()]
    assert refused
    assert all('would hold' in one.failed and not one.scores for one in refused)  # softmax over all tokens
    made = {one.candidate.name: one for one in networks.values() if one.hand_made}
    assert made['small'].test.keys() == {0}
    assert made['large'].violated.keys() == {'params_m'}
    assert not made['large'].scores
    assert set(found['front']) <= {name for name, one in networks.items() if one.is_feasible}

    cfg = load_config(folder / 'best.py')  # as tools/test.py reads it
    set_up(cfg, tmp_path / 'test')
    score = scores_of(cfg, folder / 'best.pth')['mIoU']
    assert float(score) == found['best']['test_score'] == best.test[0]
    with torch.no_grad():
        height, width = open_predictor(folder / 'best.xml').info.input_size
    assert (height, width) == tuple(round(side * best.candidate.image_scale) for side in SIZE)
    assert f'tools/test.py {folder / "best.py"}'.split('/')[-1] in found['best']['command']

    page = (folder / 'report.html').read_text()
    assert '<script' not in page
    assert page.count('data:image/png') == 1
    assert 'above the limit' not in (folder / 'report.md').read_text()
    assert 'in stage 1 of MixerPyramid would hold' in page

    done = {path: path.stat().st_mtime_ns for path in (folder / 'trainings').glob('*/result.json')}
    shutil.rmtree(folder / 'exported')
    tool.main(command)  # nothing is trained or measured again
    assert {path: path.stat().st_mtime_ns for path in (folder / 'trainings').glob('*/result.json')} == done
    again = json.loads((folder / 'front.json').read_text())
    assert again['best']['network'] == found['best']['network']
    assert again['best']['test_score'] == found['best']['test_score']

    other = tmp_path / 'other'  # of other limits
    tool.main([*command[:-1], str(other), '--shared', str(folder), '--max-params', '19'])
    assert {path: path.stat().st_mtime_ns for path in (folder / 'trainings').glob('*/result.json')} == done
    assert json.loads((other / 'front.json').read_text())['best']['test_score'] == found['best']['test_score']
    assert not (other / 'trainings').exists()
    assert not (other / 'latency.json').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--budget-ms', '1e-6'], r'none of \d networks that were tried keeps the limits \(1e-06 ms\): the fastest is'),
        (['--budget-ms', '1e4', '--cfg-options', 'score=IoU'], "cannot be searched for IoU: .*'aAcc', 'mAcc', 'mIoU'"),
        (['--budget-ms', '1e4', '--cfg-options', 'rungs=[]'], 'rungs are'),
        (['--budget-ms', '1e4', '--threads', '2', '--cpu-time'], 'measured on one thread, not on 2'),
        (
            ['--budget-ms', '1e4', '--runtime', 'onnxruntime', '--cpu-time', '--precision', 'bf16'],
            'ONNX Runtime computes no bfloat16',
        ),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line(tool, tmp_path, capsys, options, message):
    (tmp_path / 'three.py').write_text(SEARCH + "proposals = population = 2\ndel space['select']['backbone']['none']\n")
    with pytest.raises(SystemExit) as error:
        tool.main([str(tmp_path / 'three.py'), '--sample', '--work-dir', str(tmp_path / 'work'), *options])
    told = str(error.value.code)
    assert re.search(message, told)
    assert '\n' not in told


def test_an_absent_search_file_is_told(tool, tmp_path):
    with pytest.raises(SystemExit) as error:
        tool.main([str(tmp_path / 'absent.py'), '--budget-ms', '3'])
    assert 'absent.py' in str(error.value.code)
