"""Processes for tests, forked from a server that has imported the libraries: none needs ten seconds to begin."""

import faulthandler
import gc
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELOADED = (  # libraries alone: what is ours is imported and registered as the tool or its config says, or is missing
    'projects.openmmlab_compat',
    'mmdet.models',
    'mmdet.datasets',
    'mmseg.models',
    'mmseg.datasets',
    'timm',
    'segmentation_models_pytorch',
    'matplotlib.pyplot',
    'geopandas',
    'rasterio',
)
TIMEOUT_S = 900  # also where other work leaves little of the processor


def preload_for_all() -> None:
    """Have one server import the libraries for all processes, whether a test or what it tests starts the first of them.

    Python has one server for a process; with the modules of the first that asks, all others would import theirs anew.
    """
    forkserver.set_forkserver_preload([*PRELOADED])
    forkserver.set_forkserver_preload = lambda modules: None


def clean_processes() -> ForkServerContext:
    """Starts processes from a server without threads, as `multiprocessing.Process` of the context that it returns.

    A process of the suite has a dozen threads by and by, of runtimes, GDAL and pictures; a fork of it has their locks
    and half-finished work, but not the threads that would finish it.
    """
    return multiprocessing.get_context('forkserver')


def run_tool(
    name: str, *arguments: object, cwd: Path, processes: int = 1, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a tool as from the shell, in a session of its own; what libraries read while imported is read already.

    Args:
        name: Of the file in `tools/`.
        *arguments: Of the command line.
        cwd: Working folder.
        processes: Of a distributed run, as torchrun would start them, and stop all when one fails.
        **env: Variables beside those of this process. Folders in `PYTHONPATH` are looked into first.

    Returns:
        The exit code (negative: the signal), that of the first process that failed; what all of them printed.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free.getsockname()[1]), 'WORLD_SIZE': str(processes)}
    with tempfile.TemporaryDirectory() as folder:
        outputs = [(Path(folder, f'stdout{rank}'), Path(folder, f'stderr{rank}')) for rank in range(processes)]
        started = []
        for rank, files in enumerate(outputs):
            ranks = {'RANK': str(rank), 'LOCAL_RANK': str(rank), **address} if processes > 1 else {}
            command = (str(ROOT / 'tools' / name), *map(str, arguments))
            environment = {**os.environ, 'OMP_NUM_THREADS': '1', **ranks, **env}
            started.append(clean_processes().Process(target=_run, args=(command, str(cwd), environment, files)))
            started[-1].start()
        code, late = ended(started)
        for process in late:
            os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = (''.join(path.read_text() for path in files) for files in zip(*outputs, strict=True))
    assert not late, f'{name} did not end in {TIMEOUT_S} s:\n{stdout}{stderr}'
    return subprocess.CompletedProcess(command, code, stdout, stderr)


def _run(command: tuple[str, ...], cwd: str, environment: dict[str, str], files: tuple[Path, Path]) -> None:
    gc.freeze()  # data sets ask for a whole collection each
    os.setsid()
    for path, descriptor in zip(files, (1, 2), strict=True):
        with path.open('wb') as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [str(Path(command[0]).parent), *filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))]
    sys.argv = [*command]
    runpy.run_path(command[0], run_name='__main__')


def ended(processes: list[BaseProcess], timeout_s: float = TIMEOUT_S) -> tuple[int, list[BaseProcess]]:
    """Wait for processes to end; when one fails, the others are terminated.

    Returns:
        The exit code of the first that failed, else 0, and those that did not end.
    """
    code, left, end = 0, list(processes), time.monotonic() + timeout_s
    while left and time.monotonic() < end:
        connection.wait([process.sentinel for process in left], end - time.monotonic())
        code = code or next((process.exitcode for process in left if process.exitcode), 0)
        left = [process for process in left if process.exitcode is None]
        for process in left if code else []:
            process.terminate()
    return code, left


def call_in_clean_processes(function, *arguments, exit_code=0):
    """Call a function of a test's file in processes without threads, see `clean_processes`; none may hang.

    Args:
        function: What each of them does.
        *arguments: A tuple for each.
        exit_code: With which they are to end.
    """
    with tempfile.TemporaryDirectory() as folder:
        traces = [Path(folder, str(number)) for number in range(len(arguments))]
        pairs = zip(arguments, traces, strict=True)
        processes = [clean_processes().Process(target=_call, args=(function, *pair)) for pair in pairs]
        for process in processes:
            process.start()
        code, late = ended(processes)
        for process in late:
            process.kill()
        where = '\n'.join(path.read_text() for path in traces if path.exists())
    assert not late, f'{len(late)} of {len(processes)} processes did not end in {TIMEOUT_S} s; they were at\n{where}'
    assert code == exit_code


def _call(function, arguments, trace):
    faulthandler.dump_traceback_later(TIMEOUT_S - 30, file=os.open(trace, os.O_WRONLY | os.O_CREAT))
    function(*arguments)


def fork(function, *arguments):
    """The number of a forked process that runs a function; it ends with 1 if that fails."""
    process = os.fork()
    if not process:
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process
