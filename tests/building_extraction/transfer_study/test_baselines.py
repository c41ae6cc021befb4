import pytest

from projects.building_extraction.transfer_study.baselines import EVERYTHING, doubts, everything_a_building
from projects.building_extraction.transfer_study.report import results_markdown
from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.tables import score_tables
from projects.building_extraction.transfer_study.verdict import judge_study

# 300 of 1000 pixels are buildings, found or not: F1 of calling all of them so is 600 / 1300
COUNTS = {
    'counts': {'pixels': {'low-rise': {'tp': 150, 'fp': 30, 'fn': 50}, 'mid-rise': {'tp': 80, 'fp': 10, 'fn': 20}}},
    'background_pixels': 660,
}


def test_calling_everything_a_building_is_scored_from_the_labels_of_the_test_set(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, 70.0, **COUNTS)
    results = read_results(study_folder.path)
    scores = {'f1': 600 / 13, 'iou': 30.0, 'precision': 30.0, 'recall': 100.0}
    assert everything_a_building(results) == pytest.approx(scores)
    tables = {table.caption.split(' in percent')[0]: table for table in score_tables(results)}
    assert list(tables['F1'].rows[-1]) == [EVERYTHING, '46.2', '–', '–', '–', '–']
    assert list(tables['recall'].rows[-1])[:2] == [EVERYTHING, '100.0']
    assert tables['object F1'].rows[-1][0] == 'SDA'  # an object that covers the whole tile finds no building


def test_without_counts_or_buildings_there_is_no_such_row(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, 70.0)
    assert everything_a_building(read_results(study_folder.path)) == {}
    nothing = {'pixels': {'low-rise': {'tp': 0, 'fp': 3, 'fn': 0}}}
    study_folder.write_run('sda', 1, 0.0, counts=nothing, background_pixels=97)
    results = read_results(study_folder.path)
    assert everything_a_building(results) == {}
    assert doubts(results) == []


def test_methods_that_are_not_clearly_above_it_are_named_first(study_folder):
    study_folder.write_study()
    for method, scores in {'teacher': (44.0, 46.0), 'kd': (40.0, 60.0), 'sda': (60.0, 62.0), 'dml': (45.0,)}.items():
        for seed, f1 in enumerate(scores):
            study_folder.write_run(method, seed, f1, **COUNTS)
    results = read_results(study_folder.path)
    (doubt,) = doubts(results)
    assert doubt.startswith(
        'Calling every pixel a building scores 46.2 F1 on this test set; not clearly above that: '
        'Teacher (-1.2), KD (+3.8), DML (-1.2).'
    )
    lines = [line for line in results_markdown(results).splitlines() if line]
    assert doubt in lines[1:4]


def test_curves_that_still_rise_are_named(study_folder):
    study_folder.write_study()

    def curve(*values):
        return [{'iteration': 32 * (i + 1), 'f1': value} for i, value in enumerate(values)]

    study_folder.write_run('kd', 0, 70.0, f1_curve=curve(10.0, 70.0, 71.0))
    study_folder.write_run('kd', 1, 70.0, f1_curve=curve(10.0, 70.0, 70.4))
    study_folder.write_run('sda', 0, 70.0, f1_curve=curve(50.0, 70.0, 70.4))
    study_folder.write_run('dml', 0, 70.0, f1_curve=curve(None, 70.0))
    (doubt,) = doubts(read_results(study_folder.path))
    assert 'more than 0.5 for KD (+0.7). With more steps' in doubt


def test_sda_is_held_against_as_many_steps_on_the_target(study_folder):
    method = {'title': 'Target only, as long', 'description': 'the control', 'uses_source': False}
    study_folder.write_study(
        methods=[
            {'name': 'sda', 'title': 'SDA', 'description': 'sda', 'uses_source': True},
            {'name': 'kd', 'title': 'KD', 'description': 'kd', 'uses_source': True},
            {'name': 'student_long', **method},
        ]
    )
    study_folder.write_scores(sda=[76.0, 77.0], kd=[70.0, 71.0], student_long=[78.0, 79.0])
    (finding,) = [each for each in judge_study(read_results(study_folder.path)).findings if 'as many steps' in each]
    assert finding == (
        'overall: SDA against Target only, as long, with as many steps: -2.0 ± 0.0 (n = 2) points of F1: the steps '
        'spent on the source would have been worth more on the target.'
    )
