"""`tools/test.py` scores a detector of roofs and offsets: every label counts, files and pictures are written."""

import json

import torch
from mmengine.registry import MODELS, init_default_scope

from projects.sample_data.buildings import write_scenes_sample
from projects.training.config import load_config
from tests.processes import run_tool

CONFIG = 'configs/buildings/shvit_roofoffsets_scenes.py'
NARROW = {'model.backbone.arch': 's1', 'model.backbone.pretrained': False}


def test_a_checkpoint_is_scored(tmp_path):
    root = write_scenes_sample(tmp_path / 'roofs', {'test': 2}, 96, off_nadir=True)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    torch.save(MODELS.build(load_config(CONFIG, NARROW).model).state_dict(), tmp_path / 'epoch_1.pth')
    options = {**NARROW, 'data_root': root, 'test_dataloader.num_workers': 0, 'model.test_cfg.rcnn.score_thr': 0.0}
    options |= {'test_dataloader.persistent_workers': False, 'model.test_cfg.rcnn.max_per_img': 3}
    process = run_tool(
        *('test.py', CONFIG, 'epoch_1.pth', '--out', 'found', '--show-dir', 'pictures', '--json', '--cfg-options'),
        *(f'{name}={value}' for name, value in options.items()),
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    scores = json.loads(process.stdout)['results']['scores']
    annotations = json.loads((root / 'test/instances.json').read_text())['annotations']
    assert scores['roofs/matched'] + scores['roofs/unmatched'] == len(annotations) > 4
    assert scores['roofs/located_recall'] == scores['roofs/zero/located_recall'] == 0
    detections = json.loads((tmp_path / 'found.segm.json').read_text())
    assert len(detections) == 6
    assert (tmp_path / 'found.roofs.json').is_file()
    assert len(list((tmp_path / 'pictures').iterdir())) == 2
