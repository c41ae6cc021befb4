"""A study file becomes runs: who needs whom, which data each reads, what is refused."""

from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest

from projects.building_extraction.transfer_study.panels import KeepPredictions
from projects.building_extraction.transfer_study.plan import clean_tiles, plan_runs
from projects.building_extraction.transfer_study.study_file import levels, read_study
from projects.training import config
from projects.training.config import load_config

read_once = cache(config.read_config)  # `load_config` copies what it reads
CONFIGS = Path(__file__).parents[3] / 'configs' / 'buildings'
STUDY = """
title = 'A study'
data = dict(
    type='RenderedScenes',
    city=dict(footprints=[], otherwise=dict(size_m=500, seed=0)),
    gsd_m=1.0,
    tile_px=64,
    domains=dict(
        source=dict(num_tiles=8, off_nadir_deg=(10, 40), label='footprint'),
        target=dict(num_tiles=4, off_nadir_deg=(0, 5), label='roof'),
        val=dict(num_tiles=2, off_nadir_deg=(0, 5), label='roof'),
        test=dict(num_tiles=2, off_nadir_deg=(0, 5), label='roof'),
    ),
)
target_tiles = 2
replicates = 2
axes = dict(
    angle=dict(title='angle', changes=('source',), replicates=1, points=[
        (0, {'data.domains.source.off_nadir_deg': (0, 0)}), (20, {'data.domains.source.off_nadir_deg': (20, 20)})]),
    clean=dict(title='clean tiles', changes=('target',), methods=('kd', 'student'), points=[
        (2, {'target_tiles': 2}), (4, {'target_tiles': 4})]),
)
teacher = dict(method='teacher', options={'load_from': 'checkpoint'})
methods = dict(
    kd=dict(title='KD', description='', config='kd.py', steps=10,
            teacher=dict(method='teacher', options={'model.teacher.checkpoint': 'checkpoint'})),
    sda=dict(title='SDA', description='', config='sda.py', teacher=teacher, steps=10,
             options={'optim_wrapper.optimizer.lr': 1e-4}, step_options={'train_cfg.val_interval': None}),
    kd_sda=dict(title='KD from SDA', description='', config='kd.py', steps=4, tuned_as='kd',
                teacher=dict(method='sda', options={'model.teacher.checkpoint': 'checkpoint'})),
    student=dict(title='Student', description='', config='student.py', steps=10),
    dml=dict(title='DML', description='', config='dml.py', steps=10, networks=2),
    mixed=dict(title='Mixed', description='', config='mixed.py', on='both', steps=20),
    teacher=dict(title='Teacher', description='', config='teacher.py', on='source', steps=10),
)
del teacher
options = {'optim_wrapper.optimizer.lr': 1e-3}
step_options = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1 / 4}
"""
SOURCE = "        source=dict(num_tiles=8, off_nadir_deg=(10, 40), label='footprint'),\n"


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / 'study.py'
    path.write_text(STUDY)
    return path


@pytest.fixture
def roots(tmp_path):
    """Tiles of every setting and replicate of the study: 8 of the source, 4 of the target."""
    found = {}
    for name, replicates in {'main': 2, 'angle-0': 1, 'angle-20': 1, 'clean-4': 2}.items():
        for replicate in range(replicates):
            root = tmp_path / f'{name}_r{replicate}'
            for split, number in {'source': 8, 'target': 4}.items():
                (root / split / 'images').mkdir(parents=True)
                for tile in range(number):
                    (root / split / 'images' / f'{tile}.png').touch()
            found[name, replicate] = root
    return found


def named(runs):
    return {run.name: run for run in runs}


def test_every_replicate_has_its_own_tiles_and_training_seed(study_file, roots):
    runs = named(plan_runs(read_study(study_file), roots, {}))
    for replicate in (0, 1):
        run = runs[f'main_sda_r{replicate}']
        assert run.options['data_root'] == str(roots['main', replicate])
        assert run.options['randomness.seed'] == replicate
        assert run.about == {'method': 'sda', 'setting': 'main', 'replicate': replicate}


def test_an_axis_trains_what_it_changes_and_takes_the_rest_from_the_main_comparison(study_file, roots):
    study = read_study(study_file)
    assert list(study.settings()) == ['main', 'angle-0', 'angle-20', 'clean-4']  # 2 clean tiles are the main ones
    runs = named(plan_runs(study, roots, {}))
    at = {s: {r.about['method'] for r in runs.values() if r.about['setting'] == s} for s in study.settings()}
    assert at['main'] == set(study.methods)
    assert at['angle-0'] == at['angle-20'] == {'kd', 'sda', 'kd_sda', 'mixed', 'teacher'}
    assert at['clean-4'] == {'kd', 'student'}
    assert runs['clean-4_kd_r1'].needs == 'main_teacher_r1'
    assert runs['angle-0_kd_r0'].needs == 'angle-0_teacher_r0'
    assert 'angle-0_kd_r1' not in runs


def test_settings_differ_by_what_the_axis_says_and_nothing_else(study_file):
    settings = read_study(study_file).settings()
    main, steep = (dict(settings[name].data['domains']) for name in ('main', 'angle-20'))
    assert steep.pop('source') == main.pop('source') | {'off_nadir_deg': (20, 20)}
    assert steep == main
    assert settings['clean-4'].target_tiles == 4


def test_a_setting_without_tiles_is_left_out(study_file, roots):
    del roots['clean-4', 1]
    names = named(plan_runs(read_study(study_file), roots, {}))
    assert 'clean-4_kd_r0' in names
    assert 'clean-4_kd_r1' not in names


def test_a_run_stands_behind_the_one_that_it_needs_and_those_first_that_many_wait_for(study_file, roots):
    runs = plan_runs(read_study(study_file), roots, {})
    order = [run.name for run in runs]
    for run in runs:
        assert run.needs is None or order.index(run.needs) < order.index(run.name)
    assert order[:4] == ['main_teacher_r0', 'main_teacher_r1', 'main_sda_r0', 'main_sda_r1']
    assert named(runs)['main_sda_r0'].from_needed == {'load_from': 'checkpoint'}
    assert named(runs)['main_kd_sda_r0'].needs == 'main_sda_r0'


def test_steps_of_teachers_and_peers_count_and_on_the_target_its_share_does(study_file):
    study = read_study(study_file)
    steps = {name: (study.total_steps(name), study.target_steps(name)) for name in study.methods}
    assert steps == {
        'kd': (20, 10), 'sda': (20, 10), 'kd_sda': (24, 14), 'student': (10, 10), 'dml': (20, 10), 'mixed': (20, 10),
        'teacher': (10, 0),
    }  # fmt: skip
    assert study.learns_from('kd_sda') == {'source', 'target'}
    assert study.learns_from('dml') == {'target'}


def test_options_follow_the_steps_and_what_was_chosen_comes_last(study_file, roots):
    runs = named(plan_runs(read_study(study_file), roots, {'sda': {'optim_wrapper.optimizer.lr': 5e-4}}))
    kd, sda = runs['main_kd_r0'].options, runs['main_sda_r0'].options
    assert (kd['train_cfg.max_iters'], kd['train_cfg.val_interval'], kd['optim_wrapper.optimizer.lr']) == (10, 2, 1e-3)
    assert 'train_cfg.val_interval' not in sda
    assert sda['optim_wrapper.optimizer.lr'] == 5e-4
    assert runs['main_kd_sda_r0'].options['train_cfg.max_iters'] == 4
    assert all(run.best == 'building/f1' and run.tested for run in runs.values())


def test_few_clean_tiles_are_among_many_and_differ_between_replicates(study_file, roots):
    study = read_study(study_file)
    chosen = {number: clean_tiles(study.at({'target_tiles': number}), roots['main', 0], 0) for number in (1, 2, 3, 4)}
    assert [len(chosen[number]) for number in chosen] == [1, 2, 3, 4]
    assert set(chosen[1]) < set(chosen[2]) < set(chosen[3]) < set(chosen[4]) == {0, 1, 2, 3}
    assert len({tuple(clean_tiles(study, roots['main', 0], number)) for number in range(8)}) > 1
    run = named(plan_runs(study, roots, {}))['main_student_r0']
    assert run.options['train_dataloader.dataset.indices'] == chosen[2]


def test_mixed_batches_are_half_source_half_target(study_file, roots):
    options = named(plan_runs(read_study(study_file), roots, {}))['main_mixed_r0'].options
    assert options['train_dataloader.dataset.times'] == [1, 4]  # 8 tiles of the source, 2 of the target
    assert options['train_dataloader.dataset.parts'][0] == {}
    assert len(options['train_dataloader.dataset.parts'][1]['indices']) == 2
    teacher = named(plan_runs(read_study(study_file), roots, {}))['main_teacher_r0'].options
    assert not any('indices' in key for key in teacher)


def test_labels_of_the_source_are_read_from_folders_of_their_own(study_file, roots):
    study_file.write_text(
        STUDY.replace("on='both'", "on='both', labels='roofs'").replace("on='source'", "on='source', labels='aligned'")
    )
    runs = named(plan_runs(read_study(study_file), roots, {}))
    masks = 'train_dataloader.dataset.data_prefix.seg_map_path'
    assert runs['main_teacher_r0'].options[masks] == 'source/masks_aligned'
    assert runs['main_mixed_r0'].options[masks] == 'source/roof_masks'
    assert masks not in runs['main_sda_r0'].options


@pytest.mark.parametrize('number', [0, 5])
def test_fewer_tiles_than_are_asked_for_are_refused(study_file, roots, number):
    study = read_study(study_file, {'target_tiles': number})
    with pytest.raises(ValueError, match=rf'target_tiles is {number}, and .*target has 4 tiles; take 1 to 4 of them'):
        plan_runs(study, roots, {})


def test_a_target_without_tiles_is_refused(study_file, roots, tmp_path):
    (tmp_path / 'empty').mkdir()
    study = read_study(study_file, {'target_tiles': None})
    with pytest.raises(ValueError, match='has 0 tiles'):
        plan_runs(study, {('main', 0): tmp_path / 'empty'}, {})


def test_chosen_methods_bring_the_teachers_that_they_need(study_file, roots):
    study = read_study(study_file)
    assert study.with_teachers(['kd_sda']) == ['sda', 'kd_sda', 'teacher']
    assert {run.about['method'] for run in plan_runs(study, roots, {}, ['student'])} == {'student'}
    with pytest.raises(ValueError, match=r"unknown methods \['dmk'\]; the study has \['kd'"):
        plan_runs(study, roots, {}, ['dmk'])


def test_methods_are_tuned_after_their_teachers_and_those_that_they_follow(study_file):
    study = read_study(study_file)
    assert list(levels(study, list(study.methods))) == [
        ['student', 'dml', 'mixed', 'teacher'], ['kd', 'sda'], ['kd_sda']
    ]  # fmt: skip


def test_predictions_are_kept_of_one_replicate(study_file, roots):
    runs = plan_runs(read_study(study_file), roots, {}, panel_tiles=['a', 'b'])
    kept = {run.name: run.kept['predictions'] for run in runs if run.kept}
    assert kept['main_kd_r0']['tiles'] == ['a', 'b']
    assert resolve_name(kept['main_kd_r0']['type']) is KeepPredictions
    assert all(name.startswith('main_') and name.endswith('_r0') for name in kept)


def test_options_override_the_file_and_no_other_option(study_file):
    overrides = {'replicates': 9, 'options.train_cfg.max_iters': 10, 'methods.sda.options.model.x': 1}
    study = read_study(study_file, overrides)
    assert study.replicates == 9
    assert study.options == {'optim_wrapper.optimizer.lr': 1e-3, 'train_cfg.max_iters': 10}
    assert study.methods['sda']['options'] == {'optim_wrapper.optimizer.lr': 1e-4, 'model.x': 1}


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('replicates = 2', 'seeds = 2', r"unknown keys \['seeds'\]"),
        ("title = 'A study'", '', r"missing keys \['title'\]"),
        ('gsd_m=1.0', 'gsd=1.0', r"data: unknown keys \['gsd'\]"),
        ('    gsd_m=1.0,', '', r"data: missing keys \['gsd_m'\]"),
        ("'RenderedScenes'", "'Photographs'", "data.type is 'Photographs'; expected one of RenderedScenes"),
        ('        val=dict', '        valid=dict', r"data.domains are .*'valid'.*; expected source, target, val, test"),
        (SOURCE, '', 'data has no source, from which kd, sda, kd_sda, mixed, teacher learn; give data.domains.source'),
        ("config='student.py'", "confg='student.py'", r"methods.student: unknown keys \['confg'\]"),
        ("    teacher=dict(title='T", "    tutor=dict(title='T", "methods.kd needs 'teacher', which is not among"),
        ("on='both'", "on='all'", "methods.mixed.on is 'all'; expected source, both, target"),
        (
            "on='both'",
            "on='both', labels='true'",
            "methods.mixed.labels is 'true'; expected one of stated, aligned, told, roofs",
        ),
        ('networks=2', "networks=2, labels='roofs'", "methods.dml.labels is 'roofs'; .* trained on 'source' or 'both'"),
        ('networks=2', 'networks=2, trials=[{}, {}]', r'different numbers of trials, which is not fair: .*dml'),
        ("title='angle',", '', r"axes.angle: missing keys \['title'\]"),
        ('replicates = 2', 'replicates = 0', 'replicates is 0; expected 1 or more'),
        ('options = {', "options = 'x' or {", "options is 'x'; expected settings by name"),
        ("(2, {'target_tiles': 2})", "(2, 'target_tiles')", r'axes.clean.points has .*; expected a pair of a value'),
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
def test_the_studies_of_the_project_name_configs_that_exist_and_options_that_these_have(path, tmp_path, monkeypatch):
    monkeypatch.setattr(config, 'read_config', read_once)
    study = read_study(path)
    root = tmp_path / 'tiles'
    for split in ('source', 'target'):
        (root / split / 'images').mkdir(parents=True)
        for tile in range(study.target_tiles or 4):
            (root / split / 'images' / f'{tile}.png').touch()
    for run in plan_runs(study, {('main', 0): root}, {}):
        options = run.options | {name: str(tmp_path / 'x.py') for name in run.from_needed}
        cfg = load_config(run.config, options)
        assert cfg.train_cfg.max_iters == study.methods[run.about['method']]['steps'], run.name
        assert cfg.param_scheduler[-1].end <= cfg.train_cfg.max_iters, run.name
        assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0, run.name
        assert cfg.val_dataloader.dataset.data_prefix.img_path == 'val/images', run.name
        assert cfg.test_dataloader.dataset.data_prefix.img_path == 'test/images', run.name
        assert cfg.train_cfg.val_interval % cfg.default_hooks.checkpoint.interval == 0, run.name
        for trial in study.methods[run.about['method']].get('trials', ()):
            load_config(run.config, options | trial)
    totals = {
        study.total_steps(name) for name in ('student_long', 'mixed', 'kd', 'dml', 'sda') if name in study.methods
    }
    assert len(totals) == 1


def test_a_method_of_none_is_left_out(study_file):
    study_file.write_text(STUDY + "\nmethods['student'] = None\naxes = {}\n")
    assert 'student' not in read_study(study_file).methods
