"""What a run does around its training: the end of its parent, what its description says."""

import inspect
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from projects.training.experiments.runs import Run, end_with_parent, load_run


def wait(stdin, waits):
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with_parent, daemon=True).start()
    waits.touch()
    try:
        time.sleep(2)
    except KeyboardInterrupt:
        sys.exit(130)


@pytest.mark.parametrize(('is_pipe', 'code'), [(True, 130), (False, 0)])
def test_a_run_is_interrupted_when_the_pipe_from_its_parent_closes_and_by_no_other_input(
    is_pipe, code, tmp_path, clean_processes
):
    stdin = tmp_path / 'pipe' if is_pipe else Path(os.devnull)
    if is_pipe:
        os.mkfifo(stdin)
    process = clean_processes.Process(target=wait, args=(stdin, tmp_path / 'waits'))
    process.start()
    end = os.open(stdin, os.O_WRONLY)  # once the process has opened its own
    while not (tmp_path / 'waits').exists():
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.is_alive()
    os.close(end)
    process.join(20)
    assert process.exitcode == code


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
