"""Runs in processes: order, resuming, failures. A small function stands in for trainings."""

import json
import os
import pathlib
import signal
import sys
import threading
import time
from dataclasses import replace
from itertools import accumulate

import pytest

from projects.training.experiments import schedule
from projects.training.experiments.runs import Run
from tests.processes import call_in_clean_processes, clean_processes

LIMIT_S = 300  # a busy machine is slow; nothing waits so long that works
EVENTS = 'events.txt'


def work(folder):
    """Writes that it began and ended, waits for another run to begin, and fails, if its options say so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background processes ignore
    with (folder / 'console.log').open('a') as console:
        os.dup2(console.fileno(), 1)
    spec = json.loads((folder / 'run.json').read_text())
    note(folder, 'begins')
    with (folder / 'attempts.txt').open('a') as file:
        file.write('x')
    if spec['needs']:
        assert (folder.parent / spec['needs'] / 'result.json').is_file()
    if other := spec['options'].get('until'):
        end = time.monotonic() + LIMIT_S
        while not (folder.parent / other / 'attempts.txt').exists():
            assert time.monotonic() < end, f'{other} does not begin'
            time.sleep(0.01)
    time.sleep(spec['options'].get('seconds', 0))
    if spec['options'].get('fails') and not (folder.parent / 'mended').exists():
        print('what went wrong', flush=True)
        sys.exit(3)
    note(folder, 'ends')
    (folder / 'result.json').write_text('{}')


def note(folder, event):
    """Append a line to the events of all runs, in the order in which they happen."""
    with (folder.parent / EVENTS).open('a') as file:
        file.write(f'{folder.name} {event}\n')


def killed(folder):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def start_as(monkeypatch):
    """Lets every run be the process of a function; returns all that were started."""
    started = []

    def let(function):
        def start(*given, **more):
            started.append(begin(*given, **more, function=function))
            return started[-1]

        monkeypatch.setattr(schedule, 'start', start)
        return started

    monkeypatch.setattr(schedule, 'POLL_S', 0.01)
    let(work)
    return let


def run(name, needs=None, **options):
    return Run(name, 'config.py', options, {'method': name}, needs)


def attempts(folder, name):
    return len((folder / name / 'attempts.txt').read_text())


def test_a_run_waits_for_the_one_it_needs_while_others_go_on(tmp_path):
    runs = [run('teacher', until='student'), run('sda', needs='teacher'), run('student')]
    outcome = schedule.run_all(runs, tmp_path, num_processes=2)
    assert sorted(outcome.finished) == ['sda', 'student', 'teacher']
    events = (tmp_path / EVENTS).read_text().splitlines()
    assert events.index('sda begins') > events.index('teacher ends')


def test_no_more_than_the_allowed_processes_run_at_once(tmp_path):
    runs = [run(str(number), seconds=0.15) for number in range(5)]  # so that a third one had the time to begin
    schedule.run_all(runs, tmp_path, num_processes=2)
    events = (tmp_path / EVENTS).read_text().splitlines()
    assert len(events) == 10
    assert max(accumulate(1 if event.endswith('begins') else -1 for event in events)) <= 2


def test_a_failed_run_fails_those_that_need_it_and_no_others_and_is_tried_again(tmp_path):
    runs = [run('teacher', fails=True), run('sda', needs='teacher'), run('student')]
    accepted = []
    outcome = schedule.run_all(runs, tmp_path, 1, accepted=lambda: accepted.append(1))
    assert outcome.finished == ['student']
    assert outcome.failed == {'teacher': 'what went wrong', 'sda': 'teacher, which it needs, failed'}
    assert accepted == [1]
    assert (tmp_path / 'teacher' / 'error.txt').read_text() == 'exit status 3\nwhat went wrong\n'
    assert not (tmp_path / 'sda' / 'attempts.txt').exists()

    (tmp_path / 'mended').touch()
    outcome = schedule.run_all(runs, tmp_path, 1)
    assert sorted(outcome.finished) == ['sda', 'student', 'teacher']
    assert not outcome.failed
    assert not (tmp_path / 'teacher' / 'error.txt').exists()
    assert (attempts(tmp_path, 'teacher'), attempts(tmp_path, 'student')) == (2, 1)


def test_a_run_may_need_one_of_an_earlier_call_which_must_have_finished(tmp_path):
    with pytest.raises(ValueError, match=r'teacher in .*: needed by other runs, but has not finished'):
        schedule.run_all([run('sda', needs='teacher')], tmp_path, 1)
    schedule.run_all([run('teacher')], tmp_path, 1)
    assert schedule.run_all([run('sda', needs='teacher')], tmp_path, 1).finished == ['sda']


def test_finished_runs_are_not_repeated(tmp_path):
    runs = [run('a'), run('b')]
    schedule.run_all(runs[:1], tmp_path, 1)
    outcome = schedule.run_all(runs, tmp_path, 1)
    assert outcome.finished == ['a', 'b']
    assert attempts(tmp_path, 'a') == 1


def test_a_folder_with_a_run_of_other_settings_is_refused(tmp_path):
    schedule.run_all([run('a', lr=1)], tmp_path, 1)
    with pytest.raises(ValueError, match=r'other settings: options\.lr: 1 before, 2 now'):
        schedule.run_all([run('a', lr=2)], tmp_path, 1, accepted=lambda: pytest.fail('they were refused'))


def test_a_run_described_by_an_earlier_version_goes_on(tmp_path):
    """That knew nothing of what is kept, and noted what is no longer asked."""
    schedule.run_all([run('a', lr=1)], tmp_path, 1)
    earlier = json.loads((tmp_path / 'a' / 'run.json').read_text())
    for key in ('adapt', 'curves', 'scores', 'kept'):
        del earlier[key]
    (tmp_path / 'a' / 'run.json').write_text(json.dumps(earlier | {'match_head': True, 'panel_tiles': []}))
    assert schedule.run_all([replace(run('a', lr=1), adapt='m:f')], tmp_path, 1).finished == ['a']
    assert json.loads((tmp_path / 'a' / 'run.json').read_text())['adapt'] == 'm:f'
    with pytest.raises(ValueError, match="adapt: 'm:f' before, None now"):
        schedule.run_all([run('a', lr=1)], tmp_path, 1)
    assert attempts(tmp_path, 'a') == 1


def test_results_of_changed_data_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, 'fingerprints', lambda runs: [{'data_digest': 'old'}] * len(runs))
    schedule.run_all([run('a')], tmp_path, 1)
    monkeypatch.setattr(schedule, 'fingerprints', lambda runs: [{'data_digest': 'new'}] * len(runs))
    with pytest.raises(ValueError, match="other settings: data_digest: 'old' before, 'new' now"):
        schedule.run_all([run('a')], tmp_path, 1)


def test_less_than_one_process_is_refused(tmp_path):
    with pytest.raises(ValueError, match='num_processes must be 1 or more, got -1'):
        schedule.run_all([run('a')], tmp_path, -1)


def test_two_studies_do_not_share_a_folder_at_the_same_time(tmp_path):
    def again():
        with pytest.raises(ValueError, match='is in use'):
            schedule.run_all([run('b')], tmp_path, 1)

    schedule.run_all([run('a')], tmp_path, 1, accepted=again)
    assert not (tmp_path / 'b').exists()


def share(runs, folder, name):
    """One of several calls, in a process of its own; writes the runs that it knows to be finished."""
    schedule.start, schedule.POLL_S = begin, 0.01
    outcome = schedule.run_all(runs, folder / 'runs', 1, shared=True)
    (folder / name).write_text(' '.join(sorted(outcome.finished)))


def begin(folder, environment, modules, fork, function=work):
    process = clean_processes().Process(target=function, args=(pathlib.Path(folder),))
    process.start()
    return process


def test_two_calls_share_the_runs_of_a_folder(tmp_path):
    runs = [run('0', until='1'), *(run(str(index)) for index in range(1, 6))]  # another call begins 1
    call_in_clean_processes(share, (runs, tmp_path, 'a'), (runs, tmp_path, 'b'))
    assert [(tmp_path / name).read_text() for name in 'ab'] == ['0 1 2 3 4 5'] * 2
    assert [attempts(tmp_path / 'runs', name) for name in '012345'] == [1] * 6


def test_an_interrupted_study_ends_its_runs(tmp_path, monkeypatch, start_as):
    def interrupt(seconds):
        threading.Event().wait(0.01)
        if all((tmp_path / name / 'attempts.txt').exists() for name in ('long', 'other')):
            raise KeyboardInterrupt

    schedule.run_all([run('first')], tmp_path, 1)  # starts the server of the processes
    monkeypatch.setattr(schedule.time, 'sleep', interrupt)
    started = start_as(work)
    with pytest.raises(KeyboardInterrupt):
        schedule.run_all([run('long', until='never'), run('other', until='never')], tmp_path, 2)
    assert [process.exitcode for process in started[-2:]] == [1, 1]  # by the interrupt; whoever is killed has -9
    assert not (tmp_path / 'long' / 'result.json').exists()


def test_a_killed_run_says_by_which_signal(tmp_path, start_as):
    start_as(killed)
    reason = schedule.run_all([run('a')], tmp_path, 1).failed['a']
    assert reason.startswith('killed by signal SIGKILL, as Linux does where memory runs out')
    assert (tmp_path / 'a' / 'error.txt').read_text().splitlines()[0] == reason


def test_gpus_are_those_that_the_environment_allows(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,3')
    assert schedule.visible_gpus() == ['2', '3']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert schedule.visible_gpus() == []


def test_runs_share_the_cores_unless_the_caller_says_how_many_threads(monkeypatch):
    monkeypatch.setattr('os.cpu_count', lambda: 8)
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        monkeypatch.delenv(name, raising=False)
    names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')
    shared = schedule.environment_of(2, 3, ['0', '1'])
    assert [shared[name] for name in names] == ['4', '4', '1']
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    assert [schedule.environment_of(2, 0, []).get(name) for name in names[:2]] == ['3', '3']
    monkeypatch.setenv('MKL_NUM_THREADS', '1')
    assert [schedule.environment_of(2, 0, []).get(name) for name in names[:2]] == ['3', '1']


@pytest.fixture
def training(tmp_path):
    (tmp_path / 'base.py').write_text('lr = 1\n')
    (tmp_path / 'config.py').write_text("_base_ = './base.py'\ndata_root = 'nowhere'\n")
    (tmp_path / 'scenes').mkdir()
    (tmp_path / 'scenes' / 'parameters.json').write_text('{"seed": 0}')
    return Run('a', str(tmp_path / 'config.py'), {'data_root': str(tmp_path / 'scenes')}, {})


def test_digests_follow_what_a_config_inherits_and_the_parameters_of_its_data(training, tmp_path):
    (first,) = schedule.fingerprints([training])
    (tmp_path / 'base.py').write_text('lr = 1  # with a remark\n')
    assert schedule.fingerprints([training, training]) == [first, first]

    (tmp_path / 'base.py').write_text('lr = 2\n')
    (second,) = schedule.fingerprints([training])
    assert second['config_digest'] != first['config_digest']
    assert second['data_digest'] == first['data_digest']

    (tmp_path / 'scenes' / 'parameters.json').write_text('{"seed": 1}')
    (third,) = schedule.fingerprints([training])
    assert third['config_digest'] == second['config_digest']
    assert third['data_digest'] != second['data_digest']


def test_without_data_root_the_data_are_those_of_the_config(training, tmp_path):
    (tmp_path / 'config.py').write_text(f'data_root = {str(tmp_path / "scenes")!r}\n')
    here = schedule.fingerprints([training])
    assert schedule.fingerprints([Run('a', training.config, {}, {})]) == here
    assert here[0]['data_digest']


def test_what_is_absent_has_no_digest(tmp_path):
    absent = Run('a', str(tmp_path / 'no.py'), {'data_root': str(tmp_path)}, {})
    assert schedule.fingerprints([absent]) == [{'config_digest': None, 'data_digest': None}]


def test_a_server_imports_what_the_configs_import_and_the_library_of_their_scope(tmp_path):
    (tmp_path / 'a.py').write_text("custom_imports = dict(imports=['ours'])\ndefault_scope = 'mmseg'\n")
    (tmp_path / 'b.py').write_text("custom_imports = dict(imports=['theirs', 'ours'])\n")
    runs = [Run(name, str(tmp_path / f'{name}.py'), {}, {}) for name in ('a', 'b', 'absent')]
    modules = schedule.modules_of(runs)
    assert modules[:2] == ['projects.training.experiments.runs', 'ours']
    assert {'mmseg.models', 'mmseg.datasets', 'theirs'} < set(modules)
    assert len(set(modules)) == len(modules)
