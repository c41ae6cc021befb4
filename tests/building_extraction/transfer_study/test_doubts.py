"""Networks that are not above no learning, or have not finished learning, are named first."""

from projects.building_extraction.transfer_study.doubts import doubts
from projects.building_extraction.transfer_study.report import results_markdown
from projects.building_extraction.transfer_study.results import read_results

BASELINES = [
    {'name': 'everything', 'title': 'All building', 'description': ''},
    {'name': 'nothing', 'title': 'None', 'description': ''},
]


def write_study(study_folder):
    learnt = [
        {'name': name, 'title': name.upper(), 'description': '', 'learns_from': ['target'], 'total_steps': 9}
        for name in ('sda', 'kd', 'dml')
    ]
    study_folder.write_study(methods=[*learnt, *BASELINES])


def test_methods_that_are_not_clearly_above_the_best_baseline_are_named_first(study_folder):
    write_study(study_folder)
    study_folder.write_scores(
        everything=[50.0, 52.0, 51.0],
        nothing=[0.0, 0.0, 0.0],
        sda=[60.0, 62.0, 61.5],
        kd=[53.0, 55.0, 54.0],  # surely above, but by 3 points
        dml=[45.0, 75.0, 60.0],  # 9 points above, but not surely
    )
    results = read_results(study_folder.path)
    (doubt,) = doubts(results)
    assert doubt == (
        '"All building", which learns nothing from images, scores 51.0 F1 on these test sets; not clearly (surely, and '
        'by 5 points) above that: KD (+3.0), DML (+9.0). What such networks score says little of the methods.'
    )
    assert [line for line in results_markdown(results).splitlines() if line][1] == doubt


def test_without_baselines_or_results_there_is_nothing_to_doubt(study_folder):
    study_folder.write_study()
    study_folder.write_scores(sda=[1.0, 2.0])
    assert doubts(read_results(study_folder.path)) == []


def test_curves_that_still_rise_are_named(study_folder):
    study_folder.write_study()

    def curve(*values):
        return [{'iteration': 32 * (i + 1), 'f1': value} for i, value in enumerate(values)]

    study_folder.write_run('kd', 0, 70.0, f1_curve=curve(10.0, 70.0, 71.0))
    study_folder.write_run('kd', 1, 70.0, f1_curve=curve(10.0, 70.0, 70.4))
    study_folder.write_run('sda', 0, 70.0, f1_curve=curve(73.0, 70.0, 72.4))  # rises, but not above what it had
    study_folder.write_run('dml', 0, 70.0, f1_curve=curve(None, 70.0))
    (doubt,) = doubts(read_results(study_folder.path))
    assert 'more than 0.5 points of F1 above the best one before it for KD (+0.7). With more steps' in doubt
