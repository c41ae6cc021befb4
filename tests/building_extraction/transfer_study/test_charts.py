import numpy as np
import pytest
from matplotlib.colors import to_hex

from projects.building_extraction.transfer_study.charts import (
    draw_axis,
    draw_bars,
    draw_learning_curves,
    method_styles,
)
from projects.building_extraction.transfer_study.results import read_results
from projects.reporting.palette import SERIES


def bars_of(axes):
    return [patch for patch in axes.patches if patch.get_height() > 0]


def test_bars_are_means_with_replicates_as_dots_in_the_methods_colors(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[70.0, 72.0], sda=[{'overall': 80.0}, {'overall': 90.0}])
    axes = draw_bars(read_results(study_folder.path)).axes[0]
    styles = method_styles(read_results(study_folder.path).study)
    heights = {to_hex(bar.get_facecolor()).upper(): bar.get_height() for bar in bars_of(axes)}
    assert heights == {styles['kd']['color']: 71.0, styles['sda']['color']: 85.0}
    dots = [set(line.get_ydata()) for line in axes.lines if line.get_marker() == 'o']
    assert {80.0, 90.0} in dots
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        'overall', 'low-rise', 'mid-rise', 'high-rise', 'skyscraper'
    ]  # fmt: skip
    assert axes.get_ylim() == (0, 100)


def test_error_bars_are_the_sample_standard_deviation_and_absent_for_one_replicate(study_folder):
    study_folder.write_study()
    study_folder.write_scores(kd=[{'overall': 70.0}, {'overall': 74.0}], sda=[{'overall': 80.0}])
    axes = draw_bars(read_results(study_folder.path)).axes[0]
    segments = [segment for lines in axes.collections for segment in lines.get_segments()]
    assert len(segments) == 1
    np.testing.assert_allclose(segments[0][:, 1], [72 - np.sqrt(8), 72 + np.sqrt(8)])


def test_learning_curves_are_means_with_a_band(study_folder):
    study_folder.write_study()
    for seed, f1 in enumerate((40.0, 44.0)):
        curve = [{'iteration': 50, 'f1': f1}, {'iteration': 100, 'f1': None if seed else 60.0}]
        study_folder.write_run('sda', seed, 80.0, f1_curve=curve, loss_curve=[[1, 1.0], [2, 0.5]])
    scores, losses = draw_learning_curves(read_results(study_folder.path)).axes
    np.testing.assert_allclose(scores.lines[0].get_xydata(), [[50, 42], [100, 60]])
    np.testing.assert_allclose(losses.lines[0].get_xydata(), [[1, 1.0], [2, 0.5]])
    band = scores.collections[0].get_paths()[0].vertices[:, 1]
    assert np.nanmin(band) == pytest.approx(42 - np.sqrt(8))


def test_the_loss_is_smoothed_without_looking_ahead(study_folder):
    study_folder.write_study()
    loss = [[i, float(i % 2 + 1)] for i in range(1, 41)]
    study_folder.write_run('sda', 0, 80.0, loss_curve=loss)
    line = draw_learning_curves(read_results(study_folder.path)).axes[1].lines[0]
    assert line.get_xdata()[0] == 2
    np.testing.assert_allclose(line.get_ydata(), 1.5)


ANGLES = {
    'name': 'angle', 'title': 'off-nadir angle of the source', 'unit': '°', 'changes': ['source'], 'replicates': 2,
    'points': [[0, 'angle-0'], [20, 'main'], [40, 'angle-40']],
}  # fmt: skip


def draw_first_axis(study_folder):
    results = read_results(study_folder.path)
    return draw_axis(results, results.study.axes[0])


def test_values_are_the_x_axis_and_a_method_that_they_do_not_change_is_level_and_dashed(study_folder):
    study_folder.write_study(axes=[ANGLES])
    for setting, f1 in (('angle-0', 80.0), ('main', 70.0), ('angle-40', 50.0)):
        study_folder.write_run('teacher', 0, f1, setting=setting)
    study_folder.write_run('teacher', 2, 99.0)  # of a replicate that the axis has not got
    study_folder.write_run('student', 0, 65.0)
    figure = draw_first_axis(study_folder)
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == [
        'overall', 'low-rise', 'mid-rise', 'high-rise', 'skyscraper'
    ]  # fmt: skip
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines['Teacher'].get_xydata(), [[0, 80], [20, 70], [40, 50]])
    np.testing.assert_allclose(lines['Target only'].get_xydata(), [[0, 65], [20, 65], [40, 65]])
    assert (lines['Teacher'].get_linestyle(), lines['Target only'].get_linestyle()) == ('-', '--')
    assert figure.axes[0].get_xlabel() == 'off-nadir angle of the source, °'


def test_an_axis_of_numbers_of_tiles_is_logarithmic_and_a_changed_test_set_changes_all(study_folder):
    tiles = {'name': 'clean', 'title': 'clean tiles', 'log': True, 'changes': ['target', 'test'], 'replicates': 1,
             'points': [[4, 'clean-4'], [16, 'main']]}  # fmt: skip
    study_folder.write_study(axes=[tiles])
    study_folder.write_run('sda', 0, 60.0, setting='clean-4')
    study_folder.write_scores(sda=[70.0], teacher=[50.0])
    axes = draw_first_axis(study_folder).axes[0]
    assert axes.get_xscale() == 'log'
    assert [label.get_text() for label in axes.get_xticklabels()] == ['4', '16']
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines['SDA'].get_xydata(), [[4, 60], [16, 70]])
    np.testing.assert_allclose(lines['Teacher'].get_xydata(), [[16, 50]])  # was not scored on the other test set


def test_nothing_is_drawn_from_nothing(study_folder):
    study_folder.write_study(axes=[ANGLES])
    results = read_results(study_folder.path)
    assert draw_bars(results) is None
    assert draw_learning_curves(results) is None
    assert draw_first_axis(study_folder) is None
    study_folder.write_run('sda', 0, 80.0)
    assert draw_first_axis(study_folder) is None


def test_methods_keep_their_color_whatever_has_finished(study_folder):
    study_folder.write_study()
    before = method_styles(read_results(study_folder.path).study)
    study_folder.write_scores(sda=[80.0])
    assert method_styles(read_results(study_folder.path).study) == before
    assert [style['color'] for style in before.values()] == list(SERIES[:6])
