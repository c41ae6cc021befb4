"""What programs see of every tool: one JSON object on stdout, and nothing else there."""

import json
import math
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.command_line import Parser, UsageError, told_in_one_line
from projects.outcomes import json_values

from .processes import run_tool

ROOT = Path(__file__).parents[1]
TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
NOWHERE = {  # commands that are right, but for files that do not exist
    'align_labels': '--image nowhere.tif --labels nowhere.gpkg --out a.gpkg',
    'appearance_gap': 'nowhere elsewhere',
    'benchmark': 'nowhere.onnx --size 64x64 --rounds 1',
    'benchmark_grid': 'nowhere.py',
    'compare_mixers': '--learn ade20k --mixers softmax --learn-mixers window',
    'export': 'nowhere.py nowhere.pth --format onnx',
    'measure_misalignment': 'nowhere.gpkg --reference nowhere.gpkg --out a',
    'model_table': 'nowhere.py',
    'predict': 'nowhere.onnx nowhere.tif --out a',
    'prepare_data': 'geotiles --tiles nowhere --labels nowhere.geojson --out a',
    'quantization_study': 'nowhere.py',
    'score_polygons': 'nowhere.gpkg nowhere.gpkg --out a',
    'search': 'nowhere.py --budget-ms 5',
    'test': 'nowhere.py nowhere.pth',
    'train': 'nowhere.py',
    'transfer_study': 'nowhere.py',
    'vectorize': 'nowhere.tif a.gpkg',
}


def only_object(stdout):
    assert stdout.count('\n') == 1, stdout
    told = json.loads(stdout)
    assert set(told) - {'error'} == {'command', 'exit_code', 'seconds', 'results', 'paths'}
    assert ('error' in told) == (told['exit_code'] != 0)
    return told


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_tells_programs_what_is_wrong(tool, tmp_path):
    done = run_tool(f'{tool}.py', *NOWHERE[tool].split(), '--json', cwd=tmp_path)
    told = only_object(done.stdout)
    assert told['command'].split()[0] == tool
    assert told['exit_code'] == done.returncode
    assert done.returncode in (1, 2)
    assert told['error']
    assert told['error'] in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_tells_programs_that_it_was_called_wrongly(tool):
    command = [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), '--json', '--no-such-option']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = only_object(done.stdout)
    assert (told['command'].split()[0], told['exit_code'], done.returncode) == (tool, 2, 2)
    assert told['error'] in done.stderr


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_tells_programs_its_results(tool):
    text = (ROOT / 'tools' / f'{tool}.py').read_text()
    assert 'outcome.wrote(' in text
    after = text[text.index(') as outcome:') :].split('\n\n\n')[0].splitlines()[1:]
    assert not [line for line in after if line and not line.startswith('        ')], 'something is printed too late'


def test_results_and_paths_of_a_tool(tmp_path):
    done = run_tool('model_table.py', ROOT / 'configs/shvit_fpn_ade20k.py', '--json', cwd=tmp_path)
    told = only_object(done.stdout)
    assert (told['exit_code'], told['paths'], told['results']['configs']) == (0, [], 1)
    assert told['seconds'] > 0
    assert '| ' in done.stderr  # the table that people read


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr(Parser, 'wants_json', True)


def told_of(capfd, error=None):
    with pytest.raises(type(error)) if error else nullcontext(), told_in_one_line('tool') as outcome:
        print('for people')
        subprocess.run(['echo', 'of a child'], check=True)
        outcome.wrote('a.tif', None, Path('b'), scores={'iou': np.float32(0.5), 'nan': math.nan})
        if error:
            raise error
    out, err = capfd.readouterr()
    assert 'for people' in err
    assert 'of a child' in err
    return only_object(out)


def test_everything_else_goes_to_stderr(asked, capfd):
    told = told_of(capfd)
    assert told.pop('seconds') < 60
    results = {'scores': {'iou': 0.5, 'nan': None}}
    assert told == {'command': 'tool', 'exit_code': 0, 'results': results, 'paths': ['a.tif', 'b']}
    print('again')
    assert capfd.readouterr().out == 'again\n'


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (SystemExit('tool: two of them failed'), 1, 'two of them failed'),
        (SystemExit(1), 1, 'see results'),
        (RuntimeError('a fault'), 1, 'RuntimeError: a fault'),
    ],
)
def test_what_fails_is_told_with_what_there_is(asked, capfd, error, code, message):
    told = told_of(capfd, error)
    assert (told['exit_code'], told['error'], told['paths']) == (code, message, ['a.tif', 'b'])


@pytest.mark.parametrize(('error', 'code'), [(UsageError('no'), 2), (ValueError('no'), 1), (KeyboardInterrupt(), 130)])
def test_exit_codes_are_told(asked, capfd, error, code):
    with pytest.raises(SystemExit), told_in_one_line('tool', 'stopped'):
        raise error
    told = only_object(capfd.readouterr().out)
    assert (told['exit_code'], told['error']) == (code, 'stopped' if code == 130 else 'no')


def test_of_several_processes_the_first_one_speaks(asked, capfd, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    with told_in_one_line('tool'):
        print('for people')
    assert capfd.readouterr().out == ''


@dataclass
class Thing:
    size: tuple[int, int]
    where: Path


def test_values_become_those_of_json():
    value = {1: Thing((2, 3), Path('a')), 'array': np.arange(2), 'tensor': torch.ones(1), 'set': {4}, 'type': int}
    assert json_values(value) == {
        '1': {'size': [2, 3], 'where': 'a'},
        'array': [0, 1],
        'tensor': [1.0],
        'set': [4],
        'type': "<class 'int'>",
    }
    assert json_values([np.float64('inf'), True, None, 'a']) == [None, True, None, 'a']
