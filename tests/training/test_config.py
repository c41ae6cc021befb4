"""Configs and options that are misspelt, misplaced or moved."""

import pytest
from mmengine.config import Config

from projects.command_line import UsageError
from projects.sample_data import use_sample
from projects.training.config import ROOT, load_config
from projects.training.launch import set_up

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


def test_data_of_another_folder_whose_name_begins_alike_stay_where_they_are(tmp_path):
    def prepare(cfg):
        cfg.data_root = cfg.train_dataloader.dataset.data_root = str(tmp_path / 'coco')
        cfg.test_dataloader.dataset.data_root = str(tmp_path / 'coco_new')

    cfg = load_config(CONFIG, {'data_root': '/elsewhere'}, prepare)
    assert cfg.train_dataloader.dataset.data_root == '/elsewhere'
    assert cfg.test_dataloader.dataset.data_root == str(tmp_path / 'coco_new')


def test_data_root_moves_data_sets_and_evaluators_together():
    cfg = load_config(CONFIG, {'data_root': '/elsewhere'})
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == '/elsewhere'
    for split in ('val', 'test'):
        assert cfg[f'{split}_evaluator'].ann_file == '/elsewhere/annotations/instances_val2017.json'


def test_a_misspelt_config_is_answered_with_similar_ones():
    with pytest.raises(UsageError, match=r'shvit_maskrcnn_coco\.py'):
        load_config('configs/shvit_maskrcn_coco.py')


def test_a_misspelt_key_of_a_config_is_refused(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text(f"_base_ = '{ROOT / CONFIG}'\ntrian_cfg = dict(max_epochs=1)\n")
    with pytest.raises(ValueError, match="unknown key 'trian_cfg'; did you mean 'train_cfg'"):
        load_config(path)


def test_a_file_without_a_model_is_no_config_of_a_run():
    for path in ('configs/buildings/grid.py', 'configs/_base_/default_runtime.py'):
        with pytest.raises(UsageError, match=f'{path} describes no model'):
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
    with pytest.raises(UsageError, match=f'--cfg-options {option}.*{suggestion}'):
        load_config(CONFIG, {option: 1})


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('model.backbone', 's1'),
        ('model', 3),
        ('param_scheduler', 'cosine'),
        ('train_cfg.max_epochs', 'twelve'),
        ('optim_wrapper.optimizer.lr', 'high'),
    ],
)
def test_options_of_another_kind_are_refused(option, value):
    with pytest.raises(UsageError, match=f'--cfg-options {option}={value}: (it is a group|expected a number)'):
        load_config(CONFIG, {option: value})


def test_paths_are_text_whatever_they_look_like():
    cfg = load_config(CONFIG, {'data_root': 2024, 'work_dir': 7})
    assert cfg.train_dataloader.dataset.data_root.endswith('2024')
    assert cfg.val_evaluator.ann_file.endswith('2024/annotations/instances_val2017.json')
    assert cfg.work_dir == '7'
    for value in (['a', 'b'], None):
        with pytest.raises(UsageError, match=r'--cfg-options data_root=.*expected one path'):
            load_config(CONFIG, {'data_root': value})


def test_files_of_other_kinds_are_no_configs(tmp_path):
    (tmp_path / 'a.txt').touch()
    with pytest.raises(UsageError, match=r'a\.txt is no config'):
        load_config(tmp_path / 'a.txt')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'SyntaxError'),
        ('lr = 1 / 0', 'ZeroDivisionError'),
        ('x = {{_base_.nothing}}', 'nothing'),
    ],
)
def test_the_code_of_a_config_may_fail(tmp_path, text, message):
    path = tmp_path / 'a.py'
    path.write_text(f"_base_ = '{ROOT / CONFIG}'\n{text}\n")
    with pytest.raises(ValueError, match=f'a.py cannot be read as a config: .*{message}'):
        load_config(path)


@pytest.mark.parametrize(
    'option',
    [
        'model.backbone.with_cp',
        'optim_wrapper.clip_grad.max_norm',
        'experiment_name',
        'param_scheduler.1.gamma',
        'sync_bn',
    ],
)
def test_options_that_mmengine_understands_are_merged(option):
    cfg = load_config(CONFIG, {option: 1})
    node = cfg
    for key in option.split('.'):
        node = node[int(key)] if isinstance(node, list) else node[key]
    assert node == 1


def test_lists_become_tuples_where_the_config_has_them():
    cfg = load_config(
        'configs/buildings/efficientnet_lite0_unet_drone.py',
        {
            'train_dataloader.dataset.pipeline.3.crop_size': [64, 32],
            'optim_wrapper.optimizer.betas': [0.9, 0.99],
            'train_dataloader.dataset.pipeline.4.direction': ['horizontal'],
        },
    )
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (64, 32)
    assert cfg.train_dataloader.dataset.pipeline[4].direction == ['horizontal']
    several = load_config(CONFIG, {'train_dataloader.dataset.pipeline.2.scale': [[640, 320], [320, 320]]})
    assert several.train_dataloader.dataset.pipeline[2].scale == [[640, 320], [320, 320]]


def test_validation_can_be_switched_off():
    cfg = load_config(CONFIG, {'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None})
    assert cfg.val_dataloader is None


def test_the_sample_has_a_work_dir_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(CONFIG, prepare=lambda cfg: use_sample(cfg, tmp_path))
    set_up(cfg, None)
    assert cfg.work_dir == str(tmp_path / 'work_dirs' / 'shvit_maskrcnn_coco_sample')


@pytest.mark.parametrize('path', ['configs/shvit_maskrcnn_coco.py', 'configs/efficientvit_mit_l1_seg_ade20k.py'])
def test_the_config_that_a_run_writes_is_the_config_of_the_run(path, tmp_path):
    cfg = load_config(path)
    cfg.dump(tmp_path / 'dumped.py')
    dumped = Config.fromfile(tmp_path / 'dumped.py')
    assert dumped.to_dict() == cfg.to_dict()
    assert max(map(len, cfg.pretty_text.splitlines())) < 200
