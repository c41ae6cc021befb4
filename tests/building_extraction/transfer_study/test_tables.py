from projects.building_extraction.transfer_study.records import StudyRecord
from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.tables import (
    angle_table,
    cost_table,
    domain_table,
    misalignment_table,
    parameter_table,
    score_tables,
)


def test_the_first_table_is_f1_with_mean_and_sample_standard_deviation(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[80.0, 82.0], sda=[79.0, 83.0, 84.0], student=[70.0])
    table = score_tables(read_results(study_folder.path))[0]
    assert table.caption.startswith('F1 in percent')
    assert table.columns == ['method', 'overall', 'low-rise', 'mid-rise', 'high-rise', 'skyscraper']
    rows = {row[0]: row[1] for row in table.rows}
    assert rows == {'Teacher': '–', 'Target only': '70.0', 'KD': '81.0 ± 1.4', 'DML': '–', 'SDA': '82.0 ± 2.6'}
    assert table.best == {(4, column) for column in range(1, 6)}


def test_each_table_shows_its_own_score(study_folder):
    study_folder.write_study()
    names = ('f1', 'iou', 'precision', 'recall', 'object_f1', 'object_precision', 'object_recall')
    scores = {'overall': {name: float(10 + i) for i, name in enumerate(names)}}
    study_folder.write_run('sda', 0, 0.0, scores=scores)
    tables = score_tables(read_results(study_folder.path))
    assert [table.rows[4][1] for table in tables] == ['10.0', '11.0', '12.0', '13.0', '14.0', '15.0', '16.0']
    assert [table.caption.split(' in percent')[0] for table in tables] == [
        'F1', 'IoU', 'precision', 'recall', 'object F1', 'object precision', 'object recall'
    ]  # fmt: skip


def test_a_score_that_some_seeds_lack_states_its_n(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[{'overall': 80.0, 'skyscraper': None}, {'overall': 81.0, 'skyscraper': 40.0}])
    table = score_tables(read_results(study_folder.path))[0]
    assert list(table.rows[4]) == ['SDA', '80.5 ± 0.7', '40.0 (n = 1)']


def test_unknown_height_is_a_column_only_where_it_has_a_score(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, {'overall': 80.0, 'unknown height': None})
    assert score_tables(read_results(study_folder.path))[0].columns == ['method', 'overall']
    study_folder.write_run('sda', 1, {'overall': 80.0, 'unknown height': 9.0})
    assert score_tables(read_results(study_folder.path))[0].columns == ['method', 'overall', 'unknown height']


def test_angles_are_columns_and_the_change_is_that_of_common_seeds(study_folder):
    study_folder.write_study(angles_deg=[0, 40], seeds=[0, 1])
    for seed, (at_0, at_40) in enumerate(((80.0, 60.0), (84.0, None))):
        study_folder.write_run('sda', seed, at_0, domain='angle-0')
        if at_40 is not None:
            study_folder.write_run('sda', seed, at_40, domain='angle-40')
    study_folder.write_run('dml', 0, 70.0)
    table = angle_table(read_results(study_folder.path))
    assert table.columns == ['method', '0°', '40°', '0° to 40°, same seeds']
    assert table.rows == [['DML', '70.0', '70.0', '–'], ['SDA', '82.0 ± 2.8', '60.0', '-20.0']]


def test_a_study_without_angles_has_no_angle_table(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[80.0])
    assert angle_table(read_results(study_folder.path)) is None


def test_costs_are_of_one_run(study_folder):
    study_folder.write_study()
    study_folder.write_run('sda', 0, 80.0, train_minutes=1.0)
    study_folder.write_run('sda', 1, 80.0, train_minutes=2.0)
    rows = {row[0]: row[1:] for row in cost_table(read_results(study_folder.path)).rows}
    assert rows['SDA'] == ['2', '1.50 ± 0.71', '1.25 ± 0.00', '80.0 ± 0.0']
    assert rows['KD'] == ['0', '–', '–', '–']


def test_nested_parameters_become_dotted_rows():
    parameters = {'a': {'b': {'c': 0.25, 'd': [10, 40]}, 'e': None}, 'f': {}, 'g': True}
    assert parameter_table(StudyRecord('s', 'S', parameters=parameters)).rows == [
        ['a.b.c', '0.25'],
        ['a.b.d', '10, 40'],
        ['a.e', '–'],
        ['f', '–'],
        ['g', 'yes'],
    ]


def test_misalignment_and_domains_name_their_units():
    misalignment = {'low-rise': {'median_m': 1.5, 'median_px': 2.5}, 'skyscraper': {'median_m': 60.0}}
    table = misalignment_table(StudyRecord('s', 'S', misalignment=misalignment))
    assert table.columns == ['height class', 'median, m', 'median, px']
    assert table.rows == [['low-rise', '1.5', '2.5'], ['skyscraper', '60', '–']]
    assert misalignment_table(StudyRecord('s', 'S')) is None
    stated = [{'name': 'main', 'off_nadir_deg': [10, 40], 'registration_error_m': 1.5}]
    domains = domain_table(StudyRecord('s', 'S', domains=stated))
    assert domains.columns == ['domain', 'off nadir, °', 'registration error, m']
    assert domains.rows == [['main', '10, 40', '1.5']]
