import pytest
from mmengine.config import Config

from projects.training.config import load_config
from projects.training.run_length import length_of, set_length


def test_a_schedule_keeps_its_shape():
    cfg = load_config('configs/shvit_fpn_ade20k.py')
    assert length_of(cfg) == 40000
    set_length(cfg, 400)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (400,) * 3
    warm_up, fall = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end) == (0, 10)
    assert (fall.begin, fall.end, fall.T_max) == (10, 400, 390)


def test_checkpoints_of_a_shorter_training_are_as_frequent_as_before():
    cfg = load_config('configs/shvit_fpn_ade20k.py')
    interval = cfg.default_hooks.checkpoint.interval
    set_length(cfg, 3 * interval)
    assert (cfg.default_hooks.checkpoint.interval, cfg.default_hooks.checkpoint.max_keep_ckpts) == (interval, 1)
    assert cfg.train_cfg.val_interval == 3 * interval


def test_epochs_and_milestones():
    cfg = load_config('configs/shvit_maskrcnn_coco.py')
    set_length(cfg, 24)
    assert (cfg.train_cfg.max_epochs, length_of(cfg)) == (24, 24)
    assert cfg.param_scheduler[1].milestones == [16, 22]
    assert cfg.param_scheduler[0].end == 1000  # of iterations


def test_no_part_of_a_schedule_vanishes():
    cfg = load_config('configs/shvit_fpn_ade20k.py')
    set_length(cfg, 2)
    assert (cfg.param_scheduler[0].begin, cfg.param_scheduler[0].end) == (0, 1)


def test_lengths_below_one_are_refused():
    with pytest.raises(ValueError, match='length of 1 or more, got 0'):
        set_length(Config({'train_cfg': {'max_iters': 10}}), 0)
