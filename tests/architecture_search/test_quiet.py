import numpy as np
import pytest

from projects.architecture_search.latency import quiet
from projects.architecture_search.latency.quiet import Turns, time_in_quiet, usual_seconds


class Machine:
    """A clock that calls put forward; now and then something slows them down, networks more than the gauge."""

    def __init__(self, busy, gauge_slower=1.6, networks_slower=2.2):
        self.now, self.calls = 0.0, 0
        self.busy, self.slower = busy, {'gauge': gauge_slower, 'network': networks_slower}

    def call(self, kind, seconds):
        def run():
            self.calls += 1
            self.now += seconds * (self.slower[kind] if self.busy(self.now) else 1.0)

        return run

    def clock(self):
        return self.now


USUAL_S = 0.004


def time_on(machine, seconds, rounds=5):
    calls = [machine.call('network', one) for one in seconds]
    return time_in_quiet(calls, machine.call('gauge', USUAL_S), USUAL_S, rounds, machine.clock)


def busy_half_of_the_time(now):
    return int(now / 0.7) % 2 == 0


def test_what_disturbs_for_half_of_the_time_changes_no_latency():
    seconds = [0.005, 0.013, 0.3]
    for turns, one in zip(time_on(Machine(busy_half_of_the_time), seconds), seconds, strict=True):
        assert turns.num_quiet(USUAL_S) >= 5
        assert turns.quartiles_ms(5, USUAL_S) == pytest.approx((1e3 * one,) * 3)


def test_a_machine_that_slows_down_by_a_little_is_put_right_by_the_gauge():
    machine = Machine(lambda now: now > 1, gauge_slower=1.08, networks_slower=1.08)
    (turns,) = time_on(machine, [0.05], rounds=20)
    assert turns.quartiles_ms(20, USUAL_S) == pytest.approx((50,) * 3)


def test_patience_ends_and_the_least_disturbed_turns_count(monkeypatch):
    monkeypatch.setattr(quiet, 'PATIENCE_S', 0.01)
    machine = Machine(lambda now: True, gauge_slower=2.0, networks_slower=2.0)
    (turns,) = time_on(machine, [0.01], rounds=3)
    assert turns.num_quiet(USUAL_S) == 0
    assert turns.quartiles_ms(3, USUAL_S) == pytest.approx((10,) * 3)


def test_without_disturbance_there_are_no_more_rounds_than_asked_for():
    turns, _ = time_on(Machine(lambda now: False), [0.01, 0.02], rounds=4)
    assert len(turns.call_s) == 4


def test_quartiles_are_of_the_least_disturbed_turns():
    turns = Turns()
    for call_s, before_s, after_s in [(1.0, 1.0, 1.0), (3.0, 2.0, 2.0), (1.1, 1.0, 1.1), (9.0, 1.0, 3.0)]:
        turns.add(call_s, before_s, after_s)
    assert turns.num_quiet(1.0) == 2
    low, median, high = turns.quartiles_ms(3, 1.0)
    # 1 / 1, 1.1 / 1.05 and 3 / 2, in ms
    assert (low, median, high) == pytest.approx(np.quantile([1000, 1100 / 1.05, 1500], (0.25, 0.5, 0.75)))


def test_a_gauge_that_is_disturbed_most_of_the_time_is_seen_undisturbed(monkeypatch):
    machine = Machine(lambda now: int(now / 0.1) % 4 != 0, gauge_slower=3.0)
    monkeypatch.setattr(quiet.time, 'monotonic', machine.clock)
    monkeypatch.setattr(quiet.time, 'sleep', lambda seconds: setattr(machine, 'now', machine.now + seconds))
    assert usual_seconds(machine.call('gauge', USUAL_S), 3, machine.clock) == pytest.approx(USUAL_S)
