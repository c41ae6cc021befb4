import csv
import json

import pytest

from projects.building_extraction.network_ranking.ranking import (
    draw_ranking,
    rank_grid,
    ranking_csv,
    ranking_markdown,
    write_ranking,
)
from projects.building_extraction.transfer_study.results import read_results


def combination(encoder, decoder='Unet', loss='dice', optimizer='Adam', seed=0):
    return {'encoder': encoder, 'decoder': decoder, 'loss': loss, 'optimizer': optimizer, 'seed': seed}


@pytest.fixture
def grid(tmp_path):
    """Three combinations, one of them with two seeds; a fourth failed and a fifth has not run."""
    combinations = {
        'a': (combination('lcnet_050'), 70.0),
        'b': (combination('resnet18', decoder='FPN'), 80.0),
        'c0': (combination('tinynet_a'), 74.0),
        'c1': (combination('tinynet_a', seed=1), 78.0),
        'd': (combination('mobileone_s0'), None),
        'e': (combination('mixnet_s'), None),
    }
    for name, (about, f1) in combinations.items():
        folder = tmp_path / 'runs' / name
        if f1 is not None:
            folder.mkdir(parents=True)
            scores = {'overall': {'f1': f1}, 'low-rise': {'f1': f1 + 1}, 'skyscraper': {'f1': None}}
            result = {'run': {'name': name, **about}, 'scores': scores, 'parameters_m': 1.5, 'train_minutes': 2.0}
            (folder / 'result.json').write_text(json.dumps(result))
    failed = tmp_path / 'runs' / 'd'
    failed.mkdir()
    (failed / 'error.txt').write_text('Traceback\nValueError: no level of stride 2')
    runs = [{'name': name, **about} for name, (about, _) in combinations.items()]
    (tmp_path / 'study.json').write_text(json.dumps({'name': 'grid', 'title': 'A grid', 'runs': runs}))
    return tmp_path


def test_combinations_are_ranked_by_mean_f1_over_their_seeds(grid):
    rows = rank_grid(read_results(grid))
    assert [(row.combination[0], row.mean_f1, row.n) for row in rows] == [
        ('resnet18', 80.0, 1),
        ('tinynet_a', 76.0, 2),
        ('lcnet_050', 70.0, 1),
    ]


def test_a_combination_without_a_score_comes_last(grid):
    path = grid / 'runs' / 'b' / 'result.json'
    result = json.loads(path.read_text())
    result['scores']['overall']['f1'] = None
    path.write_text(json.dumps(result))
    assert [row.combination[0] for row in rank_grid(read_results(grid))] == ['tinynet_a', 'lcnet_050', 'resnet18']


def test_markdown_has_the_ranking_and_what_has_no_result(grid):
    markdown = ranking_markdown(read_results(grid))
    assert '4 finished, 1 failed, 1 missing.' in markdown
    assert '| 1 | resnet18 | FPN | dice | Adam | 1.50 | 80.0 | 81.0 | – | 2.0 |' in markdown
    assert '| 2 | tinynet_a | Unet | dice | Adam | 1.50 ± 0.00 | 76.0 ± 2.8 | 77.0 ± 2.8 | – | 2.0 ± 0.0 |' in markdown
    assert '| d | mobileone_s0 | Unet | dice | Adam | ValueError: no level of stride 2 |' in markdown
    assert '| e | mixnet_s | Unet | dice | Adam | has not run |' in markdown


def test_csv_reads_back_with_empty_fields_for_unknown_figures(grid):
    rows = list(csv.DictReader(ranking_csv(read_results(grid)).splitlines()))
    assert [row['encoder'] for row in rows] == ['resnet18', 'tinynet_a', 'lcnet_050']
    assert float(rows[1]['f1_overall']) == 76.0
    assert float(rows[1]['f1_overall_std']) == pytest.approx(8**0.5)
    assert (rows[0]['f1_overall_std'], rows[0]['f1_skyscraper'], rows[1]['runs']) == ('', '', '2')


def test_the_chart_has_a_bar_per_combination_in_the_order_of_the_ranking(grid):
    bars, dots = draw_ranking(read_results(grid)).axes
    assert [bar.get_width() for bar in bars.patches] == [80.0, 76.0, 70.0]
    assert [label.get_text().split(' · ')[0] for label in bars.get_yticklabels()] == [
        'resnet18', 'tinynet_a', 'lcnet_050'
    ]  # fmt: skip
    assert [text.get_text() for text in dots.get_legend().get_texts()] == ['FPN', 'Unet']


def test_all_files_are_written(grid):
    assert write_ranking(grid) == grid / 'ranking.md'
    assert {path.name for path in grid.iterdir()} == {
        'study.json', 'runs', 'results.json', 'ranking.md', 'ranking.csv', 'ranking.png'
    }  # fmt: skip


def test_a_grid_without_finished_runs_is_ranked_too(tmp_path):
    grid = {'name': 'grid', 'title': 'A grid', 'runs': [{'name': 'a', **combination('lcnet_050')}]}
    (tmp_path / 'study.json').write_text(json.dumps(grid))
    write_ranking(tmp_path)
    assert not (tmp_path / 'ranking.png').exists()
    assert '| a | lcnet_050 | Unet | dice | Adam | has not run |' in (tmp_path / 'ranking.md').read_text()
