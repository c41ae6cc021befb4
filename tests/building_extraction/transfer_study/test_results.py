import json
import math

import pytest

from projects.building_extraction.transfer_study.completeness import gaps, missing_runs
from projects.building_extraction.transfer_study.results import (
    best_validation,
    read_results,
    scores_of,
    status_counts,
    trials_of,
    write_results,
)
from projects.building_extraction.transfer_study.verdict import judge_study
from projects.training.experiments.intervals import Spread

METHODS = ('teacher', 'student', 'student_long', 'kd', 'dml', 'sda')


def test_the_summary_is_mean_and_std_of_the_runs(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0, 82.0, 87.0])
    summary = read_results(study_folder.path).summary['main']['sda']
    assert summary.replicates == [0, 1, 2]
    assert summary.scores['skyscraper']['f1'] == Spread(3, 83.0, pytest.approx(math.sqrt(13)))
    assert summary.train_minutes == Spread(3, 2.0, 0.0)


def test_each_score_and_class_is_summarized_from_its_own_values(study_folder):
    study_folder.write_study()
    scores = {'overall': {'f1': 70.0, 'iou': 55.0}, 'low-rise': {'f1': 90.0, 'iou': None}}
    study_folder.write_run('kd', 0, 0.0, scores=scores)
    summary = read_results(study_folder.path).summary['main']['kd'].scores
    assert (summary['overall']['f1'].mean, summary['overall']['iou'].mean) == (70.0, 55.0)
    assert summary['low-rise']['f1'].mean == 90.0
    assert summary['low-rise']['iou'] == Spread()


def test_differences_are_paired_by_replicate_and_hold_each_two_methods(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[70.0, 71.0, 20.0], sda=[72.0, 75.0])
    results = read_results(study_folder.path)
    (overall,) = [each for each in results.differences if each.height_class == 'overall']
    assert (overall.method, overall.other, overall.n) == ('kd', 'sda', 2)
    assert overall.mean == pytest.approx(-3.0)
    assert overall.low < -3 < overall.high
    turned = results.difference('sda', 'kd', 'overall')
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-overall.mean, -overall.high, -overall.low))
    assert results.difference('sda', 'dml', 'overall') is None


def test_tiles_are_paired_by_name_whatever_their_order(study_folder):
    """Each method is right on another tile: in every draw of tiles the difference is that of the same tiles."""
    study_folder.write_study(replicates=2)
    tiles = {'a': {'low-rise': [90, 10, 10]}, 'b': {'low-rise': [10, 90, 90]}}
    better = {'a': {'low-rise': [100, 0, 0]}, 'b': {'low-rise': [20, 80, 80]}}
    for replicate in (0, 1):
        study_folder.write_run('kd', replicate, 0.0, images=tiles)
        study_folder.write_run('sda', replicate, 0.0, images=dict(reversed(better.items())))
    difference = read_results(study_folder.path).difference('sda', 'kd', 'low-rise')
    assert (difference.mean, difference.low, difference.high) == pytest.approx((10, 10, 10))
    assert difference.p == pytest.approx(0, abs=1e-9)


def test_a_class_without_buildings_in_a_replicate_counts_where_there_are_some(study_folder):
    study_folder.write_study()
    scores = {'overall': 80.0, 'low-rise': 80.0, 'skyscraper': None}
    study_folder.write_scores(sda=[scores, scores | {'skyscraper': 60.0}], kd=[scores, scores | {'skyscraper': 50.0}])
    results = read_results(study_folder.path)
    assert results.difference('sda', 'kd', 'skyscraper').n == 1
    assert results.difference('sda', 'kd', 'mid-rise') is None
    assert (
        gaps(results)[-1] == 'The test sets hold no mid-rise and no high-rise building: nothing is said of this class.'
    )


def test_without_heights_there_is_no_class_but_overall(study_folder):
    study_folder.write_study()
    images = {'a': {'unknown height': [80, 20, 20]}}
    scores = {'overall': {'f1': 80.0}, 'unknown height': {'f1': 80.0}}
    for method in ('sda', 'kd'):
        study_folder.write_run(method, 0, 0.0, scores=scores, images=images)
    results = read_results(study_folder.path)
    assert results.classes == ['overall']
    assert results.difference('sda', 'kd', 'overall').mean == 0
    assert not any('published' in table.caption for table in judge_study(results).tables)
    assert not any('building: nothing is said' in gap for gap in gaps(results))


def test_trials_are_no_results_and_have_a_best_validation(study_folder):
    study_folder.write_study()
    study_folder.write_trial('kd', 1, 61.0)
    study_folder.write_trial('kd', 0, 60.0)
    results = read_results(study_folder.path)
    assert [best_validation(run) for run in trials_of(results.runs, 'kd')] == [60.0, 61.0]
    assert results.summary['main']['kd'].replicates == []
    assert results.classes == []


def test_planned_runs_that_left_nothing_are_missing_and_those_with_an_error_have_failed(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0])
    study_folder.fail_run('main_kd_r0', 'RuntimeError: no memory')
    results = read_results(study_folder.path)
    assert status_counts(results) == {'finished': 1, 'failed': 1, 'missing': 16}
    failed = next(run for run in results.runs if run.status == 'failed')
    assert (failed.about['method'], failed.about['replicate'], failed.error) == ('kd', 0, 'RuntimeError: no memory')
    assert 'KD has not run: main (replicates 1, 2)' in missing_runs(results)
    assert gaps(results)[0].startswith('Partial: 1 of 18 runs have finished, 1 failed, 16 missing.')
    assert gaps(results)[1].startswith('One replicate only')


def test_a_finished_study_has_no_gaps(study_folder):
    study_folder.write_study(replicates=2)
    study_folder.write_scores(**{method: [80.0, 81.0] for method in METHODS})
    results = read_results(study_folder.path)
    assert gaps(results) == []
    assert missing_runs(results) == []


def test_a_truncated_result_counts_as_failed_and_says_why(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'result.json').write_text('{"run": {"name"')
    failed = [run for run in read_results(study_folder.path).runs if run.status == 'failed']
    assert [run.name for run in failed] == ['main_sda_r0']
    assert 'result.json cannot be read' in failed[0].error


def test_a_result_without_scores_counts_as_failed(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'result.json').write_text('{"run": {"name": "main_sda_r0"}}')
    assert status_counts(read_results(study_folder.path))['failed'] == 1


def test_a_run_that_failed_once_and_finished_later_has_finished(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'error.txt').write_text('interrupted')
    assert status_counts(read_results(study_folder.path))['finished'] == 1


def test_nan_is_an_undefined_score(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[float('nan'), 80.0])
    assert scores_of(read_results(study_folder.path).runs, 'main', 'sda', 'overall') == {1: 80.0}


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'study\.json does not exist'):
        read_results(tmp_path)


def test_results_are_json_that_reads_back(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0, float('nan')])
    write_results(read_results(study_folder.path), study_folder.path / 'results.json')
    content = json.loads((study_folder.path / 'results.json').read_text())
    assert content['summary']['main']['sda']['scores']['overall']['f1'] == {'n': 1, 'mean': 80.0, 'std': None}
    assert 'images' not in content['runs'][-1]
