"""The command line, on two mixers and two sizes."""

import html
import importlib.util
import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch

from projects import sample_data
from projects.deployment.benchmark import comparison
from projects.deployment.benchmark import run as benchmark_run
from projects.sample_data import test_sets, use_sample
from projects.sample_data.test_sets import use_new_test_images

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location('compare_mixers_tool', ROOT / 'tools' / 'compare_mixers.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(comparison, 'import_networks', lambda: None)  # of all tests in this process
    monkeypatch.setattr(benchmark_run, 'measure_ceiling', lambda *_: 100.0)
    threads = torch.get_num_threads()
    yield tool
    torch.set_num_threads(threads)


def test_mixers_are_measured_and_reported(tool, tmp_path, capsys):
    folder = tmp_path / 'comparison'
    command = ['--mixers', 'softmax', 'convolution', '--tokens', '16', '64', '--kernels', 'eager', 'openvino']
    command += ['--channels', '32', '--seconds', '0.01', '--no-memory', '--cpu-time', '--work-dir', str(folder)]
    tool.main(command)
    assert 'report.html' in capsys.readouterr().out
    files = {path.name: path.read_text() for path in (folder / 'costs').iterdir()}
    assert set(files) == {f'{tokens}_{kernels}.json' for tokens in (16, 64) for kernels in ('eager', 'openvino')}
    costs = json.loads((folder / 'results.json').read_text())['costs']
    assert {(cost['mixer'], cost['tokens'], cost['kernels']) for cost in costs} == {
        (mixer, tokens, kernels)
        for mixer in ('softmax', 'convolution')
        for tokens in (16, 64)
        for kernels in ('eager', 'openvino')
    }
    assert all(cost['latency_ms']['median'] > 0 for cost in costs)
    assert 'of the time of the processor' in (folder / 'results.md').read_text()
    page = (folder / 'report.html').read_text()
    assert '<script' not in page
    assert set(re.findall(r'href="#(mixer-\w+)"', page)) == set(re.findall(r'<article id="([^"]+)"', page))
    assert not re.search(r'(?:href|src)="(?!#|data:image/png|https://arxiv\.org/)', page)  # so that it may be moved
    sources = re.findall(r'<summary>Source, <code>([^<]+)</code>.*?<pre>(.*?)</pre>', page, re.DOTALL)
    assert [Path(file).name for file, _ in sources] == ['softmax_attention.py', 'convolution.py']
    assert all(html.unescape(source) == (ROOT / file).read_text() for file, source in sources)
    assert page.count('data:image/png') == 4  # two classes, two mixers
    assert 'Nothing has been trained yet' in page

    tool.main(command)  # measures nothing again
    measured = {name: json.loads(text)['measurements'] for name, text in files.items()}
    again = {path.name: json.loads(path.read_text())['measurements'] for path in (folder / 'costs').iterdir()}
    assert again == measured
    (folder / 'report.html').unlink()
    tool.main(['--report-only', '--work-dir', str(folder)])
    assert (folder / 'report.html').read_text() == page

    kept = {path.name: path.read_text() for path in (folder / 'costs').iterdir()}
    for other, named in ((['--channels', '64'], 'channels: 32 before, 64 now'), (['--mixers', 'pool'], 'mixers: ')):
        with pytest.raises(SystemExit) as end:
            tool.main([*command, *other])  # the last one of an option counts
        assert f'holds another comparison ({named}' in str(end.value)
    assert {path.name: path.read_text() for path in (folder / 'costs').iterdir()} == kept


def test_networks_learn_and_are_compared(tool, tmp_path, monkeypatch):
    """A step each, on the smallest images: everything between the command and the page."""
    monkeypatch.setattr(sample_data, 'use_sample', partial(use_sample, root=tmp_path, tiny=True))
    monkeypatch.setattr(test_sets, 'use_new_test_images', partial(use_new_test_images, root=tmp_path))
    folder = tmp_path / 'comparison'
    command = ['--mixers', 'softmax', 'convolution', '--tokens', '16', '--kernels', 'eager', '--channels', '32']
    command += ['--seconds', '0.01', '--no-memory', '--learn', 'ade20k', '--seeds', '0', '--images', '2']
    command += ['--learn-mixers', 'convolution']
    tool.main([*command, '--work-dir', str(folder)])
    (learned,) = json.loads((folder / 'results.json').read_text())['learned']
    assert learned['mixer'] == 'convolution'
    assert 0 <= learned['scores']['0'] <= 100
    page = (folder / 'report.html').read_text()
    assert f'Semantic FPN on the twin of ADE20K, {learned["length"]} iteration' in page
    assert page.count('(1 seed') == 1
    (written,) = re.findall(r'<pre class="wrapped">tools/compare_mixers.py (.*)\n</pre>', page)
    again = tool.parse_args(shlex.split(written))
    assert again.learn_mixers == ['convolution']
    assert (again.seeds, again.images, again.length) == ([0], 2, learned['length'])


def test_errors_are_one_line(tool, tmp_path, capsys):
    for command, message in (
        (['--mixers', 'softmaks'], 'unknown softmaks'),
        (['--report-only'], 'run it without --report-only first'),
        (['--tokens', '1000'], 'expected squares'),
        (['--cpu-time', '--threads', '2'], 'measured on one of its threads'),
        (['--learn-mixers', 'pool'], '--learn-mixers trains only with --learn'),
        (
            ['--mixers', 'pool', '--learn', 'coco', '--learn-mixers', 'window'],
            '--learn-mixers has window; expected some of',
        ),
    ):
        with pytest.raises(SystemExit) as end:
            tool.main([*command, '--work-dir', str(tmp_path / 'none')])
        printed = str(end.value.code) + capsys.readouterr().err
        assert message in printed
