"""Processes of runs: forked with the libraries, out of Ctrl-C's reach, ended with whoever started them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A run that says what its process is like, and then waits as a long one does
RUN = """
import json, os, sys, threading, time
STARTED = time.monotonic()

def run_in(folder):
    import torch
    print('it runs')
    about = {
        'threads': torch.get_num_threads(), 'mark': os.environ.get('MARK'), 'session': os.getsid(0), 'pid': os.getpid(),
        'imported': 'slow_library' in sys.modules and sys.modules['slow_library'].PID,
    }
    (folder / 'about.json').write_text(json.dumps(about))
    try:
        while (folder / 'wait').exists():
            time.sleep(0.05)
    except KeyboardInterrupt:
        (folder / 'interrupted').touch()
        raise SystemExit(130)
    raise SystemExit(int((folder / 'code').read_text()))
"""
# Starts that run and waits for it
PARENT = """
import sys, pathlib, os
sys.path[:0] = [{root!r}]
from projects.training.experiments import workers
if __name__ == '__main__':
    folder = pathlib.Path(sys.argv[1])
    environment = dict(os.environ) | {{'OMP_NUM_THREADS': '1', 'MARK': 'own'}}
    process = workers.start(folder, environment, ['slow_library', 'absent_library'], fork=sys.argv[2] == 'fork')
    (folder / 'started').touch()
    process.join()
    print('exit code', process.exitcode, os.environ.get('MARK'))
"""


@pytest.fixture
def parent(tmp_path):
    """A package in the place of ours, so that a run is quickly begun; starts a process that starts a run."""
    package = tmp_path / 'code' / 'projects' / 'training' / 'experiments'
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / '__init__.py').touch()
    for name in ('workers.py', 'preloaded.py'):
        (package / name).write_text((ROOT / 'projects' / 'training' / 'experiments' / name).read_text())
    (package / 'runs.py').write_text(RUN)
    (tmp_path / 'code' / 'slow_library.py').write_text('import os\nPID = os.getpid()\n')
    (tmp_path / 'code' / 'torch.py').write_text(
        'count = []\nset_num_threads = count.append\nget_num_threads = lambda: count[-1]\n'
    )
    (tmp_path / 'parent.py').write_text(PARENT.format(root=str(tmp_path / 'code')))
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'code').write_text('0')
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    started = []

    def start(how='fork', waits=False):
        if waits:
            (folder / 'wait').touch()
        command = [sys.executable, str(tmp_path / 'parent.py'), str(folder), how]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd='/')
        started.append(process)
        return process, folder

    yield start
    for process in started:
        process.kill()


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f'no {path}'
        time.sleep(0.02)


@pytest.mark.parametrize('how', ['fork', 'spawn'])
def test_a_run_has_its_environment_a_session_of_its_own_and_its_output_in_a_file(parent, how):
    process, folder = parent(how)
    output = process.communicate(timeout=60)[0]
    assert output == 'exit code 0 None\n'
    about = json.loads((folder / 'about.json').read_text())
    assert (about['threads'], about['mark']) == (1, 'own')
    assert about['session'] == about['pid']
    assert (folder / 'console.log').read_text() == 'it runs\n'


def test_the_server_imports_once_what_it_finds_where_its_parent_does(parent):
    process, folder = parent('fork')
    process.communicate(timeout=60)
    imported = json.loads((folder / 'about.json').read_text())['imported']
    assert imported  # by the server, although the folder of the library is in its parent's path alone
    assert imported != json.loads((folder / 'about.json').read_text())['pid']


def test_an_exit_code_comes_back(parent):
    process, folder = parent()
    (folder / 'code').write_text('7')
    assert process.communicate(timeout=60)[0] == 'exit code 7 None\n'


@pytest.mark.parametrize(
    ('how', 'number'), [('fork', signal.SIGKILL), ('fork', signal.SIGTERM), ('spawn', signal.SIGKILL)]
)
def test_a_run_is_interrupted_when_its_parent_ends_whatever_ends_it(parent, how, number):
    process, folder = parent(how, waits=True)
    wait_for(folder / 'about.json')
    process.send_signal(number)
    wait_for(folder / 'interrupted')


def test_a_killed_run_has_the_signal_as_its_exit_code(parent):
    process, folder = parent(waits=True)
    wait_for(folder / 'about.json')
    time.sleep(0.1)
    os.kill(json.loads((folder / 'about.json').read_text())['pid'], signal.SIGKILL)
    assert process.communicate(timeout=60)[0] == 'exit code -9 None\n'
