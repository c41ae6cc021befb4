"""Claims are judged one by one, with intervals, and adjusted for their number."""

import pytest

from projects.building_extraction.transfer_study.differences import Difference, holm
from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.verdict import (
    FAILS,
    HOLDS,
    UNDECIDED,
    UNJUDGED,
    Claim,
    difference_text,
    judge_study,
)

HEIGHTS = ('low-rise', 'mid-rise', 'high-rise', 'skyscraper')


def judge(study_folder, **f1_by_method):
    study_folder.write_study(replicates=5)
    study_folder.write_scores(**f1_by_method)
    return judge_study(read_results(study_folder.path))


def outcomes(verdict):
    return {claim.text: claim.outcome for claim in verdict.claims}


def near(f1, *noise):
    """Replicates of about an F1; what is noise is a tenth of a point."""
    return [f1 + 0.1 * each for each in noise]


def test_a_claim_holds_fails_or_is_not_decided(study_folder):
    verdict = judge(
        study_folder,
        sda=near(84, 1, 2, 3, 4, 5),
        kd=near(80, 2, 1, 4, 3, 5),
        dml=near(87, 5, 4, 3, 2, 1),
        teacher=[80.0, 82.0, 84.0, 86.0, 88.0],
        student_long=near(84, 5, 1, 4, 2, 3),
    )
    found = outcomes(verdict)
    assert {name: found[f'SDA beats KD: {name}'] for name in HEIGHTS} == dict.fromkeys(HEIGHTS, HOLDS)
    assert {name: found[f'SDA beats DML: {name}'] for name in HEIGHTS} == dict.fromkeys(HEIGHTS, FAILS)
    assert found['SDA passes its Teacher'] == UNDECIDED
    assert found['SDA beats Target only, as long: the source is worth its steps'] == UNDECIDED
    assert verdict.answer.startswith('Of 13 claims of the paper 5 hold, 5 do not hold, 3 are not decided.')
    assert 'That the source is worth the steps that it costs is not decided (+0.0 (' in verdict.answer


def test_p_values_are_adjusted_for_all_claims_that_can_be_judged(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0, 86.0], kd=[80.0, 82.0, 81.5], dml=[80.0])
    judged = {c.text: c.difference.p for c in verdict.claims if c.difference and c.difference.p is not None}
    assert len(judged) == 5
    adjusted = {claim.text: claim.adjusted_p for claim in verdict.claims if claim.text in judged}
    assert adjusted == pytest.approx(holm(judged))
    assert 'for the 5 claims in the table' in verdict.rule
    assert outcomes(verdict)['SDA beats DML: low-rise'] == UNJUDGED  # of one replicate


def test_an_interval_above_nothing_does_not_hold_once_it_is_one_of_many():
    difference = Difference('sda', 'kd', 'overall', 5, 2.0, 0.1, 3.9, 0.04)
    assert Claim('', True, difference, 0.04).outcome == HOLDS
    assert Claim('', True, difference, 0.4).outcome == UNDECIDED


def test_where_no_two_methods_differ_few_studies_find_a_claim_to_hold(study_folder, random_scores):
    held = 0
    for number in range(12):
        folder = type(study_folder)(study_folder.path / str(number))
        claims = judge(folder, **{name: random_scores() for name in ('sda', 'kd', 'dml', 'teacher')}).claims
        held += any(claim.outcome == HOLDS for claim in claims)
    assert held <= 2


@pytest.fixture
def random_scores():
    import numpy as np

    random = np.random.default_rng(3)
    return lambda: random.normal(70, 3, size=5).tolist()


def test_a_study_without_the_papers_methods_has_no_verdict(study_folder):
    student = {'name': 'student', 'title': 'Target only', 'description': '', 'learns_from': ['target']}
    study_folder.write_study(methods=[student])
    verdict = judge_study(read_results(study_folder.path))
    assert verdict.answer.startswith('No verdict: the paper compares SDA with KD and DML')
    assert verdict.claims == []


def test_a_study_without_any_run_says_so(study_folder):
    study_folder.write_study()
    answer = judge_study(read_results(study_folder.path)).answer
    assert answer == 'No verdict yet: none of the 13 claims of the paper has two finished replicates.'


def test_tables_hold_claims_differences_and_the_published_figures(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0], kd=[86.0, 87.0])
    claims, differences, published = verdict.tables
    assert claims.rows[0][:2] == ['SDA beats KD: overall', 'the paper']
    assert claims.rows[0][2].startswith('-2.0 (')
    assert differences.rows[0][0] == 'KD'
    assert differences.columns == ['other method', 'overall', *HEIGHTS]
    assert published.rows == [
        ['low-rise', '94.3', '86.5 (KD)'],
        ['mid-rise', '86.8', '86.5 (KD)'],
        ['high-rise', '91.2', '86.5 (KD)'],
        ['skyscraper', '69.7', '86.5 (KD)'],
    ]


def test_a_difference_is_told_with_its_interval_if_it_has_one():
    assert difference_text(Difference('a', 'b', 'c', 5, 3.24, -1.0, 7.4, 0.1)) == '+3.2 (-1.0 to +7.4)'
    assert difference_text(Difference('a', 'b', 'c', 1, -3.24)) == '-3.2'
    assert difference_text(None) == '–'


@pytest.mark.parametrize('method', ['aligned', 'aligned_told'])
@pytest.mark.parametrize(('aligned', 'above_half', 'outcome'), [(78, 3.0, HOLDS), (72, -3.0, FAILS)])
def test_aligned_labels_close_more_than_half_of_the_gap_or_not(study_folder, method, aligned, above_half, outcome):
    names = {'teacher': 'Teacher', method: 'Aligned', 'clean': 'Clean source'}
    methods = [{'name': name, 'title': title, 'learns_from': ['source']} for name, title in names.items()]
    study_folder.write_study(replicates=3, methods=methods)
    scores = {'teacher': 70, method: aligned, 'clean': 80}
    study_folder.write_scores(**{name: near(score, 1, 2, 3) for name, score in scores.items()})
    results = read_results(study_folder.path)
    halfway = results.difference(method, 'teacher and clean', 'overall')
    assert halfway.mean == pytest.approx(above_half, abs=0.1)  # beside (70 + 80) / 2
    found = outcomes(judge_study(results))
    assert found['Aligned closes more than half of the gap from Teacher to Clean source'] == outcome
    assert found['Aligned beats Teacher: labels laid on the buildings teach more'] == HOLDS
