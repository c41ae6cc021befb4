"""`tools/test.py` with a runtime on two processes: scores and label maps are those of mmengine's own loop on one."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from projects.deployment.scoring import scores_of
from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.launch import set_up
from tests.processes import run_tool

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/shvit_fpn_cityscapes.py'
NUM_IMAGES = 3  # so that one process has one more than the other


def write_checkpoint(path):
    """A network that labels pixels at random."""
    cfg = load_config(CONFIG, {'model.backbone.pretrained': False})
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        torch.manual_seed(0)
        network = MODELS.build(cfg.model)
    torch.nn.init.normal_(network.decode_head.conv_seg.weight, std=1)
    torch.save(network.state_dict(), path)


def test_two_processes_in_a_runtime_score_as_one_of_mmengine(tmp_path):
    write_checkpoint(tmp_path / 'epoch_1.pth')
    cfg = load_config(CONFIG, {'test_dataloader.dataset.indices': NUM_IMAGES}, use_sample)
    cfg.test_evaluator.output_dir = str(tmp_path / 'expected')
    set_up(cfg, tmp_path / 'work')
    expected = scores_of(cfg, tmp_path / 'epoch_1.pth')
    process = run_tool(
        *('test.py', CONFIG, 'epoch_1.pth', '--sample', '--launcher', 'pytorch'),
        *('--runtime', 'eager', '--threads', '1', '--out', 'found'),
        *('--cfg-options', f'test_dataloader.dataset.indices={NUM_IMAGES}'),
        cwd=tmp_path,
        processes=2,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    found = re.findall(r'(aAcc|mIoU|mAcc): (\S+)', process.stdout + process.stderr)
    assert dict(found) != {}
    for name, value in found:
        assert expected[name] > 0
        assert float(value) == pytest.approx(expected[name], abs=0.02)
    maps = sorted((tmp_path / 'expected').iterdir())
    assert len(maps) == NUM_IMAGES
    assert sorted(path.name for path in (tmp_path / 'found').iterdir()) == [path.name for path in maps]
    for path in maps:
        label_map = np.asarray(Image.open(tmp_path / 'found' / path.name))
        assert (label_map == np.asarray(Image.open(path))).mean() > 0.999
