import itertools

import pytest

from projects.deployment.benchmark.chart import draw_chart, write_chart
from projects.deployment.benchmark.layers import layer_tables
from projects.deployment.benchmark.report import COLUMNS, markdown, rows_of, table_of
from projects.deployment.benchmark.results import Results
from projects.deployment.benchmark.run import Settings, question_of
from projects.deployment.benchmark.timing import Case, Measurement


def measured(subject, runtime, batch_size, *seconds, threads=1, precision='fp32'):
    return Measurement(Case(subject, runtime, precision), batch_size, threads, [[one] for one in seconds])


@pytest.fixture
def results(tmp_path):
    """A file and a network; the network is twice as fast in OpenVINO, and gains by larger batches."""
    results = Results(tmp_path / 'results.json', question_of(['net', 'a.onnx'], (32, 48), Settings()))
    results.data['subjects'] = {
        'net': {'size': [32, 48], 'params': 6_330_000, 'macs': 2 * 10**9},
        'a.onnx': {'size': [32, 48], 'params': None, 'macs': None},
    }
    results.data['ceilings'] = {'1': {'fp32': 80.0, 'bf16': 200.0}, '2': {'fp32': 160.0}}
    results.data['memory_mb'] = {'net, eager fp32': 123.4}
    results.data['left_out'] = {'net, compile fp32': 'no compiler'}
    results.add(
        '1 threads, batch 1',
        [
            measured('net', 'eager', 1, 0.2, 0.2, 0.2),
            measured('net', 'openvino', 1, 0.1, 0.1, 0.1, precision='bf16'),
            measured('a.onnx', 'onnxruntime', 1, 0.4, 0.4, 0.5, precision='file'),
        ],
    )
    results.add(
        '1 threads, batch 4',
        [
            measured('net', 'eager', 4, 1.0, 1.0, 1.0),
            measured('net', 'openvino', 4, 0.2, 0.2, 0.2, precision='bf16'),
        ],
    )
    results.add('2 threads, batch 1', [measured('net', 'eager', 1, 0.1, 0.1, 0.1, threads=2)])
    return results


def test_rows_by_hand(results):
    eager, openvino, file, two_threads = rows_of(results)
    assert (eager.best.batch_size, eager.best.throughput) == (1, 5)
    assert (openvino.best.batch_size, openvino.best.throughput) == (4, 20)
    assert eager.gflops == 2 * 2 * 5
    assert openvino.gflops == 2 * 2 * 20
    assert eager.speed == (1, 1, 1)
    assert openvino.speed == (2, 2, 2)
    assert file.speed == pytest.approx((0.45, 0.5, 0.5))
    assert two_threads.speed == (1, 1, 1)
    assert eager.cells() == [
        'net',
        '6.33',
        '2.00',
        'eager fp32',
        '1',
        '200 (200–200)',
        '5.00 (b1)',
        '20 (25%)',
        '123',
        '1.00 (1.00–1.00)',
    ]
    assert openvino.cells()[6:9] == ['20.0 (b4)', '80 (40%)', '–']
    assert file.cells()[1:9] == ['–', '–', 'onnxruntime file', '1', '400 (400–450)', '2.50 (b1)', '–', '–']
    assert two_threads.cells()[7] == '40 (25%)'


def test_markdown_says_where_how_and_what_is_missing(results):
    lines = markdown(results).splitlines()
    machine = results.data['machine']
    assert machine['processor'] in lines[0]
    assert f'torch {machine["versions"]["torch"]}' in lines[0]
    assert 'images of 32x48' in lines[0]
    assert '1 thread: fp32 80, bf16 200; 2 threads: fp32 160). MB' in lines[0]
    table = [line for line in lines if line.startswith('|')]
    assert len(table) == 2 + 4
    assert {line.count('|') for line in table} == {len(COLUMNS) + 1}
    assert lines[-1] == '- net, compile fp32: no compiler'


def test_the_terminal_has_the_same_rows(results):
    assert table_of(rows_of(results)).rich(grouped=True).row_count == 4


def test_no_texts_of_the_chart_overlap_or_leave_it(results):
    rows = [row for row in rows_of(results) for _ in range(3)]
    figure = draw_chart(rows, 'a machine')
    figure.canvas.draw()
    texts = [text for axes in figure.axes for text in axes.texts]
    assert len(texts) == 2 * len(rows)
    for axes in figure.axes:
        labels = [*axes.texts, *axes.get_yticklabels()]
        boxes = [text.get_window_extent() for text in labels if text.get_text() and text.get_visible()]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
    left, right = figure.axes
    assert max(text.get_window_extent().x1 for text in left.texts) < right.get_window_extent().x0


def test_bars_show_medians_and_quartiles(results):
    figure = draw_chart(rows_of(results), 'a machine')
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([200, 100, 400, 100])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([5, 20, 2.5, 10])
    assert [text.get_text() for text in right.texts][1] == '20.0 images/s, batch 4'


def test_the_chart_is_written_as_a_whole(results, tmp_path):
    write_chart(rows_of(results), 'a machine', tmp_path / 'chart.png')
    assert (tmp_path / 'chart.png').read_bytes().startswith(b'\x89PNG')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['chart.png', 'results.json']


def test_layers_by_hand(results):
    layers = [
        {'name': 'a', 'kind': 'Convolution', 'kernel': 'brgconv', 'precision': 'bf16', 'ms': 2.0, 'macs': 100_000_000},
        {'name': 'b', 'kind': 'FullyConnected', 'kernel': 'brgemm', 'precision': 'f32', 'ms': 5.0, 'macs': 50_000_000},
        {'name': 'c', 'kind': 'Reorder', 'kernel': 'jit', 'precision': 'bf16', 'ms': 3.0, 'macs': 0},
    ]
    results.data['layers'] = {'net, openvino bf16': {'batch_size': 1, 'threads': 2, 'layers': layers}}
    results.data['layer_ceilings'] = {'2': {'bf16': 200.0, 'f32': 80.0}}
    (table,) = layer_tables(results.data, 2)
    assert table.rows == [
        ['b', 'FullyConnected', 'brgemm', 'f32', '5.00', '50.0%', '20', '25%'],  # 0.1 GFLOP in 5 ms; 1.25 ms at 80
        ['c', 'Reorder', 'jit', 'bf16', '3.00', '30.0%', '–', '–'],
        ['1 others', '', '', '', '2.00', '20.0%', '100', '50%'],
        ['all 3', '', '', '', '10.0', '100.0%', '30', '22%'],  # 1.25 + 1 of 10 ms
    ]
    assert 'net, openvino bf16, batch 1, 2 threads' in table.caption
    assert 'bf16 200, f32 80' in table.caption
    assert '| b | FullyConnected |' in markdown(results, 2)
    assert 'FullyConnected' not in markdown(results)
