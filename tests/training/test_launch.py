"""Configs and options that are misspelt, misplaced or moved."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from projects.sample_data import use_sample
from projects.training.launch import ROOT, _check_room, check_writable, load_config, set_up

CONFIG = 'configs/shvit_maskrcnn_coco.py'


def test_configs_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(CONFIG)
    root = ROOT / 'data' / 'coco'
    assert cfg.train_dataloader.dataset.data_root == str(root)
    assert cfg.val_evaluator.ann_file == str(root / 'annotations' / 'instances_val2017.json')


def test_the_current_folder_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data' / 'coco').mkdir(parents=True)
    assert load_config(CONFIG).train_dataloader.dataset.data_root == 'data/coco'


def test_data_root_moves_data_sets_and_evaluators_together():
    cfg = load_config(CONFIG, {'data_root': '/elsewhere'})
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == '/elsewhere'
    for split in ('val', 'test'):
        assert cfg[f'{split}_evaluator'].ann_file == '/elsewhere/annotations/instances_val2017.json'


def test_a_misspelt_config_is_answered_with_similar_ones():
    with pytest.raises(FileNotFoundError, match=r'shvit_maskrcnn_coco\.py'):
        load_config('configs/shvit_maskrcn_coco.py')


def test_a_misspelt_key_of_a_config_is_refused(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text(f"_base_ = '{ROOT / CONFIG}'\ntrian_cfg = dict(max_epochs=1)\n")
    with pytest.raises(ValueError, match="unknown key 'trian_cfg'; did you mean 'train_cfg'"):
        load_config(path)


def test_own_variables_in_a_config_are_allowed(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text(f"_base_ = '{ROOT / CONFIG}'\nmy_number_of_epochs = 3\n")
    assert load_config(path).my_number_of_epochs == 3


@pytest.mark.parametrize(
    ('option', 'suggestion'),
    [
        ('model.bakbone.arch', 'backbone'),
        ('model.test_cfg.rcnn.score_thrr', 'score_thr'),
        ('optim_wrapper.optimizer.l_r', 'lr'),
        ('trian_cfg.max_epochs', 'train_cfg'),
        ('param_scheduler.7.gamma', ''),
        ('train_pipeline.2.scale', 'train_dataloader.dataset.pipeline'),
        ('train_dataloader.dataset.pipeline.0.typ', 'type'),
    ],
)
def test_misspelt_options_are_refused(option, suggestion):
    with pytest.raises(ValueError, match=f'--cfg-options {option}.*{suggestion}'):
        load_config(CONFIG, {option: 1})


@pytest.mark.parametrize(
    'option',
    ['model.backbone.with_cp', 'optim_wrapper.clip_grad.max_norm', 'work_dir', 'param_scheduler.1.gamma', 'sync_bn'],
)
def test_options_that_mmengine_understands_are_merged(option):
    cfg = load_config(CONFIG, {option: 1})
    node = cfg
    for key in option.split('.'):
        node = node[int(key)] if isinstance(node, list) else node[key]
    assert node == 1


def test_validation_can_be_switched_off():
    cfg = load_config(CONFIG, {'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None})
    assert cfg.val_dataloader is None


def test_the_sample_has_a_work_dir_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(CONFIG, prepare=lambda cfg: use_sample(cfg, tmp_path))
    set_up(cfg, None)
    assert cfg.work_dir == str(tmp_path / 'work_dirs' / 'shvit_maskrcnn_coco_sample')


def test_amp(tmp_path):
    cfg = load_config(CONFIG)
    set_up(cfg, tmp_path, amp='bf16')
    assert cfg.optim_wrapper.type == 'BFloat16OptimWrapper'


def test_fp16_needs_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(ValueError, match='--amp bf16'):
        set_up(load_config(CONFIG), tmp_path, amp='fp16')


def test_an_unwritable_work_dir_is_refused_at_once(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'Cannot write to the work dir .*--work-dir FOLDER'):
        check_writable(tmp_path / 'file' / 'work')
    with pytest.raises(OSError, match='Cannot write to the work dir'):
        check_writable(Path('/proc/work'))


def test_a_disk_without_room_for_checkpoints_is_refused_at_once(tmp_path, monkeypatch):
    network = torch.nn.Linear(1000, 1000)  # 4 MB; a checkpoint with AdamW's moments is three times that, two are needed
    runner = SimpleNamespace(model=network)
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=20 * 2**20))
    with pytest.raises(OSError, match='has 20 MiB free; two checkpoints of this model need 23 MiB'):
        _check_room(runner, Config({'work_dir': str(tmp_path)}))
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=2 * 12_012_000))
    _check_room(runner, Config({'work_dir': str(tmp_path)}))
