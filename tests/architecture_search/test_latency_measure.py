import json
import math
from functools import partial

import numpy as np
import pytest

from projects.architecture_search.latency import measure as measuring
from projects.architecture_search.latency.graphs import graph_file
from projects.architecture_search.latency.measure import FILE, GAUGE_NAME, Conditions, Latency, LatencyMeter
from projects.deployment.benchmark.timing import Quartiles
from projects.deployment.predictor import open_predictor
from projects.training.config import load_config
from tests.architecture_search.latency_space import SIZE, config_of, small_space
from tests.narrow import TWO_STAGE

pytestmark = pytest.mark.usefixtures('impatient')
SMALLEST = small_space().extreme(largest=False)


def meter_of(tmp_path, space=None, **options):
    conditions = Conditions(**{'runtime': 'onnxruntime', 'image_size': SIZE, 'cpu_time': True, 'rounds': 1, **options})
    return LatencyMeter(partial(config_of, space or small_space()), conditions, tmp_path)


@pytest.mark.parametrize(('runtime', 'suffix'), [('onnxruntime', '.onnx'), ('openvino', '.xml')])
def test_files_are_whole_networks_and_are_timed_together(tmp_path, runtime, suffix):
    space = small_space()
    points = [SMALLEST, space.extreme(largest=True)]
    files = [
        graph_file(config_of(space, point), tmp_path / f'{index}{suffix}', 'fp32', SIZE)
        for index, point in enumerate(points)
    ]
    for file in files:
        (prediction,) = open_predictor(file)(np.zeros((1, *SIZE, 3), np.uint8))
        assert prediction.labels.shape == SIZE
    meter = LatencyMeter(partial(config_of, space), Conditions(runtime, SIZE, rounds=2), tmp_path)
    quartiles = [latency.quartiles_ms for latency in meter.time_files(files)]
    assert all(0 < one.low <= one.median <= one.high for one in quartiles)
    assert meter.journal.entries[GAUGE_NAME] > 0


def test_a_detector_finds_something_to_make_masks_of(tmp_path):
    cfg = load_config('configs/mixer_window_maskrcnn_coco.py', TWO_STAGE)
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.test_cfg.rcnn.max_per_img = 5
    path = graph_file(cfg, tmp_path / 'detector.onnx', 'fp32', SIZE)
    pixels = np.random.default_rng(0).integers(256, size=(1, *SIZE, 3), dtype=np.uint8)
    (detections,) = open_predictor(path)(pixels)
    assert len(detections.masks) == 5


def test_networks_are_measured_once_and_found_again(tmp_path, monkeypatch):
    meter = meter_of(tmp_path)
    other = {**SMALLEST, 'depth1': 2}
    first, second = meter.measure([SMALLEST, other])
    assert 0 < first.ms < math.inf
    assert 0 < second.ms < math.inf

    def refuse(*_):
        raise AssertionError('nothing is to be measured')

    monkeypatch.setattr(LatencyMeter, 'time_written', refuse)
    resumed = meter_of(tmp_path)
    assert resumed.measure([other, SMALLEST]) == [second, first]
    assert resumed.measured_ms(SMALLEST) == first.ms
    with pytest.raises(AssertionError):
        resumed.measured_ms({**SMALLEST, 'stem_stride': 4})
    with pytest.raises(AssertionError):
        meter_of(tmp_path, image_size=(64, 64)).measured_ms(SMALLEST)
    assert meter_of(tmp_path, rounds=3).measured_ms(SMALLEST) == first.ms


def test_a_network_that_cannot_be_exported_is_counted_with_its_reason(tmp_path):
    space = small_space(precisions=('fp32', 'bf16'))
    bfloat16 = {**SMALLEST, 'precision': 'bf16'}
    meter = meter_of(tmp_path, space)
    fine, failed = meter.measure([SMALLEST, bfloat16])
    assert fine.ms < math.inf
    assert failed.ms == math.inf
    assert 'ONNX Runtime computes no bfloat16' in failed.failure
    assert meter.failures() == {meter.name_of(bfloat16): failed.failure}
    assert meter_of(tmp_path, space).measure([bfloat16]) == [failed]


def test_a_network_that_does_not_fit_in_memory_is_counted_with_its_reason(tmp_path, monkeypatch):
    def without_memory(*_):
        raise MemoryError('4 TiB')

    monkeypatch.setattr(measuring, 'graph_file', without_memory)
    (failed,) = meter_of(tmp_path).measure([SMALLEST])
    assert failed == Latency(None, 'MemoryError: 4 TiB')


def test_networks_take_turns_in_groups(tmp_path, monkeypatch):
    groups = []

    def measured(self, writers):
        groups.append(len(writers))
        return [Latency(Quartiles(1.0, 2.0, 3.0))] * len(writers)

    monkeypatch.setattr(LatencyMeter, 'time_written', measured)
    monkeypatch.setattr(measuring, 'AT_ONCE', 3)
    space = small_space()
    points = [{**space.at(index)} for index in range(5)]
    meter = meter_of(tmp_path)
    assert [latency.ms for latency in meter.measure([*points, points[0]])] == [2.0] * 6
    assert groups == [3, 2]
    data = json.loads((tmp_path / FILE).read_text())
    (group,) = data['measured'].values()
    assert group['holds_for']['runtime'] == 'onnxruntime'
    assert len(group['entries']) == 5


def test_images_are_scaled_as_the_recipe_is():
    conditions = Conditions('openvino', (512, 683))
    assert conditions.size_of({'image_scale': 0.75}) == (384, 512)
    assert conditions.size_of({'image_scale': 1}) == (512, 683)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'runtime': 'eager'}, "runtime 'eager': expected one that runs files"),
        ({'runtime': 'openvino', 'threads': 2, 'cpu_time': True}, 'one thread, not on 2'),
    ],
)
def test_conditions_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Conditions(image_size=SIZE, **options)


@pytest.mark.parametrize('disturbed', [False, True])
def test_latencies_that_were_disturbed_are_named_and_stay_so(tmp_path, monkeypatch, logged, disturbed):
    quartiles = Quartiles(1.9, 2.0, 2.1)
    found = [Latency(quartiles, disturbed=disturbed), Latency(None, 'fails')]
    monkeypatch.setattr(LatencyMeter, 'time_written', lambda self, writers: found)
    points = [SMALLEST, {**SMALLEST, 'depth1': 2}]
    meter_of(tmp_path).measure(points)
    assert any('1 of 2 latencies were measured while' in message for message in logged) == disturbed
    assert meter_of(tmp_path).measure(points) == found


def test_a_machine_that_was_busy_when_it_was_first_looked_at_is_named(tmp_path, monkeypatch, logged):
    meter = meter_of(tmp_path)
    meter.journal.add({GAUGE_NAME: 1e4})
    assert not meter.measure([SMALLEST])[0].failure
    assert any('times as fast now as when its latencies were first measured' in message for message in logged)
