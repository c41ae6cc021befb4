"""Runs in several processes: those that are finished are skipped, those that fail do not stop the others."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.fileio import put_text
from rich.progress import TextColumn

from projects.reporting.progress import progress_bars
from projects.storage.locations import locate
from projects.storage.parameters import differences, digest

from .runs import ERROR, RESULT, SPEC, Run
from .workers import CONSOLE, start

SCOPE_PARTS = ('models', 'datasets', 'evaluation', 'engine', 'structures', 'visualization')
STOP_TIMEOUT_S = 60
CLAIM = '.claim'  # lock of who executes a run
ERROR_LINES = 30  # of a failed run's output that are kept
POLL_S = 0.2


@dataclass
class Outcome:
    """How the runs of a study ended, by name: `finished` (now or earlier), and `failed` with the reason."""

    finished: list[str]
    failed: dict[str, str]


def run_all(
    runs: Sequence[Run],
    folder: Path,
    num_processes: int,
    accepted: Callable[[], None] = lambda: None,
    shared: bool = False,
) -> Outcome:
    """Execute runs, each in a process of its own with its share of the cores (or OMP_NUM_THREADS), GPUs in turn.

    A run starts when the one it needs has finished. Finished runs are skipped, interrupted ones resume, failed ones are
    tried again. A failed run leaves `error.txt` in its folder.

    Args:
        runs: In the order in which they are to start; each after the one it needs.
        folder: Where each run has a folder of its name.
        num_processes: How many run at once.
        accepted: Called once the runs have been found to fit what the folder holds.
        shared: Whether other calls, of this machine or of others that see the folder, may execute its runs at the same
            time. What another one executes is waited for.

    Returns:
        How they ended.

    Raises:
        ValueError: A finished or interrupted run in `folder` was made by other settings, another config or from other
            data; `num_processes` is below 1; or another process executes the runs of this folder, and it is not shared.
    """
    if num_processes < 1:
        raise ValueError(f'num_processes must be 1 or more, got {num_processes}.')
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / '.lock', timeout=-1 if shared else 0) as lock:
            for run, made_from in zip(runs, fingerprints(runs), strict=True):
                _prepare(run, made_from, folder / run.name)
            accepted()
            if shared:
                lock.release()
            return _execute(runs, folder, num_processes)
    except Timeout:
        raise ValueError(f'{folder} is in use: another process executes its runs') from None


def _prepare(run: Run, made_from: dict[str, str | None], folder: Path) -> None:
    """Write the description of a run; one that stands there must agree, as far as an earlier version described it."""
    file, now = folder / SPEC, run.to_json() | made_from
    if file.is_file():
        before = json.loads(file.read_text())
        known = {key: before.get(key) for key in now if key in before or key in made_from}
        if changed := differences(known, {key: now[key] for key in known}):
            raise ValueError(
                f'{folder} holds a run with other settings: {"; ".join(changed)}. Choose another --work-dir, or remove '
                'that folder to run it again.'
            )
        if before == now:
            return
    put_text(json.dumps(now, indent=1), str(file))


def fingerprints(runs: Sequence[Run]) -> list[dict[str, str | None]]:
    """Digests of configs and data, which may change between two calls: a result then no longer belongs to its run.

    Returns:
        For each run `config_digest`, of its config with all that it inherits, and `data_digest`, of the
        `parameters.json` of its data; None where there is none. The runs themselves say what is wrong then.
    """
    read = cache(_read_config)

    @cache
    def digest_file(path: Path) -> str | None:
        return digest([path.read_bytes()]) if path.is_file() else None

    return [
        {
            'config_digest': digest([repr(read(run.config).to_dict()).encode()]) if read(run.config) else None,
            'data_digest': digest_file(
                locate(Path(run.options.get('data_root') or read(run.config).get('data_root') or '', 'parameters.json'))
            ),
        }
        for run in runs
    ]


def _read_config(config: str) -> Config:
    """A config as it stands in its file; an empty one if there is none, which the runs themselves say."""
    file = locate(config)
    return Config.fromfile(file, import_custom_modules=False) if file.is_file() else Config()


def _execute(runs: Sequence[Run], folder: Path, num_processes: int) -> Outcome:
    outcome = Outcome([run.name for run in runs if (folder / run.name / RESULT).is_file()], {})
    waiting = [run for run in runs if run.name not in outcome.finished]
    there = {*outcome.finished, *_finished_before(runs, folder)}
    running: dict[str, BaseProcess] = {}
    modules = modules_of(waiting)
    gpus = visible_gpus()
    slots = list(range(num_processes))[::-1]
    slot_of: dict[str, int] = {}
    claims: dict[str, FileLock] = {}
    with progress_bars(TextColumn('{task.fields[now]}')) as progress:
        task = progress.add_task('runs', total=len(runs), completed=len(outcome.finished), now='')
        try:
            while waiting or running:
                for run in [run for run in waiting if run.needs in outcome.failed]:
                    waiting.remove(run)
                    outcome.failed[run.name] = f'{run.needs}, which it needs, failed'
                    put_text(outcome.failed[run.name] + '\n', str(folder / run.name / ERROR))
                    progress.advance(task)
                for run in [run for run in waiting if run.needs is None or run.needs in there]:
                    if not slots:
                        break
                    if not (claim := _claim(folder / run.name)):
                        continue  # another call executes it
                    waiting.remove(run)
                    if (folder / run.name / RESULT).is_file():  # another call has executed it
                        claim.release()
                        outcome.finished.append(run.name)
                        there.add(run.name)
                        progress.advance(task)
                        continue
                    claims[run.name] = claim
                    slot_of[run.name] = slots.pop()
                    (folder / run.name / ERROR).unlink(missing_ok=True)
                    environment = environment_of(num_processes, slot_of[run.name], gpus)
                    running[run.name] = start(folder / run.name, environment, modules, fork=not gpus)
                progress.update(task, now=', '.join(running))
                for name in [name for name, process in running.items() if process.exitcode is not None]:
                    process = running.pop(name)
                    claims.pop(name).release()
                    slots.append(slot_of.pop(name))
                    if process.exitcode == 0 and (folder / name / RESULT).is_file():
                        outcome.finished.append(name)
                        there.add(name)
                    else:
                        outcome.failed[name] = _keep_error(folder / name, process.exitcode or 0)
                        progress.console.print(f'{name} failed: {folder / name / ERROR}', markup=False, soft_wrap=True)
                    progress.advance(task)
                time.sleep(POLL_S)
        finally:
            _stop(running.values())
            for claim in claims.values():
                claim.release()
    return outcome


def _claim(folder: Path) -> FileLock | None:
    """The right to execute the run of a folder, which ends with this process; None if another one has it."""
    claim = FileLock(folder / CLAIM)
    try:
        claim.acquire(timeout=0)
    except Timeout:
        return None
    return claim


def _finished_before(runs: Sequence[Run], folder: Path) -> set[str]:
    """What runs need beside one another, from earlier calls.

    Raises:
        ValueError: It has not finished.
    """
    needed = {run.needs for run in runs if run.needs} - {run.name for run in runs}
    if missing := sorted(name for name in needed if not (folder / name / RESULT).is_file()):
        raise ValueError(f'{", ".join(missing)} in {folder}: needed by other runs, but has not finished; run it first')
    return needed


def visible_gpus() -> list[str]:
    """Numbers of the GPUs that the runs may use, as CUDA_VISIBLE_DEVICES or nvidia-smi names them."""
    if 'CUDA_VISIBLE_DEVICES' in os.environ:
        return [gpu for gpu in os.environ['CUDA_VISIBLE_DEVICES'].split(',') if gpu]
    if shutil.which('nvidia-smi') is None:
        return []
    listed = subprocess.run(  # noqa: S603
        [shutil.which('nvidia-smi') or '', '--query-gpu=index', '--format=csv,noheader'],
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.split() if listed.returncode == 0 else []


def environment_of(num_processes: int, slot: int, gpus: Sequence[str]) -> dict[str, str]:
    """The environment of a run: its share of the cores, unless OMP_NUM_THREADS is set, and of the GPUs."""
    threads = os.environ.get('OMP_NUM_THREADS', str(max((os.cpu_count() or 1) // num_processes, 1)))
    environment = {'MKL_NUM_THREADS': threads} | os.environ | {'OMP_NUM_THREADS': threads}
    return environment | ({'CUDA_VISIBLE_DEVICES': gpus[slot % len(gpus)]} if gpus else {})


def modules_of(runs: Sequence[Run]) -> list[str]:
    """What the configs of runs import, and the parts of OpenMMLab's library whose scope they have."""
    names: dict[str, None] = {'projects.training.experiments.runs': None}
    for cfg in {run.config: _read_config(run.config) for run in runs}.values():
        names |= dict.fromkeys(cfg.get('custom_imports', {}).get('imports', []))
        if scope := cfg.get('default_scope'):
            names |= dict.fromkeys(f'{scope}.{part}' for part in SCOPE_PARTS)
    return list(names)


def _keep_error(folder: Path, exitcode: int) -> str:
    """Write the end of a failed run's output to `error.txt`; returns its last line, or which signal killed it."""
    console = folder / CONSOLE
    lines = console.read_text(errors='replace').splitlines()[-ERROR_LINES:] if console.is_file() else []
    how = f'killed by signal {signal.Signals(-exitcode).name}' if exitcode < 0 else f'exit status {exitcode}'
    if exitcode == -signal.SIGKILL:
        how += ', as Linux does where memory runs out; the same command goes on from its last checkpoint'
    put_text('\n'.join([how, *lines, '']), str(folder / ERROR))
    return how if exitcode < 0 else next((line for line in reversed(lines) if line.strip()), how)


def _stop(processes: Collection[BaseProcess]) -> None:
    """Let runs that are still going save a checkpoint and end."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGINT)
    for process in processes:
        process.join(STOP_TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
