"""A benchmark, from its models to its results."""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from projects.command_line import PRECISIONS

from .layers import measure_layers
from .machine import measure_ceiling
from .peak_memory import peak_memory_mb
from .results import Results
from .sessions import cases_of, open_case, opener
from .subjects import Subject
from .timing import Case, Measurement, clock, time_in_turns

Note = Callable[[str, float], None]
"""Told what is being done, and which share of that is done."""

GPU: dict[str, Any] = {  # all that may be the fastest, beside the authors' protocol ('traced'), up to a full GPU
    'runtimes': ('eager', 'traced', 'compile', 'cudagraphs', 'onnxruntime'),
    'precisions': ('fp32', 'bf16', 'fp16'),
    'batch_sizes': (1, 8, 64, 256),
    'channels_last': True,
}


@dataclass(frozen=True)
class Settings:
    """How a benchmark measures.

    Attributes:
        runtimes: Of `TIMED_RUNTIMES`.
        precisions: See `cases_of`.
        batch_sizes: Images per call, one after another.
        threads: Threads of the processor, one after another.
        device: 'cpu' or 'cuda'.
        seconds: See `time_in_turns`.
        rounds: See `time_in_turns`.
        channels_last: See `open_case`.
        memory: Whether peak memory is measured, too.
        layers: Whether the layers of OpenVINO's cases are timed, too: at the first batch size, on the first threads.
        cpu_time: Whether the processor time of this process counts, which other work on the machine hardly prolongs,
            and not the time that passes; on one thread they are the same where there is no other work.
    """

    runtimes: tuple[str, ...] = ('eager', 'onnxruntime', 'openvino')
    precisions: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
    threads: tuple[int, ...] = (1,)
    device: str = 'cpu'
    seconds: float | None = 5.0
    rounds: int | None = None
    channels_last: bool = False
    memory: bool = True
    layers: bool = False
    cpu_time: bool = False

    def __post_init__(self) -> None:
        if self.cpu_time and (self.device != 'cpu' or set(self.threads) != {1}):
            raise ValueError(
                f'time of the processor is measured on one of its threads, and not of {self.device} with '
                f'{", ".join(map(str, self.threads))} threads'
            )

    @classmethod
    def usual(cls, device: str) -> 'Settings':
        """What is measured on a device if nothing else is asked for."""
        return cls(device=device, **GPU) if device == 'cuda' else cls()

    def ceiling_precisions(self) -> tuple[str, ...]:
        """Precisions whose ceiling is measured."""
        return PRECISIONS[:2] if self.device == 'cpu' else PRECISIONS


def run_benchmark(subjects: Sequence[Subject], settings: Settings, results: Results, note: Note) -> None:
    """Measure all that is not in the results yet: times in turns, ceilings, and memory.

    A case that cannot be opened, or fails, is left out, with the reason in the results.

    Args:
        subjects: Models with different names.
        settings: How.
        results: Where to.
        note: See `Note`.

    Raises:
        ValueError: Two models have the same name.
    """
    names = [subject.name for subject in subjects]
    if len({*names}) < len(names):
        raise ValueError(f'{", ".join(names)}: every model once')
    for subject in subjects:
        results.describe(subject)
    with tempfile.TemporaryDirectory() as folder:
        for threads in settings.threads:
            measure_ceilings(results, settings, threads, note)
            for batch_size in settings.batch_sizes:
                step = f'{threads} threads, batch {batch_size}'
                if not results.has(step):
                    results.add(
                        step, measure(subjects, settings, batch_size, threads, Path(folder), results, note, step)
                    )
        if settings.memory:
            _measure_memory(subjects, settings, results, Path(folder), note)
        if settings.layers:
            _measure_layers(subjects, settings, results, Path(folder), note)


def measure_ceilings(results: Results, settings: Settings, threads: int, note: Note) -> None:
    """Measure the rate of matrix products on some threads, unless that was done before."""
    note('matrix products', 0.0)
    torch.set_num_threads(threads)
    known = results.data['ceilings'].setdefault(str(threads), {})
    for precision in settings.ceiling_precisions():
        if precision not in known:
            known[precision] = measure_ceiling(precision, settings.device)


def measure(
    subjects: Sequence[Subject],
    settings: Settings,
    batch_size: int,
    threads: int,
    folder: Path,
    results: Results,
    note: Note,
    title: str,
) -> list[Measurement]:
    """Open all cases of some models and time them in turns.

    Raises:
        ValueError: None of them could be opened.
    """
    torch.set_num_threads(threads)
    calls: dict[Case, Callable[[], object]] = {}
    for index, subject in enumerate(subjects):
        cases, reasons = cases_of(subject, settings.runtimes, settings.precisions, settings.device)
        for title_of_case, reason in reasons.items():
            results.leave_out(title_of_case, reason)
        for case in cases:
            note(f'{title}: opening {case}', index / len(subjects))
            try:
                call = open_case(
                    subject,
                    case,
                    batch_size,
                    folder,
                    threads=threads,
                    device=settings.device,
                    channels_last=settings.channels_last,
                )
                call()
            except Exception as error:  # networks and runtimes fail in any way; the others go on
                results.leave_out(f'{case}, batch {batch_size}', _one_line(error))
            else:
                calls[case] = call
    if not calls:
        raise ValueError(f'{title}: nothing to time; left out: {results.data["left_out"]}')
    gc.collect()
    times = time_in_turns(
        [*calls.values()],
        seconds=settings.seconds if settings.rounds is None else None,
        rounds=settings.rounds,
        warm_up=1,  # after the one above
        clock=time.process_time if settings.cpu_time else clock,
        note=lambda done: note(f'{title}: timing', done),
    )
    return [Measurement(case, batch_size, threads, calls_s) for case, calls_s in zip(calls, times, strict=True)]


def _measure_memory(
    subjects: Sequence[Subject], settings: Settings, results: Results, folder: Path, note: Note
) -> None:
    threads = settings.threads[0]
    for subject in subjects:
        for case in cases_of(subject, settings.runtimes, settings.precisions, settings.device)[0]:
            if str(case) in results.data['memory_mb'] or str(case) in results.data['left_out']:
                continue
            note(f'memory of {case}', 0.0)
            try:
                if settings.device == 'cuda':
                    peak = _gpu_memory_mb(subject, settings, case, folder)
                else:
                    peak = peak_memory_mb(*opener(subject, case, folder, threads))
            except (RuntimeError, OSError) as error:
                results.leave_out(f'memory of {case}', _one_line(error))
                continue
            results.data['memory_mb'][str(case)] = peak
            results.save()


def _measure_layers(
    subjects: Sequence[Subject], settings: Settings, results: Results, folder: Path, note: Note
) -> None:
    for subject in subjects:
        for case in cases_of(subject, ['openvino'], settings.precisions, settings.device)[0]:
            if str(case) in results.data['layers'] or str(case) in results.data['left_out']:
                continue
            note(f'layers of {case}', 0.0)
            try:
                measure_layers(subject, case, settings.batch_sizes[0], settings.threads[0], folder, results)
            except Exception as error:  # as in `measure`
                results.leave_out(f'layers of {case}', _one_line(error))


def _gpu_memory_mb(subject: Subject, settings: Settings, case: Case, folder: Path) -> float:
    """The most that PyTorch allocated on the GPU, weights included; nothing is known of other libraries."""
    torch.cuda.reset_peak_memory_stats()
    call = open_case(
        subject, case, 1, folder, threads=settings.threads[0], device='cuda', channels_last=settings.channels_last
    )
    call()
    return torch.cuda.max_memory_allocated() / 1e6


def _one_line(error: Exception) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}'


def question_of(subjects: Sequence[str], size: tuple[int, int], settings: Settings) -> dict[str, Any]:
    """Describe a benchmark, for `Results`; files that were written anew make another one of it."""
    files = [Path(part) for subject in subjects for part in subject.split('@')]
    written_ns = {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}
    return {'subjects': list(subjects), 'written_ns': written_ns, 'size': list(size), **asdict(settings)}
