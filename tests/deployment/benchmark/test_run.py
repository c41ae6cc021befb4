import json
import os

import pytest
import torch
from torch import nn

from projects.deployment.benchmark import run as benchmark_run
from projects.deployment.benchmark.networks import TensorsOut
from projects.deployment.benchmark.results import Results
from projects.deployment.benchmark.run import Settings, question_of, run_benchmark
from projects.deployment.benchmark.subjects import network_subject

SETTINGS = Settings(('eager', 'onnxruntime'), batch_sizes=(1, 2), threads=(1,), rounds=2, memory=False)


def small(name, channels=4):
    return network_subject(
        name, TensorsOut(nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels))), (16, 16)
    )


def quiet(doing, done):
    assert 0 <= done <= 1


@pytest.fixture
def subjects():
    torch.manual_seed(0)
    return [small('a'), small('b', 8)]


@pytest.fixture(autouse=True)
def quick_ceiling(monkeypatch):
    rates = {'fp32': 100.0, 'bf16': 200.0}
    monkeypatch.setattr(benchmark_run, 'measure_ceiling', lambda precision, device: rates[precision])
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def results_in(folder, settings=SETTINGS):
    return Results(folder / 'results.json', question_of(['a', 'b'], (16, 16), settings))


def test_all_cases_are_timed_at_all_batch_sizes_in_the_same_rounds(subjects, tmp_path):
    results = results_in(tmp_path)
    run_benchmark(subjects, SETTINGS, results, quiet)
    data = json.loads((tmp_path / 'results.json').read_text())
    assert list(data['measurements']) == ['1 threads, batch 1', '1 threads, batch 2']
    found = results.measurements()
    assert [f'{one.case.subject} {one.case.runtime} {one.batch_size}' for one in found] == [
        'a eager 1',
        'a onnxruntime 1',
        'b eager 1',
        'b onnxruntime 1',
        'a eager 2',
        'a onnxruntime 2',
        'b eager 2',
        'b onnxruntime 2',
    ]
    assert all(len(one.calls_s) == 2 and all(second > 0 for calls in one.calls_s for second in calls) for one in found)
    assert data['subjects']['b'] == {'size': [16, 16], 'params': 3 * 8 * 9 + 8 + 16, 'macs': 3 * 8 * 9 * 14 * 14}
    assert data['ceilings'] == {'1': {'fp32': 100, 'bf16': 200}}
    assert {'processor', 'cores', 'versions'} <= data['machine'].keys()
    assert data['left_out'] == {}
    assert [path.name for path in tmp_path.iterdir()] == ['results.json']


def test_an_interrupted_run_continues(subjects, tmp_path, monkeypatch):
    measured = []

    def measure(subjects, settings, batch_size, *rest):
        measured.append(batch_size)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(benchmark_run, 'measure', measure)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(subjects, SETTINGS, results_in(tmp_path), quiet)
    run_benchmark(subjects, SETTINGS, results_in(tmp_path), quiet)
    assert measured == [1, 2, 2]
    run_benchmark(subjects, SETTINGS, results_in(tmp_path), quiet)
    assert measured == [1, 2, 2]


def test_another_question_begins_anew(tmp_path):
    results = results_in(tmp_path)
    results.add('step', [])
    assert results_in(tmp_path).has('step')
    other = Settings(('eager', 'onnxruntime'), batch_sizes=(1, 2), threads=(2,), rounds=2, memory=False)
    assert not results_in(tmp_path, other).has('step')


def test_a_case_that_fails_is_left_out_with_its_reason(subjects, tmp_path):
    class Moody(nn.Module):
        def forward(self, images):
            if len(images) > 1 and torch.is_inference_mode_enabled():
                raise RuntimeError('one image\nat a time')
            return images.mean((2, 3))

    settings = Settings(('eager', 'traced'), batch_sizes=(2,), rounds=1, memory=False)
    results = results_in(tmp_path, settings)
    run_benchmark([small('a'), network_subject('moody', TensorsOut(Moody()), (16, 16))], settings, results, quiet)
    assert results.data['left_out'] == {
        'moody, eager fp32, batch 2': 'RuntimeError: one image at a time',
    }
    assert [str(one.case) for one in results.measurements()] == [
        'a, eager fp32',
        'a, traced fp32',
        'moody, traced fp32',
    ]


def test_nothing_to_time_and_equal_names_are_refused(subjects, tmp_path):
    settings = Settings(('cudagraphs',), batch_sizes=(1,), rounds=1, memory=False)
    with pytest.raises(ValueError, match=r'nothing to time; .*CUDA graphs need'):
        run_benchmark(subjects, settings, results_in(tmp_path, settings), quiet)
    with pytest.raises(ValueError, match='a, a: every model once'):
        run_benchmark([subjects[0], subjects[0]], SETTINGS, results_in(tmp_path), quiet)


def test_memory_is_measured_once_for_each_case(subjects, tmp_path, monkeypatch):
    asked = []

    def peak(open_call, libraries):
        asked.append(libraries)
        if len(asked) == 2:
            raise RuntimeError('no memory')
        return 12.0

    monkeypatch.setattr(benchmark_run, 'peak_memory_mb', peak)
    settings = Settings(('eager', 'onnxruntime'), batch_sizes=(1,), rounds=1)
    run_benchmark(subjects, settings, results_in(tmp_path, settings), quiet)
    results = results_in(tmp_path, settings)
    assert results.data['memory_mb'] == {'a, eager fp32': 12, 'b, eager fp32': 12, 'b, onnxruntime fp32': 12}
    assert results.data['left_out'] == {'memory of a, onnxruntime fp32': 'RuntimeError: no memory'}
    assert len(asked) == 4


def test_a_file_that_was_written_anew_is_measured_anew(tmp_path):
    file = tmp_path / 'a.onnx'
    asked = []
    for second in (1, 1, 2):
        file.touch()
        os.utime(file, (second, second))
        asked.append(question_of([str(file), f'config.py@{file}', 'timm:test_vit'], (32, 32), Settings()))
    assert asked[0] == asked[1] != asked[2]
