import pytest

from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.verdict import judge_study

METHODS = {
    name: {'name': name, 'title': name.upper(), 'description': '', 'uses_source': True}
    for name in ('sda', 'kd', 'dml', 'student')
}
HEIGHTS = ('low-rise', 'mid-rise', 'high-rise', 'skyscraper')


def judge(study_folder, **f1_by_method):
    study_folder.write_study()
    study_folder.write_scores(**f1_by_method)
    return judge_study(read_results(study_folder.path))


def test_a_clear_win_in_every_class_is_a_yes(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0, 86.0], kd=[80.0, 81.0, 82.5], dml=[79.0, 81.0, 80.0])
    assert verdict.answer == (
        'Yes: SDA clearly beats KD and DML in every height class: low-rise, mid-rise, high-rise and skyscraper.'
    )
    assert 'low-rise: SDA clearly beats KD: +3.8 ± 0.3 (n = 3) points of F1.' in verdict.findings


def test_a_difference_within_the_spread_is_a_no_that_names_class_and_rival(study_folder):
    kd = [dict.fromkeys(HEIGHTS, 80.0) for _ in range(3)]
    sda = [{**dict.fromkeys(HEIGHTS, 84.0), 'skyscraper': f1} for f1 in (75.0, 82.0, 86.0)]
    verdict = judge(study_folder, sda=sda, kd=kd, dml=[70.0, 70.0, 70.0])
    assert verdict.answer == (
        'No: SDA does not clearly beat KD and DML in every height class; it does so for low-rise, mid-rise and '
        'high-rise, but not for skyscraper (within the spread against KD).'
    )
    assert (
        "skyscraper: SDA and KD differ by no more than the seeds' spread: +1.0 ± 5.6 (n = 3) points of F1."
        in verdict.findings
    )


def test_a_clear_loss_is_called_one(study_folder):
    verdict = judge(study_folder, sda=[70.0, 71.0, 72.0], kd=[80.0, 81.0, 82.0], dml=[60.0, 61.0, 62.0])
    assert verdict.answer.startswith(
        'No: SDA does not clearly beat KD and DML in every height class; it does so in no class: not for low-rise '
        '(clear loss against KD), '
    )
    assert 'high-rise: SDA is clearly worse than KD: -10.0 ± 0.0 (n = 3) points of F1.' in verdict.findings
    assert 'high-rise: SDA clearly beats DML: +10.0 ± 0.0 (n = 3) points of F1.' in verdict.findings


def test_one_seed_gives_a_difference_but_no_verdict(study_folder):
    verdict = judge(study_folder, sda=[84.0], kd=[80.0], dml=[79.0])
    assert verdict.answer.startswith('No verdict yet on whether SDA beats KD and DML')
    assert 'low-rise (one seed only)' in verdict.answer
    assert (
        'low-rise: SDA differs from KD by +4.0 points of F1; one seed only, so there is no spread to judge by.'
        in verdict.findings
    )
    assert 'lenient' not in verdict.rule


def test_seeds_that_no_two_methods_share_are_not_compared(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, 84.0)
    study_folder.write_run('kd', 1, 80.0)
    verdict = judge_study(read_results(study_folder.path))
    assert 'no common seed' in verdict.answer
    assert any('SDA cannot be compared with KD' in finding for finding in verdict.findings)


def test_wins_beside_a_class_that_cannot_be_judged_are_a_guarded_yes(study_folder):
    heights = dict.fromkeys(HEIGHTS, 84.0)
    sda = [{**heights, 'skyscraper': None}, {**heights, 'skyscraper': None}]
    verdict = judge(study_folder, sda=sda, kd=[80.0, 80.5], dml=[79.0, 79.5])
    assert verdict.answer == (
        'As far as it can be judged, yes: SDA clearly beats KD and DML for low-rise, mid-rise and high-rise. '
        'It cannot be judged for skyscraper (no common seed).'
    )


def test_a_study_without_sda_or_without_rivals_has_no_verdict(study_folder):
    for names, lacking in ((('kd', 'dml'), 'no SDA.'), (('sda', 'student'), 'no KD and no DML.')):
        study_folder.write_study(methods=[METHODS[name] for name in names])
        answer = judge_study(read_results(study_folder.path)).answer
        assert answer.startswith('No verdict')
        assert answer.endswith(lacking)


def test_a_missing_rival_is_said(study_folder):
    study_folder.write_study(methods=[METHODS['sda'], METHODS['kd']])
    study_folder.write_scores(sda=[84.0, 85.0], kd=[80.0, 81.5])
    verdict = judge_study(read_results(study_folder.path))
    assert verdict.answer.startswith('Yes: SDA clearly beats KD in every height class')
    assert verdict.answer.endswith('DML is not in this study.')


@pytest.mark.parametrize(
    ('teacher', 'words'),
    [
        ([70.0, 71.0, 72.0], 'overall: KD clearly passes the teacher: +10.0 ± 0.0 (n = 3) points of F1.'),
        ([90.0, 91.0, 92.0], 'overall: KD stays clearly below the teacher: -10.0 ± 0.0 (n = 3) points of F1.'),
        (
            [78.0, 85.0, 80.0],
            "overall: KD is within the seeds' spread of the teacher: +0.0 ± 3.5 (n = 3) points of F1.",
        ),
        ([80.0], 'overall: whether KD passes the teacher cannot be judged; one seed only.'),
    ],
)
def test_students_are_compared_with_their_teacher(study_folder, teacher, words):
    verdict = judge(study_folder, sda=[84.0], kd=[80.0, 81.0, 82.0], teacher=teacher)
    assert words in verdict.findings


def test_a_rival_that_never_saw_the_source_is_said_to(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0], kd=[80.0, 81.0], dml=[79.0, 80.0])
    said = [finding.split(' uses no source')[0] for finding in verdict.findings if 'uses no source' in finding]
    assert said == ['DML']


def test_the_rule_states_how_often_chance_alone_is_clear(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0, 86.0], kd=[80.0, 81.0, 82.0], dml=[79.0, 81.0, 80.0])
    assert 'exceeds 2 standard errors of the paired differences' in verdict.rule
    assert 'calls 18% of the differences clear. 10 differences of SDA are judged here.' in verdict.rule


def test_tables_hold_signed_differences_and_the_published_figures(study_folder):
    verdict = judge(study_folder, sda=[84.0, 85.0], kd=[86.0, 87.0])
    differences, published = verdict.tables
    assert differences.columns == ['height class', 'Teacher', 'Target only', 'KD', 'DML']
    assert differences.rows[0] == ['overall', '–', '–', '-2.0 ± 0.0 (n = 2), clear loss', '–']
    assert published.rows == [
        ['low-rise', '94.3', '86.5 (KD)'],
        ['mid-rise', '86.8', '86.5 (KD)'],
        ['high-rise', '91.2', '86.5 (KD)'],
        ['skyscraper', '69.7', '86.5 (KD)'],
    ]


def test_a_study_without_any_run_says_so(study_folder):
    study_folder.write_study()
    verdict = judge_study(read_results(study_folder.path))
    assert verdict.answer.startswith('No verdict yet')
