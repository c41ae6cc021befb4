import json

import pytest

from projects.deployment.benchmark.timing import LEAST_ROUNDS, Case, Measurement, Quartiles, ratios, time_in_turns


class Machine:
    """A clock that stands still but for the work of its functions; the order of their calls."""

    def __init__(self):
        self.now, self.order = 100.0, []

    def clock(self):
        return self.now

    def work(self, name, *durations):
        """A function that takes its durations in turn."""
        calls = iter(range(10**6))

        def call():
            self.order.append(name)
            self.now += durations[next(calls) % len(durations)]

        return call


@pytest.fixture
def machine():
    return Machine()


def measurement(*rounds, name='a', batch_size=1, threads=1):
    return Measurement(Case(name, 'eager', 'fp32'), batch_size, threads, [list(calls) for calls in rounds])


def test_every_round_begins_with_another_function(machine):
    calls = [machine.work(name, 0.125) for name in 'abc']
    times = time_in_turns(calls, rounds=4, warm_up=1, clock=machine.clock)
    assert ''.join(machine.order) == 'abc' + 'aabbcc' + 'bbccaa' + 'ccaabb' + 'aabbcc'
    assert times == [[[0.125]] * 4] * 3


def test_short_calls_are_repeated_and_the_first_of_a_turn_does_not_count(machine):
    quick = machine.work('a', 1.0, 1 / 128, 1 / 128, 1 / 128)  # after the warm-up: 1 s untimed, then 3 timed
    (times,) = time_in_turns([quick], rounds=2, warm_up=4, clock=machine.clock)
    assert times == [[1 / 128] * 3] * 2


def test_slow_calls_are_made_once_a_round_and_all_count(machine):
    times = time_in_turns([machine.work('a', 0.5), machine.work('b', 0.125)], rounds=3, clock=machine.clock)
    assert machine.order.count('a') == 2 + 3
    assert machine.order.count('b') == 2 + 6
    assert times == [[[0.5]] * 3, [[0.125]] * 3]


def test_rounds_go_on_until_each_function_had_its_seconds(machine):
    notes = []
    calls = [machine.work('a', 0.25), machine.work('b', 0.25)]
    times = time_in_turns(calls, seconds=3, clock=machine.clock, note=notes.append)
    assert len(times[0]) == len(times[1]) == 12
    assert notes == pytest.approx([number / 12 for number in range(1, 13)])
    assert len(time_in_turns(calls, seconds=0.01, clock=machine.clock)[0]) == LEAST_ROUNDS


@pytest.mark.parametrize('length', [{}, {'seconds': 1, 'rounds': 1}, {'seconds': 0}, {'rounds': 0}, {'rounds': -1}])
def test_a_length_that_says_nothing_is_refused(machine, length):
    with pytest.raises(ValueError, match='give one of them, above 0'):
        time_in_turns([machine.work('a', 1.0)], clock=machine.clock, **length)


def test_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match='no functions'):
        time_in_turns([], rounds=1)


def test_what_slows_all_down_leaves_the_ratio(machine):
    """Round by round the machine becomes slower: medians of times suffer, those of ratios do not."""
    slowness = [1.0, 1.0, 2.0, 4.0, 8.0]
    calls = [machine.work('a', *(0.5 * one for one in slowness)), machine.work('b', *(0.25 * one for one in slowness))]
    slow, quick = time_in_turns(calls, rounds=4, warm_up=1, clock=machine.clock)
    assert ratios(measurement(*slow), measurement(*quick)) == (2, 2, 2)
    assert measurement(*slow).latency_ms.high > 1.5 * measurement(*slow).latency_ms.median


def test_quartiles_by_hand():
    assert Quartiles.of([4, 1, 3, 2]) == (1.75, 2.5, 3.25)
    assert Quartiles.of([7]) == (7, 7, 7)


def test_a_round_counts_by_its_median_call():
    measured = measurement([1, 2, 9], [2, 4, 100], [3, 3], batch_size=6)
    assert measured.rounds_s == [2, 4, 3]
    assert measured.latency_ms == (2500, 3000, 3500)
    assert measured.throughput == 2


def test_a_ratio_is_that_of_images_per_second_in_the_same_round():
    base, other = measurement([4], [6], [8]), measurement([2], [2], [8], name='b', batch_size=2)
    assert ratios(base, other) == (3, 4, 5)  # of 2 * (2, 3, 1)
    assert ratios(base, base) == (1, 1, 1)
    with pytest.raises(ValueError, match='b, eager fp32 2: only models that were timed in turns'):
        ratios(base, measurement([1], [1], name='b'))


def test_measurements_survive_json():
    measured = measurement([0.25, 0.5], [1.0], batch_size=4, threads=2)
    assert Measurement.from_json(json.loads(json.dumps(measured.as_json()))) == measured
