"""A study file becomes runs: who needs whom, which data each reads, what is refused."""

from pathlib import Path
from pkgutil import resolve_name

import pytest

from projects.building_extraction.transfer_study.panels import KeepPredictions
from projects.building_extraction.transfer_study.plan import plan_runs, read_study
from projects.training.config import load_config

CONFIGS = Path(__file__).parents[3] / 'configs' / 'buildings'

ROOTS = {name: Path('scenes') / name for name in ('main', 'angle-0', 'angle-20')}
STUDY = """
title = 'A study'
data = dict(
    type='RenderedScenes',
    city=dict(footprints=[], otherwise=dict(size_m=500, seed=0)),
    gsd_m=1.0,
    tile_px=64,
    domains=dict(
        source=dict(num_tiles=8, off_nadir_deg=(10, 40), label='footprint'),
        target=dict(num_tiles=2, off_nadir_deg=(0, 5), label='roof'),
        val=dict(num_tiles=2, off_nadir_deg=(0, 5), label='roof'),
        test=dict(num_tiles=2, off_nadir_deg=(0, 5), label='roof'),
    ),
)
angles_deg = (0, 20)
angle_seeds = (0,)
seeds = (0, 1)
teacher = dict(method='teacher', options={'load_from': 'checkpoint'})
methods = dict(
    kd=dict(title='KD', description='', config='kd.py', uses_source=True,
            teacher=dict(method='teacher', options={'model.teacher.checkpoint': 'checkpoint'})),
    sda=dict(title='SDA', description='', config='sda.py', uses_source=True, teacher=teacher,
             options={'optim_wrapper.optimizer.lr': 1e-4}),
    student=dict(title='Student', description='', config='student.py'),
    teacher=dict(title='Teacher', description='', config='teacher.py', uses_source=True),
)
del teacher
options = {'optim_wrapper.optimizer.lr': 1e-3, 'train_cfg.max_iters': 5}
"""


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / 'study.py'
    path.write_text(STUDY)
    return path


def test_methods_that_use_the_source_are_repeated_at_every_angle_and_the_others_are_not(study_file):
    runs = plan_runs(read_study(study_file), ROOTS)
    names = {run.name for run in runs}
    assert len(names) == len(runs) == 2 * 4 + 2 * 3
    assert {'main_student_seed1', 'angle-0_sda_seed0', 'angle-20_teacher_seed0'} < names
    assert not any('student' in name for name in names if name.startswith('angle'))


def test_a_run_stands_behind_the_one_that_it_needs_which_has_its_domain_and_seed(study_file):
    runs = plan_runs(read_study(study_file), ROOTS)
    order = [run.name for run in runs]
    needing = [run for run in runs if run.needs]
    assert len(needing) == 2 * 2 + 2 * 2
    for run in needing:
        assert order.index(run.needs) < order.index(run.name)
        assert run.needs == f'{run.about["domain"]}_teacher_seed{run.about["seed"]}'
    assert {run.about['method']: run.from_needed for run in needing} == {
        'sda': {'load_from': 'checkpoint'},
        'kd': {'model.teacher.checkpoint': 'checkpoint'},
    }


def test_every_run_reads_the_scenes_of_its_domain_with_its_seed_and_the_options_of_its_method(study_file):
    runs = {run.name: run for run in plan_runs(read_study(study_file), ROOTS)}
    run = runs['angle-20_sda_seed0']
    assert run.options == {
        'optim_wrapper.optimizer.lr': 1e-4,
        'train_cfg.max_iters': 5,
        'data_root': 'scenes/angle-20',
        'randomness.seed': 0,
    }
    assert run.about == {'method': 'sda', 'domain': 'angle-20', 'seed': 0}
    assert runs['main_student_seed1'].options['optim_wrapper.optimizer.lr'] == 1e-3


def test_the_source_differs_between_the_angles_by_its_angle_alone(study_file):
    sources = read_study(study_file).sources()
    assert list(sources) == ['main', 'angle-0', 'angle-20']
    main, steep = (dict(sources[name].domains) for name in ('main', 'angle-20'))
    assert steep.pop('source') == main.pop('source') | {'off_nadir_deg': (20, 20)}
    assert steep == main


def test_chosen_methods_bring_the_teacher_that_they_need(study_file):
    study = read_study(study_file)
    assert {run.about['method'] for run in plan_runs(study, ROOTS, ['kd'])} == {'kd', 'teacher'}
    assert {run.about['method'] for run in plan_runs(study, ROOTS, ['student'])} == {'student'}
    with pytest.raises(ValueError, match=r"unknown methods \['dml'\]; the study has \['kd'"):
        plan_runs(study, ROOTS, ['dml'])


def test_predictions_are_kept_of_one_seed(study_file):
    runs = plan_runs(read_study(study_file), ROOTS, panel_tiles=['a', 'b'])
    kept = {run.name: run.kept['predictions'] for run in runs if run.kept}
    assert kept['main_kd_seed0']['tiles'] == ['a', 'b']
    assert resolve_name(kept['main_kd_seed0']['type']) is KeepPredictions
    assert kept.keys() == {f'main_{method}_seed0' for method in ('kd', 'sda', 'student', 'teacher')}


def test_options_override_the_file(study_file):
    assert list(read_study(study_file, {'seeds': [7, 8, 9]}).seeds) == [7, 8, 9]


def test_one_option_of_a_config_is_overridden_and_no_other(study_file):
    study = read_study(study_file, {'options.train_cfg.max_iters': 10, 'methods.sda.options.model.x': 1})
    assert study.options == {'optim_wrapper.optimizer.lr': 1e-3, 'train_cfg.max_iters': 10}
    assert study.methods['sda']['options'] == {'optim_wrapper.optimizer.lr': 1e-4, 'model.x': 1}


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('seeds = (0, 1)', 'seed = (0, 1)', r"unknown keys \['seed'\]"),
        ('seeds = (0, 1)', '', r"missing keys \['seeds'\]"),
        ('gsd_m=1.0', 'gsd=1.0', r"data: unknown keys \['gsd'\]"),
        ('    gsd_m=1.0,', '', r"data: missing keys \['gsd_m'\]"),
        ("'RenderedScenes'", "'Photographs'", "data.type is 'Photographs'; expected one of RenderedScenes"),
        ("config='student.py'", "confg='student.py'", r"methods.student: unknown keys \['confg'\]"),
        ("    teacher=dict(title='T", "    tutor=dict(title='T", "methods.kd needs 'teacher', which is not among"),
        ('    val=dict', '    valid=dict', r"data.domains are .*'valid'.*; expected source, target, val, test"),
    ],
)
def test_a_faulty_study_is_refused_with_its_fault(study_file, old, new, message):
    assert old in STUDY
    study_file.write_text(STUDY.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_study(study_file)


def test_a_missing_study_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'study_sample\.py is one'):
        read_study(tmp_path / 'absent.py')


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('study*.py')), ids=lambda path: path.stem)
def test_the_studies_of_the_project_name_configs_that_exist_and_options_that_these_have(path):
    study = read_study(path)
    for run in plan_runs(study, dict.fromkeys(study.sources(), Path('scenes'))):
        assert (CONFIGS.parents[1] / run.config).is_file()
    for name, method in study.methods.items():
        options = dict(study.options) | dict(method.get('options', {}))
        cfg = load_config(method['config'], options)
        assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end, name
        assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0, name
        assert cfg.val_dataloader.dataset.data_prefix.img_path == 'val/images', name
        assert cfg.test_dataloader.dataset.data_prefix.img_path == 'test/images', name
        assert cfg.train_cfg.val_interval % cfg.default_hooks.checkpoint.interval == 0, name


def test_a_method_of_none_is_left_out(study_file):
    study_file.write_text(STUDY + "\nmethods['student'] = None\n")
    assert 'student' not in read_study(study_file).methods
