from projects.building_extraction.transfer_study.records import Method, StudyRecord
from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.tables import (
    axis_table,
    cost_table,
    equal_steps_tables,
    misalignment_table,
    parameter_table,
    score_tables,
    setting_table,
    tuning_table,
)

CLASSES = ['low-rise', 'mid-rise', 'high-rise', 'skyscraper']
ANGLES = {
    'name': 'angle', 'title': 'off-nadir angle', 'unit': '°', 'changes': ['source'], 'replicates': 2,
    'points': [[0, 'angle-0'], [40, 'angle-40']],
}  # fmt: skip


def test_methods_are_compared_at_the_same_steps_in_all_and_at_the_same_on_the_target(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[80.0, 82.0], sda=[79.0, 83.0, 84.0], student=[70.0], teacher=[90.0])
    in_all, on_target = equal_steps_tables(read_results(study_folder.path))
    assert in_all.caption.startswith('F1 in percent after 200 steps in all, teachers included')
    assert [row[0] for row in in_all.rows] == ['Target only, as long', 'KD', 'DML', 'SDA', 'Teacher']
    assert on_target.caption.startswith('F1 in percent after 100 steps on the target')
    assert [row[0] for row in on_target.rows] == ['Target only', 'KD', 'DML', 'SDA', 'Teacher']


def test_a_table_is_of_means_and_sample_standard_deviations(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[80.0, 82.0], sda=[79.0, 83.0, 84.0], student=[70.0])
    table = score_tables(read_results(study_folder.path))[0]
    assert table.caption.startswith('F1 in percent')
    assert table.columns == ['method', 'overall', *CLASSES]
    rows = {row[0]: row[1] for row in table.rows}
    assert rows == {
        'Teacher': '–', 'Target only': '70.0', 'Target only, as long': '–', 'KD': '81.0 ± 1.4', 'DML': '–',
        'SDA': '82.0 ± 2.6',
    }  # fmt: skip
    assert table.best == {(5, column) for column in range(1, 6)}


def test_each_table_shows_its_own_score(study_folder):
    study_folder.write_study()
    names = ('f1', 'iou', 'precision', 'recall', 'object_f1', 'object_precision', 'object_recall')
    scores = {'overall': {name: float(10 + i) for i, name in enumerate(names)}}
    study_folder.write_run('sda', 0, 0.0, scores=scores)
    tables = score_tables(read_results(study_folder.path))
    assert [table.rows[5][1] for table in tables] == ['10.0', '11.0', '12.0', '13.0', '14.0', '15.0', '16.0']
    assert [table.caption.split(' in percent')[0] for table in tables] == [
        'F1', 'IoU', 'precision', 'recall', 'object F1', 'object precision', 'object recall'
    ]  # fmt: skip


def test_a_score_that_some_replicates_lack_states_its_n_and_a_class_without_buildings_has_none(study_folder):
    study_folder.write_study()
    lacking = {'overall': 80.0, 'low-rise': 80.0, 'skyscraper': None}
    study_folder.write_scores(sda=[lacking, lacking | {'overall': 81.0, 'skyscraper': 40.0}])
    table = score_tables(read_results(study_folder.path))[0]
    assert list(table.rows[5]) == [
        'SDA', '80.5 ± 0.7', '80.0 ± 0.0', 'no buildings', 'no buildings', '40.0 (n = 1)'
    ]  # fmt: skip


def test_unknown_height_is_a_column_only_where_it_has_a_score(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, {'overall': 80.0, 'low-rise': 80.0})
    assert score_tables(read_results(study_folder.path))[0].columns == ['method', 'overall', *CLASSES]
    scores = {'overall': {'f1': 80.0}, 'low-rise': {'f1': 80.0}, 'unknown height': {'f1': 9.0}}
    study_folder.write_run('sda', 1, 80.0, scores=scores)
    assert score_tables(read_results(study_folder.path))[0].columns[-1] == 'unknown height'


def test_values_of_an_axis_are_columns_and_the_change_is_that_of_common_replicates(study_folder):
    study_folder.write_study(axes=[ANGLES], replicates=2)
    for replicate, (at_0, at_40) in enumerate(((80.0, 60.0), (84.0, None))):
        study_folder.write_run('sda', replicate, at_0, setting='angle-0')
        if at_40 is not None:
            study_folder.write_run('sda', replicate, at_40, setting='angle-40')
    study_folder.write_run('dml', 0, 70.0)
    results = read_results(study_folder.path)
    table = axis_table(results, results.study.axes[0])
    assert table.columns == ['method', '0°', '40°', '0° to 40°, same replicates']
    assert table.rows == [
        ['DML', '70.0 (n = 1)', '70.0 (n = 1)', '+0.0'],
        ['SDA', '82.0 ± 2.8', '60.0 (n = 1)', '-20.0'],
    ]


def test_an_axis_without_runs_has_no_table(study_folder):
    study_folder.write_study(axes=[ANGLES])
    study_folder.write_scores(sda=[80.0])
    results = read_results(study_folder.path)
    assert axis_table(results, results.study.axes[0]) is None


def test_trials_are_listed_with_the_chosen_one_in_bold(study_folder):
    methods = [
        {'name': 'kd', 'title': 'KD', 'description': '', 'learns_from': ['target'],
         'trials': [{'optim_wrapper.optimizer.lr': 0.001, 'model.alpha': 0.5}, {'optim_wrapper.optimizer.lr': 0.002}]},
        {'name': 'kd_sda', 'title': 'KD from SDA', 'description': '', 'learns_from': ['target'], 'tuned_as': 'kd'},
    ]  # fmt: skip
    study_folder.write_study(methods=methods)
    study_folder.write_trial('kd', 0, 60.0)
    study_folder.write_trial('kd', 1, 61.0)
    table = tuning_table(read_results(study_folder.path))
    assert table.rows == [
        ['KD', '1', 'lr 0.001, alpha 0.5', '60.0'],
        ['KD', '2', 'lr 0.002', '61.0'],
        ['KD from SDA', '–', 'as KD', '–'],
    ]
    assert table.best == {(1, 3)}


def test_a_study_without_trials_has_no_table_of_them(study_folder):
    study_folder.write_study()
    assert tuning_table(read_results(study_folder.path)) is None


def test_costs_are_steps_with_and_minutes_without_the_teacher(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, 80.0, train_minutes=1.0)
    study_folder.write_run('sda', 1, 80.0, train_minutes=2.0)
    rows = {row[0]: row[1:] for row in cost_table(read_results(study_folder.path)).rows}
    assert rows['SDA'] == ['2', '200', '100', '1.50 ± 0.71', '1.25 ± 0.00', '80.0 ± 0.0']
    assert rows['KD'] == ['0', '200', '100', '–', '–', '–']


def test_what_is_not_trained_takes_no_steps(study_folder):
    study_folder.write_study(methods=[{'name': 'nothing', 'title': 'None', 'description': ''}])
    assert cost_table(read_results(study_folder.path)).rows == [['None', '0', '–', '–', '–', '–', '–']]
    assert Method('a', 'A').trained is False


def test_nested_parameters_become_dotted_rows():
    parameters = {'a': {'b': {'c': 0.25, 'd': [10, 40]}, 'e': None}, 'f': {}, 'g': True}
    assert parameter_table(StudyRecord('s', 'S', parameters=parameters)).rows == [
        ['a.b.c', '0.25'],
        ['a.b.d', '10, 40'],
        ['a.e', '–'],
        ['f', '–'],
        ['g', 'yes'],
    ]


def test_misalignment_and_settings_name_their_units():
    misalignment = {'low-rise': {'median_m': 1.5, 'median_px': 2.5}, 'skyscraper': {'median_m': 60.0}}
    table = misalignment_table(StudyRecord('s', 'S', misalignment=misalignment))
    assert table.columns == ['height class', 'median, m', 'median, px']
    assert table.rows == [['low-rise', '1.5', '2.5'], ['skyscraper', '60', '–']]
    assert misalignment_table(StudyRecord('s', 'S')) is None
    stated = [{'name': 'main', 'off_nadir_deg': [10, 40], 'registration_error_m': 1.5}]
    settings = setting_table(StudyRecord('s', 'S', settings=stated))
    assert settings.columns == ['setting', 'off nadir, °', 'registration error, m']
    assert settings.rows == [['main', '10, 40', '1.5']]
