"""Processes of runs, forked from a server that has imported the libraries once: a run need not import them again."""

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

CONSOLE = 'console.log'
MODULES = 'SKYLINE_PRELOADED_MODULES'


def start(folder: Path, environment: Mapping[str, str], modules: Sequence[str], fork: bool) -> BaseProcess:
    """Begin the run in a folder in a process that Ctrl-C does not reach, its output going to `console.log`.

    It is interrupted when this process ends, whatever kills it.

    Args:
        folder: Of the run.
        environment: Of its process.
        modules: What the server imports before it forks the first run; what cannot be imported, the run imports itself,
            and says why it cannot.
        fork: False starts a process that imports all by itself, as GPUs need it: CUDA does not outlive a fork.

    Returns:
        The process, started.
    """
    if fork:
        _start_server(environment, modules)
    kind = multiprocessing.get_context('forkserver') if fork else multiprocessing.get_context('spawn')
    process = kind.Process(target=work, args=(folder, dict(environment)), name=folder.name)
    with _environment(environment):
        process.start()
    return process


def work(folder: Path, environment: Mapping[str, str]) -> None:
    """What the process of a run does."""
    os.setsid()
    with (folder / CONSOLE).open('ab') as console:
        for descriptor in (1, 2):
            os.dup2(console.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which processes in the background inherit as ignored
    threading.Thread(target=end_with_parent, daemon=True).start()
    gc.freeze()  # what the server has imported is not looked through at every collection
    from torch import set_num_threads

    from .runs import run_in

    set_num_threads(int(environment.get('OMP_NUM_THREADS', os.cpu_count() or 1)))  # the server's libraries have theirs
    run_in(folder)


def end_with_parent() -> None:
    """Interrupt this process when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGINT)


def preload() -> None:
    """Import the modules that the environment names, in the server."""
    for name in os.environ.get(MODULES, '').split():
        with suppress(Exception):
            importlib.import_module(name)


def _start_server(environment: Mapping[str, str], modules: Sequence[str]) -> None:
    """Start the server if it is not there; it finds modules where this process finds them."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([f'{__package__}.preloaded'])
    path = os.pathsep.join(filter(None, sys.path))
    with _environment({**environment, 'PYTHONPATH': path, MODULES: ' '.join(modules)}):
        forkserver.ensure_running()


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """The environment that processes inherit which are started meanwhile."""
    own = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(own)
