"""What whole networks take, from the files that would be deployed, in turns."""

import gc
import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from projects.deployment.benchmark.subjects import benchmark_pixels
from projects.deployment.benchmark.timing import Quartiles, clock
from projects.deployment.predictor import open_predictor
from projects.reporting.progress import track
from projects.storage.parameters import digest

from ..space import IMAGE_SCALE, PRECISION, Point
from .graphs import SUFFIX_OF, graph_file
from .journal import Journal, describe
from .parts import Part, SmallNetwork
from .quiet import QUIET, Call, time_in_quiet, usual_seconds

FILE = 'latency.json'  # in a work dir
AT_ONCE = 8  # networks that take turns, all of which are in memory; more go in several groups
REASON_CHARS = 300
DIGITS = 6  # of ms, after the point
GAUGE = SmallNetwork(Part('block', 'convolution', (128, 128), (16, 20), 1), 4)  # a few ms, on all machines
GAUGE_NAME = 'gauge'  # in the journal
PROBE_S = 2.0  # for each round: how long the gauge is looked at first
MUCH_FASTER = 1.25  # than when the gauge was looked at first, which was disturbed then

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
        rounds: In which every network is timed while nothing disturbs; the median counts.

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
        disturbed: Whether there were too few rounds in which nothing disturbed it.
    """

    quartiles_ms: Quartiles | None
    failure: str = ''
    disturbed: bool = False

    @property
    def ms(self) -> float:
        """The median; infinite if it failed, so that it meets no budget."""
        return self.quartiles_ms.median if self.quartiles_ms else math.inf

    def to_json(self) -> dict[str, Any] | str:
        """What `from_json` reads."""
        if self.quartiles_ms is None:
            return self.failure
        return {'quartiles_ms': [round(ms, DIGITS) for ms in self.quartiles_ms], 'disturbed': self.disturbed}

    @classmethod
    def from_json(cls, data: dict[str, Any] | str) -> 'Latency':
        """Read what `to_json` gave."""
        if isinstance(data, str):
            return cls(None, data)
        return cls(Quartiles(*data['quartiles_ms']), disturbed=data['disturbed'])


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
            self.warn_of_disturbed(measured)
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

    def time_written(self, writers: Sequence[Callable[[], Path]]) -> list[Latency]:
        """Write files and time them in turns; one that cannot be written, opened or run has the reason instead."""
        calls: dict[int, Call] = {}
        latencies: list[Latency] = []
        for index, write in enumerate(track(writers, 'networks exported')):
            try:
                call = opened(write(), self.conditions.runtime, self.conditions.threads)
                call()
            except Exception as error:  # networks and runtimes fail in any way; the search goes on without them
                reason = f'{type(error).__name__}: {" ".join(str(error).split())[:REASON_CHARS]}'
                latencies.append(Latency(None, reason))
            else:
                calls[index] = call
                latencies.append(Latency(None))
        for index, latency in zip(calls, self._in_turns(list(calls.values())), strict=True):
            latencies[index] = latency
        return latencies

    def time_files(self, files: Sequence[Path]) -> list[Latency]:
        """Time exported files in turns, all of them in memory at once, for one image.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: One is of a runtime that does not run it.
        """
        calls = [opened(file, self.conditions.runtime, self.conditions.threads) for file in files]
        latencies = self._in_turns(calls)
        self.warn_of_disturbed(latencies)
        return latencies

    def _in_turns(self, calls: Sequence[Call]) -> list[Latency]:
        if not calls:
            return []
        gc.collect()
        rounds, timer = self.conditions.rounds, time.process_time if self.conditions.cpu_time else clock
        usual_s = self._usual_s(partial(usual_seconds, self._gauge, PROBE_S * rounds, timer))
        all_turns = time_in_quiet(calls, self._gauge, usual_s, rounds, timer)
        fastest_s = min(seconds for turns in all_turns for seconds in turns.gauge_s)
        if fastest_s * MUCH_FASTER < usual_s:
            self._say(
                f'this machine is {usual_s / fastest_s:.1f} times as fast now as when its latencies were first '
                f'measured for {self.journal.path}: those are too high; to measure them anew, delete it'
            )
        return [
            Latency(turns.quartiles_ms(rounds, usual_s), disturbed=turns.num_quiet(usual_s) < rounds)
            for turns in all_turns
        ]

    @cached_property
    def _gauge(self) -> Call:
        with tempfile.TemporaryDirectory() as folder:
            path = GAUGE.write(Path(folder, f'{GAUGE_NAME}.onnx'), 'fp32')
            return opened(path, self.conditions.runtime, self.conditions.threads)

    def _usual_s(self, find: Callable[[], float]) -> float:
        """What the gauge takes on this machine while nothing disturbs: the same for all latencies of the journal."""
        if GAUGE_NAME not in self.journal.entries:
            self.journal.add({GAUGE_NAME: round(1e3 * find(), DIGITS)})
        return self.journal.entries[GAUGE_NAME] / 1e3

    def warn_of_disturbed(self, latencies: Sequence[Latency]) -> None:
        """Name those that other work disturbed."""
        disturbed = sum(latency.disturbed for latency in latencies)
        if disturbed:
            self._say(
                f'{disturbed} of {len(latencies)} latencies were measured while this machine was more than '
                f'{QUIET - 1:.0%} slower than usual, as other work runs on it; to measure them anew when that '
                f'has ended, delete {self.journal.path}'
            )

    @staticmethod
    def _say(text: str) -> None:
        print_log(text, logger='current', level=logging.WARNING)

    def _time(self, group: Sequence[tuple[str, Point]], folder: Path | None) -> list[Latency]:
        with tempfile.TemporaryDirectory() as temporary:
            return self.time_written(
                [partial(self._write, name, point, folder or Path(temporary)) for name, point in group]
            )

    def _write(self, name: str, point: Point, folder: Path) -> Path:
        path = folder / f'{name.replace(" ", "_")}{SUFFIX_OF[self.conditions.runtime]}'
        if path.is_file():
            return path
        size = self.conditions.size_of(point)
        return graph_file(self.config_of(point), path, str(point[PRECISION]), size, self.conditions.output)


def opened(file: Path, runtime: str, threads: int) -> Call:
    """What predicts the benchmark's image once."""
    predictor = open_predictor(file, runtime=runtime, threads=threads)
    assert predictor.info.input_size is not None
    return partial(predictor.session, benchmark_pixels(1, predictor.info.input_size))


def _groups(items: Sequence) -> Iterator[Sequence]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
