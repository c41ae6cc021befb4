"""The command line, on two very small networks of timm."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from projects.deployment.benchmark import comparison
from projects.deployment.benchmark import run as benchmark_run
from projects.deployment.runtimes import openvino_layers
from projects.deployment.speed_claims import claims as speed_claims
from projects.deployment.speed_claims import run as speed_claims_run
from projects.deployment.speed_claims.rule import Claim, Network

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmark.py'


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool, in a project with a README of its own."""
    spec = importlib.util.spec_from_file_location('benchmark_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (tmp_path / 'README.md').write_text('Before.\n<!-- speed claims -->\n<!-- /speed claims -->\nAfter.\n')
    for module in (comparison, speed_claims_run):
        monkeypatch.setattr(module, 'import_networks', lambda: None)  # of all tests in this process
    monkeypatch.setattr(tool, 'PAGE', tmp_path / 'README.md')
    monkeypatch.setattr(benchmark_run, 'measure_ceiling', lambda *_: 100.0)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield tool
    torch.set_num_threads(threads)


def test_models_are_compared_and_all_results_written(tool, tmp_path, capsys, logged):
    command = ['timm:test_efficientnet', 'timm:test_byobnet', '--size', '64x96', '--runtime', 'eager', 'openvino']
    command += ['--batch-sizes', '1', '2', '--rounds', '2', '--no-memory']
    tool.main(command)
    printed = capsys.readouterr().out
    assert 'test_byobnet' in printed
    assert 'openvino fp32' in printed
    assert 'images of 64x96' in printed
    folder = tmp_path / 'work_dirs' / 'benchmark'
    assert sorted(path.name for path in folder.iterdir()) == ['chart.png', 'results.json', 'table.md']
    data = json.loads((folder / 'results.json').read_text())
    assert data['question']['subjects'] == command[:2]
    assert [len(one) for one in data['measurements'].values()] == [4, 4]
    assert (folder / 'table.md').read_text().count('\n| test_efficientnet |') == 2
    tool.main(command)
    assert json.loads((folder / 'results.json').read_text()) == data
    assert any('are kept; delete it to measure anew' in message for message in logged)


def test_claims_are_measured_and_written_into_the_readme(tool, tmp_path, monkeypatch, capsys):
    quick, steady = Network('Quick', 'timm:test_efficientnet', 64), Network('Steady', 'timm:test_byobnet', 64)
    for name in [*speed_claims.CLAIMS]:
        monkeypatch.delitem(speed_claims.CLAIMS, name)
    monkeypatch.setitem(speed_claims.CLAIMS, 'A', [Claim('A', 'abstract', quick, steady, {'CPU': 1e-6})])
    tool.main(['--claims', '--write', '--rounds', '1', '--runtime', 'eager', 'traced'])
    assert '| A: Quick @64 vs Steady @64, abstract, batch 1 | CPU 0.00 | ✗' not in capsys.readouterr().out
    readme = (tmp_path / 'README.md').read_text()
    assert readme.startswith('Before.\n<!-- speed claims -->\nMeasured by `tools/benchmark.py --claims` on ')
    assert '| A: Quick @64 vs Steady @64, abstract, batch 1 | CPU 0.00 | ✓ ' in readme
    assert 'TurboViT: 3.21 times lower latency' in readme
    assert readme.endswith('<!-- /speed claims -->\nAfter.\n')


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ([], 'name one SUBJECT at least, or --claims alone'),
        (['timm:a', '--claims'], 'name one SUBJECT at least, or --claims alone'),
        (['timm:a', '--write'], '--write belongs to --claims'),
        (['timm:a', '--size', '512'], "'512': expected HEIGHTxWIDTH"),
        (['timm:a', '--size', '0x4'], 'expected HEIGHTxWIDTH'),
        (['timm:a', '--threads', '0'], "'0': expected a whole number, 1 or more"),
        (['timm:a', '--runtime', 'tensorrt'], "invalid choice: 'tensorrt'"),
        (['timm:a', '--rounds', '2', '--seconds', '3'], 'not allowed with argument'),
    ],
)
def test_mistakes_on_the_command_line(tool, capsys, command, message):
    with pytest.raises(SystemExit) as stop:
        tool.main(command)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_model_ends_the_run_in_one_line(tool):
    with pytest.raises(SystemExit, match=r"^benchmark: timm .* has no model 'shvit_s9'"):
        tool.main(['timm:shvit_s9', '--rounds', '1'])
    with pytest.raises(SystemExit, match=r'^benchmark: no exported file gone\.onnx'):
        tool.main(['gone.onnx', '--rounds', '1'])


def test_layers_are_timed_beside_their_ceilings(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(openvino_layers, 'measure_layer_ceiling', lambda precision, threads: 1e6)
    command = ['timm:test_byobnet', '--size', '64x96', '--runtime', 'openvino', '--batch-sizes', '1', '--rounds', '1']
    tool.main([*command, '--no-memory', '--layers', '2'])
    data = json.loads((tmp_path / 'work_dirs/benchmark/results.json').read_text())
    (measured,) = data['layers'].values()
    macs = sum(layer['macs'] for layer in measured['layers'])
    assert macs == pytest.approx(data['subjects']['test_byobnet']['macs'], rel=0.01)
    assert data['layer_ceilings'] == {'1': {'f32': 1e6}}
    table = (tmp_path / 'work_dirs/benchmark/table.md').read_text()
    assert f'| {len(measured["layers"]) - 2} others |' in table
    assert 'Layers of test_byobnet, openvino fp32' in ' '.join(capsys.readouterr().out.split())
    for wrong in (['--runtime', 'eager'], ['--claims']):
        with pytest.raises(SystemExit):
            tool.parse_args([*(['timm:test_byobnet'] if wrong[0] == '--runtime' else []), *wrong, '--layers', '2'])


def test_a_gpu_that_is_not_there_is_told_in_one_line(tool, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit) as stopped:
        tool.main(['timm:test_byobnet', '--device', 'cuda'])
    assert stopped.value.code == 2
    assert 'PyTorch finds no GPU here: use --device cpu' in capsys.readouterr().err
