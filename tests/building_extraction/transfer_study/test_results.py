import json
import math

import pytest

from projects.building_extraction.transfer_study.comparison import Spread
from projects.building_extraction.transfer_study.completeness import gaps, missing_runs
from projects.building_extraction.transfer_study.results import (
    read_results,
    scores_by_seed,
    status_counts,
    write_results,
)


def test_the_summary_is_mean_and_std_of_the_runs(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0, 82.0, 87.0])
    summary = read_results(study_folder.path).summary['main']['sda']
    assert summary.seeds == [0, 1, 2]
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


def test_comparisons_hold_each_two_methods_with_paired_differences(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[70.0, 71.0], sda=[72.0, 75.0])
    (overall,) = [c for c in read_results(study_folder.path).comparisons['main'] if c.height_class == 'overall']
    assert (overall.method, overall.other) == ('kd', 'sda')
    assert overall.comparison.differences == {0: -2.0, 1: -4.0}
    assert overall.comparison.mean == -3.0


def test_planned_runs_that_left_nothing_are_missing_and_those_with_an_error_have_failed(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0])
    study_folder.fail_run('main-kd-seed0', 'RuntimeError: no memory')
    results = read_results(study_folder.path)
    assert status_counts(results) == {'finished': 1, 'failed': 1, 'missing': 13}
    failed = next(run for run in results.runs if run.status == 'failed')
    assert (failed.about['method'], failed.about['seed'], failed.error) == ('kd', 0, 'RuntimeError: no memory')
    assert 'KD has not run on main (seeds 1, 2)' in missing_runs(results)
    assert gaps(results)[0].startswith('Partial: 1 of 15 runs have finished, 1 failed, 13 missing.')
    assert gaps(results)[1].startswith('One seed only')


def test_a_finished_study_has_no_gaps(study_folder):
    study_folder.write_study(seeds=[0, 1])
    study_folder.write_scores(**{method: [80.0, 81.0] for method in ('teacher', 'student', 'kd', 'dml', 'sda')})
    results = read_results(study_folder.path)
    assert gaps(results) == []
    assert missing_runs(results) == []


def test_a_truncated_result_counts_as_failed_and_says_why(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'result.json').write_text('{"run": {"name"')
    failed = [run for run in read_results(study_folder.path).runs if run.status == 'failed']
    assert [run.name for run in failed] == ['main-sda-seed0']
    assert 'result.json cannot be read' in failed[0].error


def test_a_result_without_scores_counts_as_failed(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'result.json').write_text('{"run": {"name": "main-sda-seed0"}}')
    assert status_counts(read_results(study_folder.path))['failed'] == 1


def test_a_run_that_failed_once_and_finished_later_has_finished(study_folder):
    study_folder.write_study()
    run = study_folder.write_run('sda', 0, 80.0)
    (run / 'error.txt').write_text('interrupted')
    assert status_counts(read_results(study_folder.path))['finished'] == 1


def test_nan_is_an_undefined_score(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[float('nan'), 80.0])
    assert scores_by_seed(read_results(study_folder.path).runs, 'main', 'sda', 'overall') == {1: 80.0}


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'study\.json does not exist'):
        read_results(tmp_path)


def test_results_are_json_that_reads_back(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0, float('nan')])
    write_results(read_results(study_folder.path), study_folder.path / 'results.json')
    content = json.loads((study_folder.path / 'results.json').read_text())
    assert content['summary']['main']['sda']['scores']['overall']['f1'] == {'n': 1, 'mean': 80.0, 'std': None}
