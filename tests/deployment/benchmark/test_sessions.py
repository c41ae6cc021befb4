import functools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from projects.command_line import PRECISIONS, TORCH_RUNTIMES
from projects.deployment.benchmark import peak_memory
from projects.deployment.benchmark.networks import TensorsOut
from projects.deployment.benchmark.run import Settings
from projects.deployment.benchmark.sessions import cases_of, file_of, open_case, opener
from projects.deployment.benchmark.subjects import Subject, network_subject
from projects.deployment.benchmark.timing import Case
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms


@pytest.fixture
def subject():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4))
    return network_subject('timm:small/one', TensorsOut(layers), (32, 48), fold_batch_norms)


def first(outputs):
    """The first output of any runtime, as an array."""
    output = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
    return np.asarray(output)


@pytest.mark.parametrize('runtime', ['eager', 'traced', 'onnxruntime', 'openvino'])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_every_runtime_predicts_the_same(subject, tmp_path, runtime, batch_size):
    call = open_case(subject, Case(subject.name, runtime, 'fp32'), batch_size, tmp_path, threads=1)
    expected = subject.network(torch.from_numpy(subject.images(batch_size)))[0].numpy()
    assert first(call()).shape == (batch_size, 4, 30, 46)
    np.testing.assert_allclose(first(call()), expected, rtol=1e-4, atol=1e-4)


def test_channels_last_and_lower_precision_change_little(subject, tmp_path):
    expected = subject.network(torch.from_numpy(subject.images(1)))[0].numpy()
    case = Case(subject.name, 'eager', 'bf16')
    outputs = open_case(subject, case, 1, tmp_path, threads=1, channels_last=True)()
    assert outputs[0].dtype == torch.bfloat16
    assert outputs[0].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(outputs[0].float().numpy(), expected, atol=0.1)


def test_networks_are_exported_once_for_each_batch_size(subject, tmp_path):
    path = file_of(subject, 2, tmp_path)
    written = path.stat().st_mtime_ns
    assert file_of(subject, 2, tmp_path) == path
    assert path.stat().st_mtime_ns == written
    assert file_of(subject, 1, tmp_path) != path
    assert len([*tmp_path.iterdir()]) == 2


def test_a_file_is_run_as_it_is(subject, tmp_path):
    file = Subject('file', (32, 48), file=file_of(subject, 1, tmp_path))
    case = Case('file', 'onnxruntime', 'file')
    expected = subject.network(torch.from_numpy(subject.images(1)))[0].numpy()
    np.testing.assert_allclose(first(open_case(file, case, 1, tmp_path, threads=1)()), expected, rtol=1e-4, atol=1e-4)


def test_cases_that_cannot_run_say_why(subject, tmp_path):
    cases, reasons = cases_of(
        subject, ['eager', 'cudagraphs', 'onnxruntime', 'openvino'], ['fp32', 'bf16', 'fp16'], 'cpu'
    )
    assert [f'{case.runtime} {case.precision}' for case in cases] == [
        'eager fp32',
        'eager bf16',
        'onnxruntime fp32',
        'openvino fp32',
        'openvino bf16',
    ]
    assert reasons['timm:small/one, eager fp16'] == 'processors compute in fp32 or bf16'
    assert reasons['timm:small/one, cudagraphs fp32'] == 'CUDA graphs need --device cuda'
    assert 'what the file says' in reasons['timm:small/one, onnxruntime bf16']
    assert len(reasons) == 12 - 5

    onnx = Subject('a.onnx', (32, 48), file=tmp_path / 'a.onnx')
    assert cases_of(onnx, ['eager', 'onnxruntime', 'openvino'], [], 'cpu')[0] == [
        Case('a.onnx', 'onnxruntime', 'file'),
        Case('a.onnx', 'openvino', 'file'),
    ]
    xml = Subject('a.xml', (32, 48), file=tmp_path / 'a.xml')
    assert [case.runtime for case in cases_of(xml, ['eager', 'onnxruntime', 'openvino'], [], 'cpu')[0]] == ['openvino']
    on_gpu, _ = cases_of(subject, ['traced', 'cudagraphs', 'openvino'], ['fp16'], 'cuda')
    assert [case.runtime for case in on_gpu] == ['traced', 'cudagraphs']


def test_what_a_gpu_is_asked_for(subject, tmp_path):
    usual = Settings.usual('cuda')
    assert usual.channels_last
    assert Settings.usual('cpu') == Settings()
    cases, reasons = cases_of(subject, usual.runtimes, usual.precisions, usual.device)
    everything = [f'{runtime} {kind}' for runtime in TORCH_RUNTIMES for kind in PRECISIONS]
    assert [f'{case.runtime} {case.precision}' for case in cases] == [*everything, 'onnxruntime fp32']
    assert len(reasons) == 2
    file = Subject('a.onnx', (32, 48), file=tmp_path / 'a.onnx')
    assert cases_of(file, usual.runtimes, usual.precisions, usual.device)[0] == [Case('a.onnx', 'onnxruntime', 'file')]


def test_peak_memory_is_what_an_opened_model_and_its_calls_add():
    allocate = functools.partial(np.ones, 5 * 10**7, np.uint8)  # 50 MB with each call, which are given back
    assert peak_memory.peak_memory_mb(functools.partial(functools.partial, allocate)) == pytest.approx(50, abs=10)
    assert peak_memory.peak_memory_mb(functools.partial(NeedsMuchToOpen, 5 * 10**7)) == pytest.approx(0, abs=10)
    with pytest.raises(RuntimeError, match=r"ValueError: .*'no such model'"):
        peak_memory.peak_memory_mb(functools.partial(int, 'no such model'))


class NeedsMuchToOpen:
    """A model whose opening takes some bytes for a while."""

    def __init__(self, size):
        assert np.ones(size, np.uint8).all()

    def __call__(self):
        return None


def test_another_process_opens_a_session_without_the_export(subject, tmp_path):
    open_call, libraries = opener(subject, Case(subject.name, 'onnxruntime', 'fp32'), tmp_path, 1)
    assert libraries == ('projects.deployment.runtimes.onnxruntime_session',)
    reopened = pickle.loads(pickle.dumps(open_call))
    subject.network = None
    assert first(reopened()()).shape == (1, 4, 30, 46)
