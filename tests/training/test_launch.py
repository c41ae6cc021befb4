"""Work dirs, precision and checkpoints' room."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from projects.command_line import UsageError
from projects.training.config import load_config
from projects.training.launch import _check_data, _check_room, check_writable, set_up

CONFIG = 'configs/shvit_maskrcnn_coco.py'


def test_amp(tmp_path):
    cfg = load_config(CONFIG)
    set_up(cfg, tmp_path, amp='bf16')
    assert cfg.optim_wrapper.type == 'BFloat16OptimWrapper'


def test_fp16_needs_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(ValueError, match='--amp bf16'):
        set_up(load_config(CONFIG), tmp_path, amp='fp16')


def test_several_processes_need_torchrun(tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UsageError, match='torchrun --nproc-per-node'):
        set_up(load_config(CONFIG), tmp_path, launcher='pytorch')


def test_an_unwritable_work_dir_is_refused_at_once(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'Cannot write to the work dir .*--work-dir FOLDER'):
        check_writable(tmp_path / 'file' / 'work')
    with pytest.raises(OSError, match='Cannot write to the work dir'):
        check_writable(Path('/proc/work'))


def test_detections_are_scored_by_the_annotations_of_their_images(tmp_path):
    for name in ('instances_val2017.json', 'mine.json'):
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        (tmp_path / 'annotations' / name).touch()
    mine = str(tmp_path / 'annotations/mine.json')
    options = {'data_root': str(tmp_path), 'val_evaluator.ann_file': mine}
    with pytest.raises(UsageError, match=r'images of .*val2017\.json, val_evaluator the objects of .*mine\.json'):
        _check_data(load_config(CONFIG, options), 'val')
    _check_data(load_config(CONFIG, options | {'val_dataloader.dataset.ann_file': mine}), 'val', 'test')
    _check_data(load_config(CONFIG, {'data_root': f'{tmp_path}/'}), 'val')


def test_a_disk_without_room_for_checkpoints_is_refused_at_once(tmp_path, monkeypatch):
    network = torch.nn.Linear(1000, 1000)  # 4 MB; a checkpoint with AdamW's moments is three times that, two are needed
    runner = SimpleNamespace(model=network)
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=20 * 2**20))
    with pytest.raises(OSError, match='has 20 MiB free; two checkpoints of this model need 23 MiB'):
        _check_room(runner, Config({'work_dir': str(tmp_path)}))
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=2 * 12_012_000))
    _check_room(runner, Config({'work_dir': str(tmp_path)}))
