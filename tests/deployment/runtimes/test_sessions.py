"""Sessions: results belong to the caller, threads do not disturb one another, and mistakes are said in words."""

import builtins
import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from projects.command_line import PRECISIONS, RUNTIMES, TIMED_RUNTIMES
from projects.deployment.predictor import open_predictor
from projects.deployment.runtimes import BY_SUFFIX, OPENED_BY
from projects.deployment.runtimes.descriptions import read_info
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import HINTS, OpenVINOSession, convert_onnx
from projects.deployment.runtimes.torch_session import DTYPES, TorchSession

SESSIONS = {'onnxruntime': OnnxRuntimeSession, 'openvino': OpenVINOSession}


class Sums(nn.Module):
    """Twice the image, and the sum of each."""

    output_names = ('double', 'sums')

    def forward(self, images):
        images = images.float()
        return images * 2, images.sum((1, 2, 3))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp('sums') / 'sums.onnx'
    example = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    names = {'input_names': ['images'], 'output_names': [*Sums.output_names]}
    torch.onnx.export(Sums(), (example,), path, dynamo=False, dynamic_axes={'images': {1: 'h', 2: 'w'}}, **names)
    return path


def images(value, side=4):
    return np.full((1, side, side, 3), value, np.uint8)


@pytest.mark.parametrize('runtime', ['eager', *SESSIONS])
def test_results_stay_as_they_are_in_the_next_call(runtime, file):
    session = TorchSession(Sums()) if runtime == 'eager' else SESSIONS[runtime](file, threads=1)
    first = session(images(1))
    session(images(7))
    assert (first['double'] == 2).all()
    assert first['sums'] == [48]


def test_signals_reach_a_process_that_closed_the_first_of_two_sessions_first(file):
    program = """
import os, signal, sys
from projects.deployment.runtimes.openvino_session import OpenVINOSession

signal.signal(signal.SIGUSR1, lambda *_: print('handled'))
first, second = OpenVINOSession(sys.argv[1]), OpenVINOSession(sys.argv[1])
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""
    arguments = [sys.executable, '-c', program, str(file)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'handled\n')


@pytest.mark.parametrize('runtime', ['eager', *SESSIONS])
def test_threads_call_one_session_at_the_same_time(runtime, file):
    session = TorchSession(Sums()) if runtime == 'eager' else SESSIONS[runtime](file, threads=1)

    def call(value):
        found = session(images(value, side=4 + 60 * (value % 2)))
        return (found['double'] == 2 * value).all() and found['sums'] == [found['double'].size * value]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(200)))


def test_waiting_sessions_leave_the_processor_to_others(file):
    options = OnnxRuntimeSession(file, threads=2).session.get_session_options()
    assert options.get_session_config_entry('session.force_spinning_stop') == '1'
    assert not OpenVINOSession(file, threads=1)._compiled.get_property('ENABLE_CPU_PINNING')


def test_files_that_no_runtime_reads(file, tmp_path):
    damaged = tmp_path / 'damaged.onnx'
    damaged.write_bytes(file.read_bytes()[:-20])
    for session in SESSIONS.values():
        with pytest.raises(ValueError, match=r'damaged\.onnx is'):
            session(damaged)
        with pytest.raises(FileNotFoundError, match=r'no file .*gone\.onnx'):
            session(tmp_path / 'gone.onnx')
    convert_onnx(file, tmp_path / 'model.xml', '{}', half_weights=False)
    text = (tmp_path / 'model.xml').read_text()
    (tmp_path / 'model.xml').write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r'model\.xml is damaged'):
        OpenVINOSession(tmp_path / 'model.xml')
    (tmp_path / 'model.bin').unlink()
    for read in OpenVINOSession, read_info:
        with pytest.raises(FileNotFoundError, match=r'its weights in model\.bin, which is missing'):
            read(tmp_path / 'model.xml')


def test_a_file_of_another_program_is_not_opened(file):
    with pytest.raises(ValueError, match='does not describe its classes and images; export it with'):
        open_predictor(file)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'precision': 'int8'}, "precision 'int8': expected fp32, bf16 or fp16; int8 is what files are exported in"),
        ({'threads': 0}, 'threads 0: expected 1 or more'),
        ({'runtime': 'tensorrt'}, 'runtime tensorrt and sums.onnx: eager runs .py'),
        ({'runtime': 'eager'}, 'runtime eager and sums.onnx: eager runs .py'),
        ({'runtime': 'openvino', 'device': 'cuda'}, "device 'cuda' with openvino"),
        ({'device': 'npu'}, "device 'npu' with onnxruntime"),
        ({'checkpoint': 'a.pth'}, 'sums.onnx holds its weights'),
    ],
)
def test_what_does_not_go_together(file, options, message):
    with pytest.raises(ValueError, match=message):
        open_predictor(file, **options)


def test_a_config_is_not_built_for_a_device_that_cannot_run_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='PyTorch finds no GPU here: use --device cpu'):
        open_predictor('gone.py', device='cuda')
    with pytest.raises(ValueError, match="precision 'fp16' on cpu"):
        open_predictor('gone.py', precision='fp16')


@pytest.mark.parametrize('library', ['onnxruntime', 'openvino'])
def test_a_library_that_is_not_installed_names_the_extra(library, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.split('.')[0] == library:
            raise ImportError(f'No module named {name!r}')
        return real(name, *rest)

    module = f'projects.deployment.runtimes.{library}_session'
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImportError, match=r"No module named .*needs the extra 'deploy': pip install -e '\.\[deploy\]'"):
        importlib.import_module(module)


def test_onnx_runtime_runs_no_graph_with_unknown_operators(tmp_path):
    graph = onnx.helper.make_graph([onnx.helper.make_node('Nonsense', [], ['y'])], 'g', [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / 'nonsense.onnx')
    with pytest.raises(ValueError, match='is no model that ONNX Runtime reads'):
        OnnxRuntimeSession(tmp_path / 'nonsense.onnx')


def test_tools_offer_the_runtimes_and_precisions_that_there_are():
    assert tuple(OPENED_BY) == RUNTIMES
    assert {*BY_SUFFIX.values()} <= {*RUNTIMES} < {*TIMED_RUNTIMES}
    assert tuple(DTYPES) == tuple(HINTS) == PRECISIONS
