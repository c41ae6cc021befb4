"""What a run does around its training: what its description says, which checkpoint counts."""

import inspect
import json
import os

import pytest
import torch

from projects.training.experiments.runs import Run, chosen_checkpoint, load_run

CONFIG = """
model = dict(type='Sequential', backbone=dict(depth=18))
custom_hooks = [dict(type='Curves'), dict(type='EMAHook')]
"""


def double_depth(cfg):
    cfg.model.backbone.depth *= 2


def write_run(folder, **content):
    folder.mkdir(exist_ok=True)
    config = folder.parent / 'config.py'
    config.write_text(CONFIG)
    (folder / 'run.json').write_text(json.dumps(content | {'config': str(config)}))


def test_a_description_reads_back_as_it_was_written():
    run = Run(
        'a', 'c.py', {'lr': 1}, {'seed': 0}, 'b', {'load_from': 'checkpoint'}, 'm:f', {'f1': 'building/f1'}, ['x']
    )
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_a_config_is_adapted_once_it_has_its_options_and_keeps_its_own_hooks(tmp_path, monkeypatch):
    (tmp_path / 'adapting.py').write_text(inspect.getsource(double_depth))
    monkeypatch.syspath_prepend(tmp_path)
    options = {'model.backbone.depth': 25}
    write_run(tmp_path / 'a', name='a', options=options, about={}, adapt='adapting:double_depth')
    _, cfg = load_run(tmp_path / 'a')
    assert cfg.model.backbone.depth == 50
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook']  # curves are drawn of all runs, by who planned them


def test_a_description_of_an_earlier_version_is_read(tmp_path):
    earlier = {'needs': None, 'from_needed': {}, 'match_head': False, 'panel_tiles': ['x'], 'data_digest': None}
    write_run(tmp_path / 'a', name='a', options={}, about={'seed': 3}, **earlier)
    run, _ = load_run(tmp_path / 'a')
    assert (run.about, run.kept, run.curves) == ({'seed': 3}, {}, {})


def write_checkpoint(path, seconds):
    torch.save({'state_dict': {}}, path)
    os.utime(path, (seconds, seconds))


def test_the_best_checkpoint_counts_if_the_run_says_by_which_score_else_the_last(tmp_path):
    write_run(tmp_path / 'a', name='a', options={}, about={}, best='building/f1')
    write_run(tmp_path / 'b', name='b', options={}, about={})
    for name in ('a', 'b'):
        with pytest.raises(FileNotFoundError, match='has no checkpoint'):
            chosen_checkpoint(tmp_path / name)
        write_checkpoint(tmp_path / name / 'iter_30.pth', 3)
        assert chosen_checkpoint(tmp_path / name).name == 'iter_30.pth'  # no validation had a score
        write_checkpoint(tmp_path / name / 'best_building_f1_iter_10.pth', 1)
        write_checkpoint(tmp_path / name / 'best_building_f1_iter_20.pth', 2)
    assert chosen_checkpoint(tmp_path / 'a').name == 'best_building_f1_iter_20.pth'
    assert chosen_checkpoint(tmp_path / 'b').name == 'iter_30.pth'


def test_a_run_that_needs_another_begins_from_the_checkpoint_that_counts(tmp_path):
    write_run(tmp_path / 'teacher', name='teacher', options={}, about={}, best='building/f1')
    write_run(tmp_path / 'sda', name='sda', options={}, about={}, needs='teacher',
              from_needed={'load_from': 'checkpoint'})  # fmt: skip
    write_checkpoint(tmp_path / 'teacher' / 'iter_30.pth', 2)
    write_checkpoint(tmp_path / 'teacher' / 'best_building_f1_iter_20.pth', 1)
    assert load_run(tmp_path / 'sda')[1].load_from.endswith('best_building_f1_iter_20.pth')
