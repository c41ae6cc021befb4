"""What a report says of measurements whose figures are known."""

from dataclasses import replace
from pathlib import Path

import pytest

from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization_study.charts import draw_fidelity, draw_sqnr
from projects.deployment.quantization_study.plan import read_study
from projects.deployment.quantization_study.records import Candidate, Measurement, Score
from projects.deployment.quantization_study.tables import (
    compare,
    comparison_table,
    findings,
    gaps,
    restriction_table,
    restrictions,
    score_table,
)

SAMPLE = Path(__file__).parents[3] / 'configs/quantization/hybrids_sample.py'
FIDELITY = {'nncf': 90.0, 'minmax': 91.0, 'mse': 93.0}


@pytest.fixture(scope='module')
def study():
    left_out = dict.fromkeys(f'methods.{name}' for name in METHODS if name not in FIDELITY)
    return read_study(
        SAMPLE,
        {
            **left_out,
            'bits': (8,),
            'baselines': ('nncf', 'minmax'),
            'networks.mobilevit': None,
            'networks.mobile_former': None,
        },
    )


@pytest.fixture(scope='module')
def measurements(study):
    """Of three trainings and sets: the one network is told apart, of the other nothing is left but one cell."""
    found = []
    for cell in study.cells():
        if cell.network == 'efficientvit_mit' and (cell.seed, cell.calibration) != (0, 0):
            continue
        for candidate in study.candidates()[1:]:
            value = FIDELITY[candidate.method]
            spread = 0 if cell.network == 'shvit_maskrcnn' else 5 * (candidate.method == 'mse')
            draws = tuple(value + spread * step for step in (-1, 0, 1))
            sqnr = {'nncf': {}, 'minmax': {'all': 30.0}, 'mse': {'all': 32.0}}[
                candidate.method
            ]  # NNCF is not simulated
            found.append(Measurement(cell, candidate, Score(value, draws), Score(40, (40,) * 3), sqnr, 10.0))
    return found


def test_a_baseline_is_compared_with_those_before_it_alone(study, measurements):
    pairs = [(one.candidate.method, one.baseline.method) for one in compare(study, measurements)]
    assert pairs == [('minmax', 'nncf'), ('mse', 'nncf'), ('mse', 'minmax')] * 2


def test_better_is_said_where_the_interval_excludes_zero(study, measurements):
    comparisons = compare(study, measurements)
    verdict = 'better on 1, worse on 0, not told apart on 1 of 2 networks'
    assert findings(study, comparisons)[1:] == [
        f'mse W8A8 beside nncf W8A8: fidelity {verdict}',
        f'mse W8A8 beside minmax W8A8: fidelity {verdict}; SQNR {verdict}',
    ]
    rows = comparison_table(study, 'shvit_maskrcnn', comparisons).rows
    assert list(rows[1])[-3:] == ['–', '–', '3']
    assert list(rows[2]) == [
        'mse W8A8',
        'minmax W8A8',
        '+2.00 (+2.00 to +2.00)',
        'better',
        '+0.00 (+0.00 to +0.00)',
        'not told apart',
        '+2.00 (+2.00 to +2.00)',
        'better',
        '3',
    ]
    (alone,) = [row for row in comparison_table(study, 'efficientvit_mit', comparisons).rows if row[1] == 'minmax W8A8']
    assert list(alone)[-3:] == ['+2.00', 'not told apart', '1']  # one cell, the same images: nothing tells


def test_what_is_missing_is_counted(study, measurements):
    assert gaps(study, measurements) == [
        'EfficientViT-MIT B0 with its head, 128x256: 24 of 27 measurements are missing'
    ]


def test_scores_have_their_spread(study, measurements):
    changed = [
        replace(one, fidelity=Score(one.fidelity.value + one.cell.seed, ())) if one.candidate.method == 'mse' else one
        for one in measurements
    ]
    table = score_table(study, 'shvit_maskrcnn', changed, [])
    (row,) = [row for row in table.rows if row[0] == 'mse W8A8']
    assert row[1] == '94.00 ± 0.87'  # 93, 94 and 95, three times each
    assert row[-1] == '9'


def test_charts_have_a_panel_for_each_network(study, measurements):
    figure = draw_fidelity(study, measurements)
    assert [axes.get_title() for axes in figure.axes] == [each['title'] for each in study.networks.values()]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ['nncf W8A8', 'minmax W8A8', 'mse W8A8']
    low, high = figure.axes[1].get_ylim()
    assert low > high  # the first on top, in every panel
    assert draw_sqnr(study, []) is None


def test_the_executed_form_stands_beside_the_published_one(study, measurements):
    """Of two cells, one of which lacks the simulation, the other tells the difference."""
    study = replace(study, methods={**study.methods, 'fqvit': {'forms': ('executable', 'paper')}})
    mine = [one for one in measurements if one.candidate.method == 'mse' and one.cell.network == 'shvit_maskrcnn'][:2]
    fidelity, sqnr = {'executable': (90, 30.0), 'paper': (92, 31.5)}, []
    for form, cells in (('executable', mine), ('paper', mine[:1])):
        value, ratio = fidelity[form]
        score = Score(value, (value, value + 1, value - 1) if form == 'paper' else (value,) * 3)
        sqnr += [
            replace(one, candidate=Candidate('fqvit', 8, form), fidelity=score, sqnr_db={'all': ratio}) for one in cells
        ]
    comparisons = restrictions(study, [*measurements, *sqnr])
    table = restriction_table(study, 'shvit_maskrcnn', comparisons, sqnr)
    assert [list(row) for row in table.rows] == [
        ['fqvit W8A8', '90.00', '92.00', '-2.00 (-2.95 to -1.05)', 'worse', '30.0', '31.5', '-1.5', '1']
    ]
    assert 'as published, simulated' in table.columns[2]
    assert restriction_table(study, 'efficientvit_mit', comparisons, sqnr).rows == []
    titles = [row[0] for row in score_table(study, 'shvit_maskrcnn', sqnr, []).rows]
    assert titles == ['fqvit W8A8', "fqvit W8A8 (paper's form, simulated)"]
