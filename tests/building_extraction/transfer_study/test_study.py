"""Height classes of a study: those that its configs score by, in scenes, panels, displacements and report alike."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.transfer_study.panels import draw_panels
from projects.building_extraction.transfer_study.results import read_results
from projects.building_extraction.transfer_study.study import height_classes_of, prepare_tiles, run_study
from projects.building_extraction.transfer_study.study_file import Study
from projects.building_extraction.transfer_study.verdict import judge_study

OTHERS = HeightClasses((20.0,), ('small', 'large'))
CONFIG = """
model = dict(type='Network', backbone=dict())
val_evaluator = dict(type='HeightClassScores')
test_evaluator = val_evaluator
"""
OPTIONS = {'val_evaluator.limits_m': [20.0], 'val_evaluator.names': ['small', 'large']}


@pytest.fixture
def study(tmp_path):
    """Two methods, both with the evaluator as it is."""
    for name in ('kd', 'sda'):
        (tmp_path / f'{name}.py').write_text(CONFIG)
    methods = {
        name: {'title': name, 'description': '', 'config': str(tmp_path / f'{name}.py'), 'steps': 1}
        for name in ('kd', 'sda')
    }
    return Study('s', 'S', {}, methods, {}, {})


def test_height_classes_are_those_of_the_configs_and_of_the_options_of_study_and_method(study):
    assert height_classes_of(study) == HeightClasses()
    assert height_classes_of(replace(study, options=OPTIONS)) == OTHERS
    methods = {name: method | {'options': OPTIONS} for name, method in study.methods.items()}
    assert height_classes_of(replace(study, methods=methods)) == OTHERS


def test_a_config_that_is_absent_does_not_hide_the_others(study):
    methods = dict(study.methods) | {'dml': {'title': '', 'description': '', 'config': 'absent.py'}}
    assert height_classes_of(replace(study, options=OPTIONS, methods=methods)) == OTHERS


def test_methods_that_are_scored_by_different_classes_are_refused(study):
    methods = dict(study.methods) | {'sda': study.methods['sda'] | {'options': OPTIONS}}
    with pytest.raises(
        ValueError, match=r"different height classes.* kd: \(12\.0.*; sda: \(20\.0,\), \('small', 'large'\)"
    ):
        height_classes_of(replace(study, methods=methods))


def test_a_report_shows_and_judges_the_classes_of_its_study(study_folder):
    label = np.full((8, 8), 255, np.uint8)
    tiles = {'panel_tiles': ['t'], 'panel_images': 'images', 'panel_labels': 'masks', 'building_heights': 'heights'}
    classes = {'limits_m': [20.0], 'names': ['small', 'large']}
    study_folder.write_study(parameters={'height_classes': classes}, **tiles)
    study_folder.write_tile('t', label)
    heights_m = np.where(np.arange(8) < 4, 15, 25).astype(np.float32)
    (study_folder.path / 'heights').mkdir()
    Image.fromarray(np.tile(heights_m, (8, 1))).save(study_folder.path / 'heights' / 't.tif')
    study_folder.write_scores(sda=[{'overall': 80.0, 'small': 70.0, 'large': 90.0}])
    results = read_results(study_folder.path)
    figure = draw_panels(results, study_folder.path)
    names = [text.get_text() for text in figure.legends[0].get_texts() if text.get_text().startswith('label')]
    assert names == ['label: small', 'label: large']
    picture = np.asarray(figure.axes[1].images[0].get_array())
    assert (picture[0, 0] != picture[0, 7]).any()  # 15 m and 25 m
    published = judge_study(results).tables[-1]
    assert published.rows == [['small', '–', '70.0 (SDA)'], ['large', '–', '90.0 (SDA)']]


def test_classes_that_share_a_color_are_all_drawn(study_folder):
    classes = {'limits_m': [10.0, 20.0, 30.0, 40.0], 'names': ['a', 'b', 'c', 'd', 'e']}
    tiles = {'panel_tiles': ['t'], 'panel_images': 'images', 'panel_labels': 'masks', 'building_heights': 'heights'}
    study_folder.write_study(parameters={'height_classes': classes}, **tiles)
    study_folder.write_tile('t', np.full((2, 6), 255, np.uint8))
    (study_folder.path / 'heights').mkdir()
    heights_m = np.tile(np.array([5, 15, 25, 35, 45, np.nan], np.float32), (2, 1))
    Image.fromarray(heights_m).save(study_folder.path / 'heights' / 't.tif')
    figure = draw_panels(read_results(study_folder.path), study_folder.path)
    picture = np.asarray(figure.axes[1].images[0].get_array()).astype(int)
    gray = 90 * 0.75 + 32
    assert (np.abs(picture[0] - gray).max(axis=-1) > 10).all()  # every pixel is coloured


SMALL = {
    'type': 'RenderedScenes',
    'city': {'otherwise': {'size_m': 500, 'seed': 0}},
    'gsd_m': 1.0,
    'tile_px': 64,
    'domains': {name: {'num_tiles': 2 if name == 'target' else 1} for name in ('source', 'target', 'val', 'test')},
}


def test_settings_of_the_same_data_share_tiles_and_points_beyond_what_is_there_are_left_out(study, tmp_path):
    axes = {
        'clean': {'title': '', 'changes': ['target'], 'points': [(n, {'target_tiles': n}) for n in (1, 2, 9)]},
        'gsd': {'title': '', 'changes': ['test'], 'points': [(0.5, {'data.gsd_m': 0.5})], 'replicates': 1},
    }
    tried = {name: method | {'trials': [{}]} for name, method in study.methods.items()}
    study = replace(study, data=SMALL, axes=axes, replicates=2, methods=tried)
    roots = prepare_tiles(study, tmp_path, HeightClasses(), ['kd'])
    assert {key: root.name for key, root in roots.items()} == {
        ('main', 0): 'main_r0', ('main', 1): 'main_r1', ('tuning', 2): 'main_r2',
        ('clean-1', 0): 'main_r0', ('clean-1', 1): 'main_r1',
        ('clean-2', 0): 'main_r0', ('clean-2', 1): 'main_r1', ('gsd-0.5', 0): 'gsd-0.5_r0',
    }  # fmt: skip
    assert len({(root / 'parameters.json').read_text() for root in roots.values()}) == 4


def test_an_unknown_method_is_refused_before_tiles_are_written(study, tmp_path):
    with pytest.raises(ValueError, match=r"unknown methods \['sad'\]; the study has \['kd', 'sda'\]"):
        run_study(replace(study, data=SMALL), tmp_path / 'work', methods=['sad'])
    assert not (tmp_path / 'work').exists()


def test_too_few_tiles_to_tune_with_are_refused_and_not_left_out(study, tmp_path):
    tried = {name: method | {'trials': [{}]} for name, method in study.methods.items()}
    roots = prepare_tiles(
        replace(study, data=SMALL, replicates=1, methods=tried, target_tiles=9), tmp_path, HeightClasses(), ['kd']
    )
    assert set(roots) == {('main', 0), ('tuning', 1)}
