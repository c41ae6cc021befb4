"""How much memory a model takes."""

import ctypes
import gc
import importlib
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

CALLS = 3
# a copy of this process would have its memory, too; copies of one that has imported the libraries start at once
CONTEXT = multiprocessing.get_context('forkserver')


def peak_memory_mb(open_call: Callable[[], Callable[[], object]], libraries: Sequence[str] = ()) -> float:
    """Measure, in a process of its own, what an opened model and its calls add to the memory in use (RSS).

    What opening it takes for a while does not count: benchmarks build networks in other ways than users do.

    Args:
        open_call: Opens the model and returns what calls it; can be pickled.
        libraries: Modules to import first, whose memory does not count.

    Returns:
        The largest increase over the memory in use after the imports, in MB (10^6 bytes).

    Raises:
        OSError: The system is not Linux, whose /proc says it.
        RuntimeError: The process failed; the message says why.
    """
    if not Path('/proc/self/status').is_file():
        raise OSError('/proc/self/status: peak memory is measured on Linux alone')
    CONTEXT.set_forkserver_preload(['projects.deployment.benchmark.sessions'])
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_measure, args=(theirs, open_call, tuple(libraries)), daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f'the process that measured memory ended with exit code {process.exitcode}') from None
    process.join()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _measure(connection: Connection, open_call: Callable[[], Callable[[], object]], libraries: tuple[str, ...]) -> None:
    try:
        for library in libraries:
            importlib.import_module(library)
        before = memory_mb('VmRSS')
        call = open_call()
        begin_peak()
        for _ in range(CALLS):
            call()
        connection.send(memory_mb('VmHWM') - before)
    except Exception as error:  # of any library; the caller raises it
        connection.send(f'{type(error).__name__}: {error}')


def begin_peak() -> None:
    """Give free memory back, and let the peak of this process (`VmHWM`) start anew, on Linux."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), 'malloc_trim'):  # of glibc
        libc.malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')  # man 5 proc


def memory_mb(field: str) -> float:
    """Memory of this process as Linux says it, such as 'VmRSS', what is in use, or 'VmHWM', its peak, in MB."""
    lines = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f'{field}:'))
