"""What users see of errors, and what the tools accept."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import Registry
from torch.utils.data import DataLoader, Dataset

from projects import command_line
from projects.command_line import (
    ConfigOptions,
    Parser,
    UsageError,
    file_to_write,
    folder_to_write,
    image_size,
    message_to_user,
    number,
    told_in_one_line,
    whole_number,
)
from tests.processes import run_tool

ROOT = Path(__file__).parents[1]
THINGS = Registry('things')


@THINGS.register_module()
class Thing:
    """Something that a config can name."""

    def __init__(self, size=1):
        assert size > 0
        self._init_size(size)
        self.later = {}

    def _init_size(self, size):
        assert size < 9

    def use(self):
        return self.later['nothing']


def outcome(error, capsys):
    """Exit code and stderr of a tool in which an error was raised."""
    with pytest.raises(SystemExit) as stop, told_in_one_line('tool', 'stopped; it continues'):
        raise error
    if isinstance(stop.value.code, str):  # the interpreter prints it and exits with 1
        return 1, stop.value.code
    return stop.value.code, capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (ValueError('no good'), (1, 'tool: no good')),
        (FileNotFoundError(2, 'No such file or directory', 'a.txt'), (1, "tool: No such file or directory: 'a.txt'")),
        (ImportError('install it'), (1, 'tool: install it')),
        (UsageError('no such option'), (2, 'tool: no such option')),
        (MemoryError('23 GiB'), (1, 'tool: out of memory; try smaller batches or images. 23 GiB')),
        (torch.OutOfMemoryError('GPU'), (1, 'tool: out of memory; try smaller batches or images. GPU')),
        (KeyboardInterrupt(), (130, 'tool: stopped; it continues')),
    ],
)
def test_errors_of_the_user_are_one_line(error, expected, capsys):
    assert outcome(error, capsys) == expected


@pytest.mark.parametrize('error', [KeyError('a'), AttributeError('a'), TypeError('a'), RuntimeError('a'), IndexError()])
def test_faults_of_the_program_keep_their_traceback(error):
    with pytest.raises(type(error)), told_in_one_line('tool'):
        raise error


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'type': 'Thingg'}, 'Thingg is not in the'),
        ({'type': 'Thing', 'colour': 1}, "unexpected keyword argument 'colour'"),
        ({'type': 'Thing', 'size': 0}, 'Thing: assert 0 > 0'),
        ({'type': 'Thing', 'size': 9}, 'Thing: assert 9 < 9'),
    ],
)
def test_arguments_of_a_config_that_a_class_refuses_are_the_users(config, message):
    with pytest.raises((KeyError, TypeError, AssertionError)) as raised:
        THINGS.build(config)
    assert message in message_to_user(raised.value)
    assert '\n' not in message_to_user(raised.value)


def test_a_fault_in_what_a_config_built_is_the_programs():
    with pytest.raises(KeyError) as raised:
        THINGS.build({'type': 'Thing'}).use()
    assert message_to_user(raised.value) is None


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError('5 of 5 images\nare bad')


def test_errors_of_loader_processes_come_without_their_traceback():
    with pytest.raises(ValueError, match='Original Traceback') as raised:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert message_to_user(raised.value) == '5 of 5 images\nare bad'


def test_only_the_first_of_several_processes_speaks_at_once(monkeypatch, capsys):
    waited = []
    monkeypatch.setattr(command_line.time, 'sleep', waited.append)
    monkeypatch.setenv('RANK', '0')
    assert outcome(ValueError('bad'), capsys)[0] == 1
    assert waited == []
    monkeypatch.setenv('RANK', '1')
    assert outcome(UsageError('bad'), capsys)[0] == 2
    with pytest.raises(SystemExit):
        Parser().parse_args(['--nothing'])
    assert waited == [command_line.OTHER_PROCESS_WAITS_S] * 2


@pytest.mark.parametrize(
    ('read', 'text', 'value'),
    [
        (whole_number(), '1', 1),
        (whole_number(0), '0', 0),
        (number(0), '0', 0.0),
        (number(0, 1), '1e-1', 0.1),
        (number(), '-3.5', -3.5),
        (image_size, '512x1024', (512, 1024)),
    ],
)
def test_numbers_are_read(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ('read', 'text', 'message'),
    [
        (whole_number(), '0', '1 or more'),
        (whole_number(), '1.5', 'whole number'),
        (whole_number(), '-2', '1 or more'),
        (number(0), '-5', 'at least 0'),
        (number(0, 1), '2', 'at least 0 and at most 1'),
        (number(above=0), '0', 'above 0'),
        (number(0, below=90), '90', 'below 90'),
        (number(), 'nan', 'expected a number'),
        (number(), 'inf', 'expected a number'),
        (number(), 'ten', 'expected a number'),
        (image_size, '512', 'HEIGHTxWIDTH'),
        (image_size, '0x5', 'HEIGHTxWIDTH'),
    ],
)
def test_numbers_out_of_their_limits_are_refused(read, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        read(text)


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    (tmp_path / 'file').touch()
    assert folder_to_write(str(tmp_path / 'new' / 'deep')) == tmp_path / 'new' / 'deep'
    assert file_to_write(str(tmp_path / 'new' / 'a.tif')) == tmp_path / 'new' / 'a.tif'
    assert not (tmp_path / 'new').exists()
    for read, path, message in (
        (folder_to_write, 'file', 'is a file; expected a folder'),
        (folder_to_write, 'file/deep', 'cannot be made'),
        (file_to_write, '.', 'is a folder; expected a file'),
        (file_to_write, 'file/a.tif', 'is a file'),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            read(str(tmp_path / path))


@pytest.mark.parametrize('text', ['batch_size', '=3', 'a..b=3', 'a=[1,(2]', "a=[dict(type='b',c=1),2]"])
def test_options_are_assignments(text, capsys):
    parser = Parser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    given = ['a.b=1,2', 'c==d', 'e=my data/', 'f="1"', 'g=(1, [2, x])', 'h=None', "i=[{'j': True}, 'k,l']"]
    assert parser.parse_args(['--cfg-options', *given]).cfg_options == {
        'a.b': [1, 2],
        'c': '=d',
        'e': 'my data/',
        'f': 1,
        'g': (1, [2, 'x']),
        'h': None,
        'i': [{'j': True}, 'k,l'],
    }
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(['--cfg-options', text])
    assert stop.value.code == 2
    assert '--cfg-options' in capsys.readouterr().err


@pytest.mark.parametrize('tool', sorted(path.name for path in (ROOT / 'tools').glob('*.py')))
def test_every_tool_tells_errors_in_one_line(tool):
    text = (ROOT / 'tools' / tool).read_text()
    assert text.startswith('#!/usr/bin/env python\n')
    assert os.access(ROOT / 'tools' / tool, os.X_OK)
    assert f"told_in_one_line({'f' if tool == 'prepare_data.py' else ''}'" in text or 'told_in_one_line(\n' in text
    assert 'type=int' not in text.replace("'--local-rank', type=int", '')
    assert 'type=float' not in text


@pytest.mark.parametrize('tool', sorted(path.name for path in (ROOT / 'tools').glob('*.py')))
def test_help_needs_no_heavy_library(tool):
    program = """
import runpy, sys
sys.argv = [sys.argv[1], '--help']
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    heavy = {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'numpy', 'matplotlib', 'rich', 'jinja2'}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    command = [sys.executable, '-c', program, str(ROOT / 'tools' / tool)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '[]\n')
    assert done.stdout.startswith('usage: ')


def test_a_distributed_run_speaks_once(tmp_path):
    done = run_tool('train.py', 'nowhere.py', '--launcher', 'pytorch', cwd=tmp_path, processes=2)
    assert done.returncode != 0
    assert done.stderr.count('train: No config nowhere.py') == 1
