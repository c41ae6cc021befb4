import math
from functools import partial

import numpy as np
import pytest

from projects.architecture_search.latency import check
from projects.architecture_search.latency import table as tables
from projects.architecture_search.latency.check import AGAIN, MACS, TABLE, Errors, check_predictions
from projects.architecture_search.latency.fit import fit_line
from projects.architecture_search.latency.measure import Conditions, Latency, LatencyMeter
from projects.architecture_search.latency.parts import maps_of, parts_of
from projects.architecture_search.latency.table import BlockTable, draw_points, trained_choices
from projects.deployment.benchmark.timing import Quartiles
from tests.architecture_search.latency_space import SIZE, config_of, small_space

CALL_MS = 0.5  # what every call takes
SLOPE, WIDTH_SLOPE, CONSTANT = 1.25, 1e-5, {4: 20.0, 8: 5.0}  # of whole networks


def part_ms(part):
    """A time for each part, which nothing but the part determines."""
    return 0.1 + sum(map(ord, f'{part.kind}{part.what}')) % 7 + part.dims[0] * part.dims[1] * part.size[0] / 1e4


def latency(ms):
    return Latency(Quartiles(ms, ms, ms))


def small_network_ms(network):
    """Times of whole small networks: with an entrance that depends on the map."""
    entrance = 0.0 if network.part.kind == 'stem' else 0.3 + network.part.size[1] / 10
    return CALL_MS + entrance + network.count * part_ms(network.part)


def network_ms(point):
    parts = sum(count * part_ms(part) for part, count in parts_of(point, SIZE).items())
    widths = sum(channels * height * width for channels, (height, width) in maps_of(point, SIZE))
    return SLOPE * (CALL_MS + parts) + WIDTH_SLOPE * widths + CONSTANT[point['stem_stride']]


class PretendedMeter(LatencyMeter):
    """Measures without a clock."""

    def _time(self, group, folder):
        return [latency(network_ms(point)) for _, point in group]


@pytest.fixture
def measured(monkeypatch):
    """Small networks that were timed."""
    networks = []

    def time_written(self, writers):
        found = [writer.func.__self__ for writer in writers]
        networks.extend(found)
        return [latency(small_network_ms(network)) for network in found]

    monkeypatch.setattr(LatencyMeter, 'time_written', time_written)
    return networks


def table_of(tmp_path, space=None):
    space = space or small_space()
    meter = PretendedMeter(partial(config_of, space), Conditions('onnxruntime', SIZE), tmp_path)
    return BlockTable(space, meter)


def test_costs_that_add_up_are_recovered(tmp_path, measured):
    table = table_of(tmp_path)
    points = [table.space.at(index) for index in range(0, len(table.space), 37)]
    np.testing.assert_allclose(table.predict(points), [network_ms(point) for point in points], rtol=1e-6)


def test_entries_are_measured_once_and_by_those_who_need_them(tmp_path, measured):
    table = table_of(tmp_path)
    point = table.space.extreme(largest=False)
    table.measure_parts([point])
    # a stem; three downsamplings, each with a network without it; a block of each stage, of two depths
    assert len(measured) == len({*measured}) == 1 + 3 * 2 + 4 * 2
    table.measure_parts([point, {**point, 'depth1': 2, 'depth3': 3}])
    assert len(measured) == 15
    table_of(tmp_path).measure_parts([point])  # after it was killed
    assert len(measured) == 15
    table.measure_parts([{**point, 'mixer2': 'window'}])
    assert len(measured) == 17


def test_what_was_measured_before_a_kill_is_kept(tmp_path, measured, monkeypatch):
    table = table_of(tmp_path)
    whole, count = LatencyMeter.time_written, 0

    def killed(self, writers):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return whole(self, writers)

    monkeypatch.setattr(LatencyMeter, 'time_written', killed)
    with pytest.raises(KeyboardInterrupt):
        table.measure_parts([table.space.extreme(largest=False)])
    entries = table_of(tmp_path).meter.journal.entries
    assert len(entries) == tables.PARTS_AT_ONCE


def test_noise_does_not_make_a_part_cheaper_than_nothing(tmp_path, measured, monkeypatch):
    monkeypatch.setattr(
        LatencyMeter, 'time_written', lambda self, writers: [latency(1.0 + i) for i in range(len(writers))]
    )
    table = table_of(tmp_path)
    table.measure_parts([table.space.extreme(largest=False)])
    assert min(table.meter.journal.entries.values()) == 0


def test_networks_with_a_part_that_cannot_be_exported_meet_no_budget(tmp_path, measured, monkeypatch):
    whole = LatencyMeter.time_written

    def without_windows(self, writers):
        failure = Latency(None, 'ValueError: no windows')
        found = whole(self, writers)
        names = [writer.func.__self__.part.what for writer in writers]
        return [failure if name == 'window' else one for name, one in zip(names, found, strict=True)]

    monkeypatch.setattr(LatencyMeter, 'time_written', without_windows)
    table = table_of(tmp_path)
    plain = table.space.extreme(largest=False)
    windows = {**plain, 'mixer2': 'window'}
    predicted = table.predict([windows, plain])
    assert predicted[0] == math.inf
    assert predicted[1] == pytest.approx(network_ms(plain))


def test_a_precision_in_which_nothing_runs_is_refused_with_the_reason(tmp_path, measured):
    class Failing(PretendedMeter):
        def _time(self, group, folder):
            return [Latency(None, 'ValueError: no such precision')] * len(group)

    space = small_space(precisions=('bf16',))
    meter = Failing(partial(config_of, space), Conditions('onnxruntime', SIZE), tmp_path)
    with pytest.raises(ValueError, match='none of 14 networks runs in bf16; the first: ValueError: no such precision'):
        BlockTable(space, meter).predict([space.extreme(largest=False)])
    assert not measured


def test_the_fit_sees_every_map_size(tmp_path):
    table = table_of(tmp_path, small_space(image_scales=(0.5, 0.75, 1.0)))
    points = table.fitted_points('fp32')
    cells = [(point['image_scale'], point['stem_stride']) for point in points]
    assert len(points) == 18
    assert min(cells.count(cell) for cell in cells) == max(cells.count(cell) for cell in cells) == 3
    assert points == table.fitted_points('fp32')


def test_different_networks_are_drawn_until_there_are_none():
    space = small_space()
    everything = [space.at(index) for index in range(len(space))]
    left = everything[:2]
    drawn = draw_points(space, 1, left, np.random.default_rng(0), besides=everything[2:])
    assert drawn == left[:1]
    assert draw_points(space, 5, [{}], np.random.default_rng(0), besides=everything) == []


def test_lines_by_hand():
    np.testing.assert_allclose(fit_line([[1, 1], [2, 1], [5, 1]], [5, 7, 13]), [2, 3])
    # a falling line is refused: a constant of least relative errors is left, sum(1/y) / sum(1/y²)
    np.testing.assert_allclose(fit_line([[0, 1], [1, 1]], [2, 1]), [0, 1.2], atol=1e-12)
    # with a slope of at least 1/2, the constant c of least (c - 1.5)² / 4 + c²
    slope, constant = fit_line([[1, 1], [2, 1]], [2, 1], least=[0.5, 0])
    assert (slope, constant) == pytest.approx((0.5, 0.3))
    with pytest.raises(ValueError, match='no values'):
        fit_line([], [])


def test_a_busy_machine_does_not_hide_which_network_is_faster(tmp_path, measured):
    generator = np.random.default_rng(0)

    class Busy(PretendedMeter):
        def _time(self, group, folder):
            return [latency(generator.uniform(20, 40)) for _ in group]

    space = small_space(stem_strides=(8,))
    table = BlockTable(space, Busy(partial(config_of, space), Conditions('onnxruntime', SIZE), tmp_path))
    points = [space.at(index) for index in range(0, len(space), 37)]
    predicted, exact = table.predict(points), [network_ms(point) for point in points]
    assert Errors.of(predicted, exact).tau > 0.95


def test_errors_by_hand():
    # of six pairs five are in order: (5 - 1) / 6
    errors = Errors.of([11, 20, 45, 30], [10, 20, 30, 40])
    assert errors.mean == pytest.approx((0.1 + 0 + 0.5 + 0.25) / 4)
    assert errors.largest == pytest.approx(0.5)
    assert errors.tau == pytest.approx(2 / 3)


def test_predictions_are_checked_on_networks_that_nothing_was_fitted_to(tmp_path, measured, monkeypatch):
    table = table_of(tmp_path)
    fitted = {trained_choices(point) for point in table.fitted_points('fp32')}
    asked = []
    monkeypatch.setattr(
        PretendedMeter, 'measure_again', lambda self, points, folder: asked.extend(points) or self.measure(points)
    )
    monkeypatch.setattr(check, 'multiply_adds', lambda cfg, size: 7)
    found = check_predictions(table, 'fp32', number=10)
    assert len({trained_choices(point) for point in asked} - fitted) == len(asked) == 10
    assert found.errors[TABLE].mean < 1e-6
    assert found.errors[TABLE].tau == pytest.approx(1)
    assert (found.errors[AGAIN].mean, found.errors[AGAIN].tau) == pytest.approx((0, 1))
    assert found.errors[MACS].mean > 0.05
    assert found.passed
    assert [row[0] for row in found.table().rows] == [TABLE, MACS, AGAIN]
    assert found.measured_ms == pytest.approx([network_ms(point) for point in asked])
