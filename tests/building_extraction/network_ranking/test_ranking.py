"""Networks in the order of their scores, and what of it is decided."""

import csv
import json

import pytest

from projects.building_extraction.network_ranking.ranking import (
    answer,
    draw_ranking,
    rank_networks,
    ranking_csv,
    ranking_markdown,
    write_ranking,
)
from projects.building_extraction.transfer_study.results import read_results

NETWORKS = {'a': ('lcnet_050', 'Unet'), 'b': ('resnet18', 'FPN'), 'c': ('tinynet_a', 'Unet'), 'd': ('dpn68', 'Unet')}
RIGHT = {'a': 60, 'b': 80, 'c': 79, 'd': None}  # true positives of 100 pixels, nothing false


def f1(tp):
    return 200 * tp / (2 * tp + 100 - tp)


def write_grid(folder, replicates=4, right=RIGHT):
    """Four networks; b and c change places between replicates, a is far below them, d fails."""
    runs = []
    for network, tp in right.items():
        for replicate in range(replicates):
            about = {'method': network, 'setting': 'main', 'replicate': replicate}
            name = f'main_{network}_r{replicate}'
            runs.append({'name': name, **about})
            run = folder / 'runs' / name
            run.mkdir(parents=True)
            if tp is None:
                (run / 'error.txt').write_text('Traceback\nValueError: no level of stride 2')
                continue
            own = tp + (2 if replicate % 2 else -2) * (network == 'c') + replicate
            result = {
                'run': {'name': name, **about},
                'scores': {name: {'f1': f1(own)} for name in ('overall', 'unknown height')},
                'images': {f'{tile}.png': {'unknown height': [own, 0, 100 - own]} for tile in range(5)},
                'parameters_m': 1.5,
                'train_minutes': 2.0,
            }
            (run / 'result.json').write_text(json.dumps(result))
    facts = {
        name: {'encoder': encoder, 'decoder': decoder, 'loss': 'dice', 'optimizer': 'Adam'}
        for name, (encoder, decoder) in NETWORKS.items()
    }
    methods = [
        {'name': name, 'title': ' · '.join(about.values()), 'learns_from': ['target'], 'facts': about}
        for name, about in facts.items()
    ]
    study = {
        'name': 'grid',
        'title': 'A grid',
        'methods': methods,
        'settings': [{'name': 'main'}],
        'replicates': replicates,
        'runs': runs,
    }
    (folder / 'study.json').write_text(json.dumps(study))
    return read_results(folder)


@pytest.fixture
def grid(tmp_path):
    return write_grid(tmp_path)


def test_networks_are_ranked_by_mean_f1_and_those_without_a_score_come_last(grid):
    rows = rank_networks(grid)
    assert [row.network.name for row in rows] == ['b', 'c', 'a', 'd']
    assert rows[0].mean_f1 == pytest.approx(sum(f1(80 + replicate) for replicate in range(4)) / 4)
    assert rows[-1].mean_f1 is None


def test_what_changes_places_is_not_decided_and_what_is_far_below_is(grid):
    first, second, third, failed = rank_networks(grid)
    assert (first.outcome, second.outcome, third.outcome) == ('first', 'not decided', 'below the first')
    assert failed.outcome == '–'
    assert second.below.low < 0 < second.below.high
    assert third.below.high < 0
    assert answer(grid).endswith('first of 3 networks; 1 of the others cannot be told from it, 1 is below it.')


def test_p_is_one_sided_and_grows_with_the_number_of_networks(grid):
    third = rank_networks(grid)[2]
    assert third.p == pytest.approx(third.below.p / 2 * 2)  # two others have a score


def test_of_one_replicate_nothing_is_decided(tmp_path):
    grid = write_grid(tmp_path, replicates=1)
    assert {row.outcome for row in rank_networks(grid)[1:3]} == {'not decided'}
    assert 'One replicate only' in ranking_markdown(grid)


def test_without_a_replicate_in_common_with_the_first_nothing_is_decided(tmp_path):
    write_grid(tmp_path)
    for run in ('main_b_r2', 'main_b_r3', 'main_c_r0', 'main_c_r1'):
        (tmp_path / 'runs' / run / 'result.json').unlink()
    rows = rank_networks(read_results(tmp_path))
    (apart,) = [row for row in rows[1:] if row.network.name in 'bc']
    assert (rows[0].outcome, apart.below, apart.outcome) == ('first', None, 'not decided')


def test_markdown_has_the_ranking_its_rule_and_what_has_no_result(grid):
    markdown = ranking_markdown(grid)
    assert 'Partial: 12 of 16 runs have finished, 4 failed.' in markdown
    assert '| 1 | resnet18 | FPN | dice | Adam | 1.50 ± 0.00 | 89.' in markdown
    assert '| – | – | first | 2.0 ± 0.0 |' in markdown
    assert 'Hsu' in markdown
    assert 'main_d_r0 failed: ValueError: no level of stride 2' in markdown


def test_csv_reads_back_with_empty_fields_for_unknown_figures(grid):
    rows = list(csv.DictReader(ranking_csv(grid).splitlines()))
    assert [row['encoder'] for row in rows] == ['resnet18', 'tinynet_a', 'lcnet_050', 'dpn68']
    assert float(rows[2]['below_first']) == pytest.approx(float(rows[2]['f1_overall']) - float(rows[0]['f1_overall']))
    assert (rows[0]['below_first'], rows[3]['f1_overall'], rows[1]['replicates']) == ('', '', '4')


def test_the_chart_has_a_bar_per_network_in_the_order_of_the_ranking(grid):
    bars, dots = draw_ranking(grid).axes
    widths = [bar.get_width() for bar in bars.patches]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)
    assert [label.get_text().split(' · ')[0] for label in bars.get_yticklabels()] == [
        'resnet18', 'tinynet_a', 'lcnet_050'
    ]  # fmt: skip
    assert [text.get_text() for text in dots.get_legend().get_texts()] == ['FPN', 'Unet']


def test_all_files_are_written_for_a_grid_that_has_not_begun_as_well(tmp_path, grid):
    assert write_ranking(tmp_path) == tmp_path / 'ranking.md'
    assert {path.name for path in tmp_path.iterdir()} == {
        'study.json', 'runs', 'results.json', 'ranking.md', 'ranking.csv', 'ranking.png'
    }  # fmt: skip
    for file in tmp_path.glob('runs/*/*'):
        file.unlink()
    assert 'No network has a score yet.' in ranking_markdown(read_results(tmp_path))
