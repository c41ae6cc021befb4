"""Configs that cannot be trained are refused before anything is built."""

import math

import pytest
from mmengine.config import Config

from projects.command_line import UsageError
from projects.sample_data import use_sample
from projects.training.config import ROOT, load_config
from projects.training.launch import test as score_checkpoint
from projects.training.launch import train
from projects.training.run_values import check_values

VALUES = {
    'train_cfg.max_epochs': -1,
    'train_cfg.max_iters': 0,
    'train_cfg.val_interval': 0,
    'train_dataloader.batch_size': 0,
    'val_dataloader.batch_size': 1.5,
    'optim_wrapper.accumulative_counts': 0,
    'optim_wrapper.optimizer.lr': math.nan,
    'optim_wrapper.optimizer.weight_decay': -0.1,
    'optim_wrapper.paramwise_cfg.custom_keys': {'backbone': {'lr_mult': math.nan}},
    'param_scheduler': [{'type': 'LinearLR', 'start_factor': math.nan}],
    'load_from': ['a.pth', 'b.pth'],
}


def config():
    return Config(
        {
            'train_cfg': {'max_epochs': 12, 'val_interval': 1},
            'train_dataloader': {'batch_size': 2},
            'val_dataloader': {'batch_size': 1},
            'test_dataloader': None,
            'optim_wrapper': {'optimizer': {'lr': 1e-3, 'weight_decay': 0}, 'clip_grad': {'max_norm': math.inf}},
            'param_scheduler': [{'type': 'LinearLR', 'start_factor': 0.001, 'begin': -1}],
            'load_from': None,
        }
    )


def test_usual_values_pass():
    check_values(config())
    check_values(Config({'optim_wrapper': None, 'load_from': 'a.pth'}))


@pytest.mark.parametrize('key', VALUES)
def test_a_value_with_which_nothing_is_trained_is_named(key):
    cfg = config()
    cfg.merge_from_dict({key: VALUES[key]})
    with pytest.raises(UsageError, match=rf'{key}.*: expected'):
        check_values(cfg)


def test_a_part_of_other_configs_is_said_to_be_one_with_those_it_belongs_to():
    path = ROOT / 'configs/_base_/models/retinanet_fpn.py'
    with pytest.raises(
        UsageError, match=r'retinanet_fpn\.py has no train_dataloader, .*part of other configs, such as'
    ):
        train(load_config(path))
    with pytest.raises(UsageError, match=r'has no train_dataloader, .*a part of other configs'):
        load_config(path, prepare=use_sample)
    with pytest.raises(UsageError, match=r'has no test_dataloader, .*a part of other configs'):
        score_checkpoint(load_config(path), 'a.pth', augment=False)
    with pytest.raises(UsageError, match=r'describes no model: it is a part of other configs, such as .*_ade20k\.py'):
        load_config(ROOT / 'configs/_base_/datasets/ade20k.py')
