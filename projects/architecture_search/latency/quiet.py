"""Times of calls while nothing disturbs: a gauge, timed before and after each, tells how fast the machine is then.

What runs on the other half of a core makes a call take twice its time, for seconds or minutes, and of a rented machine
one does not see it. The median over rounds is then the time of whichever state was there more often.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from projects.deployment.benchmark.timing import Quartiles, timed, turn

QUIET = 1.12  # times of the gauge on an undisturbed machine, up to which one is undisturbed
USUAL = 0.1  # quantile of the gauge's times that are looked at first: as on an undisturbed machine, without its luck
PATIENCE_S = 1.0  # for each turn that a call is to have
PAUSE_S = 0.05  # where a whole round was disturbed: what disturbs may end
GAUGE_CALLS = 2  # the faster of which counts

Call = Callable[[], object]


@dataclass
class Turns:
    """Turns of a call: seconds of the median call in each, and of the gauge beside it.

    Attributes:
        call_s: Of the call.
        gauge_s: Mean of the gauge before and after.
        slowest_s: The slower of the two.
    """

    call_s: list[float] = field(default_factory=list)
    gauge_s: list[float] = field(default_factory=list)
    slowest_s: list[float] = field(default_factory=list)

    def add(self, call_s: float, before_s: float, after_s: float) -> None:
        """Add one."""
        self.call_s.append(call_s)
        self.gauge_s.append((before_s + after_s) / 2)
        self.slowest_s.append(max(before_s, after_s))

    def num_quiet(self, usual_s: float) -> int:
        """How many were undisturbed, if the gauge takes `usual_s` on an undisturbed machine."""
        return sum(slowest_s <= QUIET * usual_s for slowest_s in self.slowest_s)

    def quartiles_ms(self, number: int, usual_s: float) -> Quartiles:
        """Over the `number` least disturbed turns, in ms of a machine on which the gauge takes `usual_s`."""
        chosen = np.argsort(self.slowest_s, kind='stable')[: max(number, self.num_quiet(usual_s))]
        return Quartiles.of([1e3 * self.call_s[index] * usual_s / self.gauge_s[index] for index in chosen])


def time_in_quiet(
    calls: Sequence[Call], gauge: Call, usual_s: float, rounds: int, clock: Callable[[], float]
) -> list[Turns]:
    """Time functions in turns until each had enough undisturbed ones, or patience ends.

    Args:
        calls: Functions; each returns when its work is done.
        gauge: A function that always does the same.
        usual_s: What it takes on an undisturbed machine, see `usual_seconds`.
        rounds: Undisturbed turns of each.
        clock: Seconds.

    Returns:
        The turns of each.
    """
    call_s = [min(timed(call, clock) for _ in range(2)) for call in calls]
    all_turns = [Turns() for _ in calls]
    end = time.monotonic() + PATIENCE_S * rounds * len(calls)
    before_s = look_at(gauge, clock)
    while waiting := [index for index, turns in enumerate(all_turns) if turns.num_quiet(usual_s) < rounds]:
        if time.monotonic() > end and min(len(turns.call_s) for turns in all_turns) >= rounds:
            break
        quiet_before = sum(turns.num_quiet(usual_s) for turns in all_turns)
        for index in waiting:
            median_s = float(np.median(turn(calls[index], call_s[index], clock)))
            after_s = look_at(gauge, clock)
            all_turns[index].add(median_s, before_s, after_s)
            before_s = after_s
        if sum(turns.num_quiet(usual_s) for turns in all_turns) == quiet_before:
            time.sleep(PAUSE_S)
    return all_turns


def usual_seconds(gauge: Call, seconds: float, clock: Callable[[], float]) -> float:
    """Look at a gauge now and then for some seconds, and return what it takes while nothing disturbs, in seconds."""
    end, found = time.monotonic() + seconds, [look_at(gauge, clock)]
    while time.monotonic() < end:
        time.sleep(PAUSE_S)
        found.append(look_at(gauge, clock))
    return float(np.quantile(found, USUAL))


def look_at(gauge: Call, clock: Callable[[], float]) -> float:
    """Seconds of the gauge now."""
    return min(timed(gauge, clock) for _ in range(GAUGE_CALLS))
