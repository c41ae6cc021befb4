"""Hyper-parameters are chosen by validation, each method's from as many trials, teachers first."""

import json

import pytest

from projects.building_extraction.transfer_study.study_file import Study
from projects.building_extraction.transfer_study.tuning import tune
from projects.training.experiments.schedule import Outcome

RATES = [{'lr': 1}, {'lr': 2}, {'lr': 3}]


def method(**fields):
    return {'title': '', 'description': '', 'config': 'c.py', 'steps': 4, **fields}


@pytest.fixture
def study(tmp_path):
    methods = {
        'sda': method(teacher={'method': 'teacher', 'options': {'load_from': 'checkpoint'}}, trials=RATES),
        'teacher': method(on='source', trials=RATES),
        'long': method(tuned_as='sda'),
        'kd': method(teacher={'method': 'half', 'options': {'model.teacher.checkpoint': 'checkpoint'}}, trials=RATES),
        'half': method(teacher={'method': 'teacher', 'options': {'load_from': 'checkpoint'}}, tuned_as='sda'),
    }
    return Study('s', 'S', {}, methods, {}, {'train_cfg.max_iters': 1}, replicates=5)


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'tiles' / 'target' / 'images').mkdir(parents=True)
    (tmp_path / 'tiles' / 'target' / 'images' / 'a.png').touch()
    return tmp_path / 'tiles'


class Trials:
    """Executes trials by giving each the validations that are looked up by its name."""

    def __init__(self, folder, scores):
        self.folder, self.scores, self.runs = folder, scores, []

    def __call__(self, runs):
        self.runs.append(list(runs))
        failed = {}
        for run in runs:
            curve = self.scores.get(run.name, [50.0])
            if curve is None:
                failed[run.name] = 'no memory'
                continue
            (self.folder / run.name).mkdir(parents=True)
            points = [{'iteration': i, 'f1': f1} for i, f1 in enumerate(curve)]
            result = {'run': {'name': run.name, **run.about}, 'f1_curve': points}
            (self.folder / run.name / 'result.json').write_text(json.dumps(result))
        return Outcome([run.name for run in runs if run.name not in failed], failed)


def test_the_best_of_any_validation_is_chosen_and_its_run_teaches_the_next(study, root, tmp_path):
    scores = {
        'tuning_teacher_t1': [60.0, 70.0, 20.0],  # best early
        'tuning_teacher_t2': [65.0, 69.0],
        'tuning_sda_t2': [None, 80.0],
        'tuning_kd_t0': [81.0],
        'tuning_kd_t1': [81.0],  # of equal ones the first
    }
    trials = Trials(tmp_path / 'runs', scores)
    chosen = tune(study, root, tmp_path / 'runs', trials)
    assert chosen == {'teacher': {'lr': 2}, 'sda': {'lr': 3}, 'long': {'lr': 3}, 'half': {'lr': 3}, 'kd': {'lr': 1}}
    by_level = [[run.name for run in level] for level in trials.runs if level]
    assert by_level[0] == [f'tuning_teacher_t{number}' for number in range(3)]
    assert by_level[1] == [f'tuning_sda_t{number}' for number in range(3)]
    assert by_level[2] == ['tuning_half_t0']  # has no trials, but teaches one that has
    assert by_level[3] == [f'tuning_kd_t{number}' for number in range(3)]
    runs = {run.name: run for level in trials.runs for run in level}
    assert runs['tuning_sda_t0'].needs == 'tuning_teacher_t1'
    assert runs['tuning_half_t0'].options['lr'] == 3
    assert runs['tuning_kd_t2'].needs == 'tuning_half_t0'


def test_trials_are_on_a_replicate_of_their_own_and_leave_its_test_alone(study, root, tmp_path):
    trials = Trials(tmp_path / 'runs', {})
    tune(study, root, tmp_path / 'runs', trials, ['teacher'])
    (runs,) = trials.runs
    assert {run.options['randomness.seed'] for run in runs} == {5}
    assert not any(run.tested for run in runs)
    assert [run.options['lr'] for run in runs] == [1, 2, 3]
    assert [run.about['trial'] for run in runs] == [0, 1, 2]


def test_chosen_methods_are_tuned_with_those_that_they_follow(study, root, tmp_path):
    trials = Trials(tmp_path / 'runs', {'tuning_sda_t1': [90.0]})
    assert tune(study, root, tmp_path / 'runs', trials, ['long']) == {'long': {'lr': 2}}
    assert [len(level) for level in trials.runs] == [3, 3, 0]


def test_a_failed_trial_does_not_count_and_if_all_fail_it_is_said_why(study, root, tmp_path):
    scores = {'tuning_teacher_t0': None, 'tuning_teacher_t1': [None], 'tuning_teacher_t2': [40.0]}
    assert tune(study, root, tmp_path / 'a', Trials(tmp_path / 'a', scores), ['teacher']) == {'teacher': {'lr': 3}}
    scores['tuning_teacher_t2'] = None
    with pytest.raises(ValueError, match=r'teacher cannot be tuned: no trial has a score: .*no memory'):
        tune(study, root, tmp_path / 'b', Trials(tmp_path / 'b', scores), ['teacher'])
