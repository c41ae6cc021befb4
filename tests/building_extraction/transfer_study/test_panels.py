import numpy as np
import pytest
from PIL import Image

from projects.building_extraction.transfer_study.panels import (
    FALSE,
    MISSED,
    RIGHT,
    draw_panels,
    overlay,
    read_mask,
    tile_f1,
    tile_views,
)
from projects.building_extraction.transfer_study.report import write_report
from projects.building_extraction.transfer_study.results import read_results
from projects.reporting.figures import png
from projects.reporting.palette import rgb

LABEL = np.zeros((32, 32), np.uint8)
LABEL[4:12, 4:12] = 255
LABEL[:, 28:] = 127
PREDICTION = np.zeros_like(LABEL)
PREDICTION[4:12, 8:16] = 255
PREDICTION[:, 28:] = 255
FIELDS = {'panel_tiles': ['test_0003'], 'panel_images': 'images', 'panel_labels': 'masks'}


@pytest.fixture
def panel_study(study_folder):
    study_folder.write_study(**FIELDS)
    study_folder.write_tile('test_0003', LABEL)
    for method in ('kd', 'sda'):
        run = study_folder.write_run(method, 0, 80.0, predictions='predictions/')
        (run / 'predictions').mkdir()
    Image.fromarray(PREDICTION).save(run / 'predictions' / 'test_0003.png')
    return study_folder


def test_right_false_and_missed_pixels_have_their_colors_and_ignored_ones_none():
    image = np.full((32, 32, 3), 100, np.uint8)
    picture = overlay(image, LABEL, PREDICTION).astype(int)
    gray = 100 * 0.75 + 32
    for (row, column), color in {(6, 9): RIGHT, (6, 14): FALSE, (6, 5): MISSED}.items():
        np.testing.assert_allclose(picture[row, column], 0.35 * gray + 0.65 * np.array(rgb(color)), atol=1)
    for row, column in ((20, 20), (6, 30)):
        np.testing.assert_allclose(picture[row, column], gray, atol=1)


def test_f1_of_a_tile_leaves_ignored_pixels_out():
    assert tile_f1(LABEL, PREDICTION) == pytest.approx(50.0)  # 32 right of 64 labelled and 64 found
    assert tile_f1(np.zeros_like(LABEL), np.zeros_like(LABEL)) is None
    assert tile_f1(LABEL, np.zeros_like(LABEL)) == 0.0


def test_a_panel_has_image_label_and_each_method_with_predictions(panel_study):
    figure = draw_panels(read_results(panel_study.path), panel_study.path)
    assert [axes.get_title() for axes in figure.axes] == ['image', 'label', 'KD', 'SDA']
    assert figure.axes[0].get_ylabel() == 'test_0003'
    assert [axes.get_xlabel() for axes in figure.axes] == ['', '', 'no prediction', 'F1 50.0']
    np.testing.assert_array_equal(
        figure.axes[3].images[0].get_array(), overlay(np.full((32, 32, 3), 90, np.uint8), LABEL, PREDICTION)
    )
    assert png(figure)


def test_the_label_shows_height_classes_where_heights_are_known(panel_study):
    pytest.importorskip('projects.building_extraction.height_classes')
    panel_study.write_study(**FIELDS, building_heights='heights')
    heights_m = np.full(LABEL.shape, np.nan, np.float32)
    heights_m[:, :8], heights_m[:, 8:10] = 5.0, 150.0
    (panel_study.path / 'heights').mkdir()
    Image.fromarray(heights_m).save(panel_study.path / 'heights' / 'test_0003.tif')
    figure = draw_panels(read_results(panel_study.path), panel_study.path)
    picture = np.asarray(figure.axes[1].images[0].get_array()).astype(int)
    colors = {tuple(picture[6, column]) for column in (5, 9, 11, 20)}
    assert len(colors) == 4
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[3:] == [
        'label: low-rise',
        'label: skyscraper',
        'label: unknown height',
    ]  # and no class that is not seen


def test_a_map_has_a_view_of_each_tile_with_what_each_method_finds(panel_study):
    (view,) = tile_views(read_results(panel_study.path), panel_study.path)
    assert (view.title, view.size_px, view.notes) == ('test_0003', (32, 32), ['SDA: F1 50.0'])
    assert [picture.name for picture in view.pictures] == ['image', 'label', 'SDA']
    image, label, found = (picture.rgba for picture in view.pictures)
    assert (image == (90, 90, 90, 255)).all()
    assert ((label[..., 3] > 0) == (LABEL == 255)).all()
    for (row, column), color in {(6, 9): RIGHT, (6, 14): FALSE, (6, 5): MISSED}.items():
        assert tuple(found[row, column]) == (*rgb(color), 255)
    assert not found[[20, 6], [20, 30], 3].any()  # right without a building, and ignored
    assert [(key.label, key.count) for key in view.pictures[2].keys] == [
        ('building found', '33.3%'),
        ('false alarm', '33.3%'),
        ('building missed', '33.3%'),
    ]
    page = write_report(panel_study.path).read_text()
    assert page.count('class="map"') == 1


def test_a_study_without_tiles_has_no_panels(study_folder):
    study_folder.write_study()
    assert tile_views(read_results(study_folder.path), study_folder.path) == []
    assert draw_panels(read_results(study_folder.path), study_folder.path) is None


def test_tiles_are_shown_before_any_run_has_finished(study_folder):
    study_folder.write_study(**FIELDS)
    study_folder.write_tile('test_0003', LABEL)
    assert len(draw_panels(read_results(study_folder.path), study_folder.path).axes) == 2


def test_masks_of_other_values_or_sizes_are_refused(tmp_path):
    path = tmp_path / 'mask.png'
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'mask\.png has the values \[1\]; a mask of this kind holds \[0, 255\] only'):
        read_mask(path, {0, 255}, (1, 2))
    with pytest.raises(ValueError, match=r'has the shape \(1, 2\); its image has \(4, 4\)'):
        read_mask(path, {0, 1}, (4, 4))
    with pytest.raises(FileNotFoundError):
        read_mask(tmp_path / 'absent.png', {0}, (1, 2))
