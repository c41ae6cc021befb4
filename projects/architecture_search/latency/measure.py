"""What whole networks take, from the files that would be deployed, in turns."""

import gc
import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from projects.deployment.benchmark.subjects import benchmark_pixels
from projects.deployment.benchmark.timing import Case, Measurement, Quartiles, clock, time_in_turns
from projects.deployment.predictor import open_predictor
from projects.reporting.progress import track
from projects.storage.parameters import digest

from ..space import IMAGE_SCALE, PRECISION, Point
from .graphs import SUFFIX_OF, graph_file
from .journal import Journal, describe

FILE = 'latency.json'  # in a work dir
AT_ONCE = 8  # networks that take turns, all of which are in memory; more go in several groups
REASON_CHARS = 300
DIGITS = 6  # of ms, after the point
UNSTEADY = 0.2  # of a median: how far apart the quartiles are where other work disturbs

ConfigOf = Callable[[Point], Config]
"""Makes the config of a network; of a grow space also of widths and depths that it has not."""


@dataclass(frozen=True)
class Conditions:
    """What latencies hold for, besides the machine.

    Attributes:
        runtime: 'onnxruntime' or 'openvino'.
        image_size: Height and width in pixels of the image at image scale 1, as the test pipeline gives it.
        threads: Of the processor.
        cpu_time: Whether time of the processor is measured, which other work hardly prolongs, and not the time that
            passes; on one thread they are the same where there is no other work.
        output: Of a segmentor, 'labels' or 'probabilities'.
        rounds: In each of which every network is timed; the median counts.

    Raises:
        ValueError: A runtime that runs no files, or time of the processor on several threads.
    """

    runtime: str
    image_size: tuple[int, int]
    threads: int = 1
    cpu_time: bool = False
    output: str = 'labels'
    rounds: int = 5

    def __post_init__(self) -> None:
        if self.runtime not in SUFFIX_OF:
            raise ValueError(f'runtime {self.runtime!r}: expected one that runs files, {" or ".join(SUFFIX_OF)}')
        if self.cpu_time and self.threads != 1:
            raise ValueError(f'time of the processor is measured on one thread, not on {self.threads}')

    def size_of(self, point: Point) -> tuple[int, int]:
        """Height and width in pixels of the image of a network, rounded as `scale_images` does."""
        height, width = (max(round(side * float(point[IMAGE_SCALE])), 1) for side in self.image_size)
        return height, width


@dataclass(frozen=True)
class Latency:
    """What a network takes for one image, or why that is not known.

    Attributes:
        quartiles_ms: Over the rounds; None if it failed.
        failure: Why it could not be built, exported or run; '' if it could.
    """

    quartiles_ms: Quartiles | None
    failure: str = ''

    @property
    def ms(self) -> float:
        """The median; infinite if it failed, so that it meets no budget."""
        return self.quartiles_ms.median if self.quartiles_ms else math.inf

    def to_json(self) -> list[float] | str:
        """What `from_json` reads."""
        return self.failure or [round(ms, DIGITS) for ms in self.quartiles_ms or ()]

    @classmethod
    def from_json(cls, data: list[float] | str) -> 'Latency':
        """Read what `to_json` gave."""
        return cls(None, data) if isinstance(data, str) else cls(Quartiles(*data))


class LatencyMeter:
    """Measures networks of a space, each once: the results stay in `latency.json` of the work dir.

    Args:
        config_of: Makes the config of a point.
        conditions: What is measured.
        work_dir: An existing folder.

    Attributes:
        journal: Also for what else is measured under these conditions.
    """

    def __init__(self, config_of: ConfigOf, conditions: Conditions, work_dir: Path) -> None:
        self.config_of, self.conditions = config_of, conditions
        held = {name: value for name, value in asdict(conditions).items() if name != 'rounds'}
        self.journal = Journal(work_dir / FILE, describe(held))

    def measure(self, points: Sequence[Point], folder: Path | None = None) -> list[Latency]:
        """Return what networks take; those not measured before are written as files and timed in turns.

        Args:
            points: The networks.
            folder: Where the files are to stay, and where those are found that are there; None: they do not stay.
        """
        names = [self.name_of(point) for point in points]
        missing = {name: point for name, point in zip(names, points, strict=True) if name not in self.journal.entries}
        for group in _groups(list(missing.items())):
            measured = self._time(group, folder)
            found = zip(group, measured, strict=True)
            self.journal.add({name: latency.to_json() for (name, _), latency in found})
            self._warn(measured)
        return [Latency.from_json(self.journal.entries[name]) for name in names]

    def measured_ms(self, point: Point) -> float:
        """Return the median of one network in ms, infinite if it cannot be exported; see `failures`."""
        return self.measure([point])[0].ms

    def measure_again(self, points: Sequence[Point], folder: Path | None = None) -> list[Latency]:
        """Measure networks whatever is known of them, and keep nothing; see `measure`."""
        named = [(self.name_of(point), point) for point in points]
        return [latency for group in _groups(named) for latency in self._time(group, folder)]

    def failures(self) -> dict[str, str]:
        """Reasons why networks could not be measured, by their names in the journal."""
        return {name: entry for name, entry in self.journal.entries.items() if isinstance(entry, str)}

    def name_of(self, point: Point) -> str:
        """A network's name in the journal: what is deployed is the same for points of the same name."""
        model = json.dumps(self.config_of(point).model, sort_keys=True, default=str)
        height, width = self.conditions.size_of(point)
        return f'network {point[PRECISION]} {height}x{width} {digest([model.encode()])}'

    def _warn(self, latencies: Sequence[Latency]) -> None:
        found = [latency.quartiles_ms for latency in latencies if latency.quartiles_ms is not None]
        unsteady = sum(high - low > UNSTEADY * median for low, median, high in found)
        if unsteady:
            print_log(
                f'{unsteady} of {len(found)} latencies vary by more than {UNSTEADY:.0%} from round to round, as other '
                f'work runs on this machine; to measure them anew when it has ended, delete {self.journal.path}',
                logger='current',
                level=logging.WARNING,
            )

    def _time(self, group: Sequence[tuple[str, Point]], folder: Path | None) -> list[Latency]:
        with tempfile.TemporaryDirectory() as temporary:
            writers = [partial(self._write, name, point, folder or Path(temporary)) for name, point in group]
            return measure_written(writers, self.conditions)

    def _write(self, name: str, point: Point, folder: Path) -> Path:
        path = folder / f'{name.replace(" ", "_")}{SUFFIX_OF[self.conditions.runtime]}'
        if path.is_file():
            return path
        size = self.conditions.size_of(point)
        return graph_file(self.config_of(point), path, str(point[PRECISION]), size, self.conditions.output)


def measure_written(writers: Sequence[Callable[[], Path]], conditions: Conditions) -> list[Latency]:
    """Write files and time them in turns; one that cannot be written, opened or run has the reason instead."""
    calls: dict[int, Callable[[], object]] = {}
    latencies: list[Latency] = []
    for index, write in enumerate(track(writers, 'networks exported')):
        try:
            call = opened(write(), conditions.runtime, conditions.threads)
            call()
        except Exception as error:  # networks and runtimes fail in any way; the search goes on without them
            reason = f'{type(error).__name__}: {" ".join(str(error).split())[:REASON_CHARS]}'
            latencies.append(Latency(None, reason))
        else:
            calls[index] = call
            latencies.append(Latency(None))
    times = _in_turns(list(calls.values()), conditions) if calls else []
    for index, quartiles in zip(calls, times, strict=True):
        latencies[index] = Latency(quartiles)
    return latencies


def measure(files: Sequence[Path], conditions: Conditions) -> list[Quartiles]:
    """Time exported files in turns, all of them in memory at once: ms for one image, over the rounds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are none, or one that the runtime does not run.
    """
    return _in_turns([opened(file, conditions.runtime, conditions.threads) for file in files], conditions)


def _in_turns(calls: Sequence[Callable[[], object]], conditions: Conditions) -> list[Quartiles]:
    gc.collect()
    timer = time.process_time if conditions.cpu_time else clock
    times = time_in_turns(calls, rounds=conditions.rounds, clock=timer)
    case = Case('', conditions.runtime, 'file')
    return [Measurement(case, 1, conditions.threads, calls_s).latency_ms for calls_s in times]


def opened(file: Path, runtime: str, threads: int) -> Callable[[], object]:
    """What predicts the benchmark's image once."""
    predictor = open_predictor(file, runtime=runtime, threads=threads)
    assert predictor.info.input_size is not None
    return partial(predictor.session, benchmark_pixels(1, predictor.info.input_size))


def _groups(items: Sequence) -> Iterator[Sequence]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
