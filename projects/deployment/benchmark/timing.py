"""Timing of several models side by side: in turns, so that what slows the machine down slows all of them down."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

clock = time.perf_counter  # seconds, of all that is timed here and elsewhere
LEAST_ROUNDS = 5
BURST_S = 0.02  # a turn: calls until this much time has passed
SLOW_S = 0.2  # calls that take longer need no untimed one before them: caches make no difference


class Quartiles(NamedTuple):
    """A median and the range of the middle half around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Quartiles':
        """Compute them, by linear interpolation between neighbours."""
        return cls(*(float(value) for value in np.quantile(values, (0.25, 0.5, 0.75))))


@dataclass(frozen=True)
class Case:
    """A model in one runtime and precision.

    Attributes:
        subject: Name of the model.
        runtime: One of `TIMED_RUNTIMES`.
        precision: One of `PRECISIONS`; 'file': that of an exported file.
    """

    subject: str
    runtime: str
    precision: str

    def __str__(self) -> str:
        return f'{self.subject}, {self.runtime} {self.precision}'


@dataclass(frozen=True)
class Measurement:
    """Times of a case at one batch size and number of threads.

    Attributes:
        case: What was timed.
        batch_size: Images per call.
        threads: Threads of the processor.
        calls_s: Seconds of every timed call, a list for each round.
    """

    case: Case
    batch_size: int
    threads: int
    calls_s: list[list[float]] = field(repr=False)

    @property
    def rounds_s(self) -> list[float]:
        """The median call of each round, in seconds."""
        return [float(np.median(calls)) for calls in self.calls_s]

    @property
    def latency_ms(self) -> Quartiles:
        """Of one call, over the rounds."""
        return Quartiles.of([1e3 * seconds for seconds in self.rounds_s])

    @property
    def throughput(self) -> float:
        """Images per second, at the median."""
        return 1e3 * self.batch_size / self.latency_ms.median

    def as_json(self) -> dict[str, Any]:
        """Everything, raw times included."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> 'Measurement':
        """Read what `as_json` gave."""
        return cls(Case(**data['case']), data['batch_size'], data['threads'], data['calls_s'])


def time_in_turns(
    calls: Sequence[Callable[[], object]],
    *,
    seconds: float | None = None,
    rounds: int | None = None,
    warm_up: int = 2,
    clock: Callable[[], float] = clock,
    note: Callable[[float], None] = lambda _: None,
) -> list[list[list[float]]]:
    """Time functions in turns: every round calls each of them, and each round begins with another one.

    In its turn a function is called once untimed, which brings its weights back into the caches, and then until
    `BURST_S` has passed; one that takes more than `SLOW_S` is called once, and timed.

    Args:
        calls: Functions; each returns when its work is done.
        seconds: Go on until rounds have taken so long for each function on average, `LEAST_ROUNDS` at least.
        rounds: A fixed number of them instead.
        warm_up: Calls of each before the first round; the last says whether it is slow.
        clock: Seconds.
        note: Told after every round which share of the work is done.

    Returns:
        Seconds: of each function a list for each round, with the calls of that round.

    Raises:
        ValueError: Not exactly one of `seconds` and `rounds`, or one that is not positive; no functions.
    """
    if (seconds is None) == (rounds is None) or (seconds if rounds is None else rounds) <= 0:  # type: ignore[operator]
        raise ValueError(f'seconds={seconds}, rounds={rounds}: give one of them, above 0')
    if not calls:
        raise ValueError('no functions to time')
    usual = [0.0] * len(calls)
    for index, call in enumerate(calls):
        for _ in range(max(warm_up, 1)):
            usual[index] = timed(call, clock)
    times: list[list[list[float]]] = [[] for _ in calls]
    begin, done, count = clock(), 0.0, 0
    while done < 1:
        for step in range(len(calls)):
            index = (count + step) % len(calls)
            times[index].append(turn(calls[index], usual[index], clock))
        count += 1
        if rounds is not None:
            done = count / rounds
        else:
            done = min(count / LEAST_ROUNDS, (clock() - begin) / (seconds * len(calls)))  # type: ignore[operator]
        note(min(done, 1.0))
    return times


def ratios(base: Measurement, other: Measurement) -> Quartiles:
    """How many times as many images per second as `base` the other one handled, round by round.

    Raises:
        ValueError: They were not measured in the same rounds.
    """
    if len(base.calls_s) != len(other.calls_s):
        raise ValueError(
            f'{base.case} has {len(base.calls_s)} rounds and {other.case} {len(other.calls_s)}: only models that were '
            'timed in turns are compared'
        )
    images = other.batch_size / base.batch_size
    pairs = zip(base.rounds_s, other.rounds_s, strict=True)
    return Quartiles.of([images * base_s / other_s for base_s, other_s in pairs])


def turn(call: Callable[[], object], usual_s: float, clock: Callable[[], float] = clock) -> list[float]:
    """Call a function for a while, as `time_in_turns` does in each round, and return the seconds of the timed calls.

    Args:
        call: Returns when its work is done.
        usual_s: About what it takes.
        clock: Seconds.
    """
    if usual_s > SLOW_S:
        return [timed(call, clock)]
    call()
    times: list[float] = []
    while sum(times) < BURST_S:
        times.append(timed(call, clock))
    return times


def timed(call: Callable[[], object], clock: Callable[[], float] = clock) -> float:
    """Seconds of one call."""
    begin = clock()
    call()
    return clock() - begin
