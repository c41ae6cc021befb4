"""Label maps that do not fit the rule of their data set are noticed before training."""

import re

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from projects.training import label_survey, segmentation_datasets
from projects.training.segmentation_datasets import CheckedADE20KDataset, CheckedCityscapesDataset

SHAPE = (8, 10)


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')


def values(*wanted):
    """A label map that holds just these values, the first most often."""
    labels = np.full(SHAPE, wanted[0], np.uint8)
    labels.flat[: len(wanted)] = wanted
    return labels


def build(root, *maps, dataset=CheckedADE20KDataset, suffix='.png', **options):
    """A data set of images and these label maps."""
    for folder in ('images', 'labels'):
        (root / folder).mkdir(exist_ok=True)
    image_suffix = '_leftImg8bit.png' if dataset is CheckedCityscapesDataset else '.jpg'
    for index, labels in enumerate(maps):
        if labels is not None:
            Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(root / f'images/a{index:03}{image_suffix}')
            Image.fromarray(labels).save(root / f'labels/a{index:03}{suffix}')
    prefix = {'img_path': 'images', 'seg_map_path': 'labels'}
    return dataset(data_root=str(root), data_prefix=prefix, pipeline=[], **options)


def warnings_of(logged):
    return [text for text in logged if 'the label maps hold' in text]


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(('wanted', 'shares'), [((0, 255), r'0 \(98.8%\), 255 \(1.2%\)'), ((0,), r'0 \(100.0%\)')])
def test_a_set_without_labeled_pixels_is_refused_with_its_values_and_the_rule(tmp_path, test_mode, wanted, shares):
    rule = 'by the rule of the data set 1–150 are classes and 0, 255 are ignored'
    with pytest.raises(ValueError, match=f'labels: no pixel is labelled.*{shares}; {rule}. Write label maps'):
        build(tmp_path, *[values(*wanted)] * 4, test_mode=test_mode)


def test_one_labeled_pixel_anywhere_is_enough(tmp_path, monkeypatch, logged):
    monkeypatch.setattr(label_survey, 'NUM_MAPS', 2)
    build(tmp_path, values(0), values(0), values(0, 7, 9), values(3), values(0))
    said = '4 label maps looked at hold 2 of 150 classes, 99.4% of the pixels are ignored'
    assert any(said in text for text in logged)
    assert not warnings_of(logged)


@pytest.mark.parametrize('wanted', [(6, 1, 255), (0, 3, 149, 255)])
def test_classes_that_are_counted_from_0_already_are_warned_of(tmp_path, logged, wanted):
    build(tmp_path, *[values(*wanted)] * 3)
    (warning,) = warnings_of(logged)
    assert 'They look as if classes were counted from 0. If so: --cfg-options train_dataloader' in warning
    option = re.search(r'train_dataloader\.dataset\.(\w+)=(\w+)', warning)
    assert option.groups() == ('reduce_zero_label', 'False')
    logged.clear()
    build(tmp_path, *[values(*wanted)] * 3, reduce_zero_label=False)  # what it says
    assert not warnings_of(logged)


def test_values_of_which_another_rule_makes_all_classes_are_warned_of(tmp_path, logged):
    maps = [values(*range(75)), values(*range(75, 150))]  # without 255, and without the last class
    build(tmp_path, *maps)
    assert ['counted from 0' in warning for warning in warnings_of(logged)] == [True]
    logged.clear()
    build(tmp_path, *maps, reduce_zero_label=False)
    build(tmp_path, values(*range(75)), values(*range(75, 151)))
    assert not warnings_of(logged)


@pytest.mark.parametrize('wanted', [(0, 1, 150), (0, 1, 2), (5, 4, 150, 255), (1, 2)])
def test_proper_maps_of_ade20k_are_not_doubted(tmp_path, logged, wanted):
    build(tmp_path, *[values(*wanted)] * 3)
    assert not warnings_of(logged)


def test_classes_that_are_counted_from_1_are_refused_where_they_should_be_from_0(tmp_path):
    with pytest.raises(ValueError, match=r'unknown label values \[150\].*counted from 1.*reduce_zero_label=True'):
        build(tmp_path, *[values(0, 1, 150)] * 3, reduce_zero_label=False)


def test_a_single_class_is_warned_of(tmp_path, logged):
    build(tmp_path, *[values(0, 1)] * 3)
    assert 'only one class occurs, from which nothing can be learnt' in warnings_of(logged)[0]


@pytest.mark.parametrize(
    ('suffix', 'wanted', 'error', 'advice'),
    [
        ('_gtFine_labelIds.png', (0, 1, 7, 8, 18, 255), None, 'look like train ids'),
        ('_gtFine_labelIds.png', (0, 1, 2, 10, 18, 255), 'no pixel is labelled', 'look like train ids'),
        ('_gtFine_labelIds.png', (7, 8, 11, 23, 26, 0), None, None),
        ('_gtFine_labelTrainIds.png', (0, 1, 2, 10, 18, 255), None, None),
        ('_gtFine_labelTrainIds.png', (10, 18, 255), None, None),
        ('_gtFine_labelTrainIds.png', (7, 8, 11, 23, 26, 0), 'unknown label values', 'look like label ids'),
    ],
)
def test_label_ids_and_train_ids_are_told_apart(tmp_path, logged, suffix, wanted, error, advice):
    maps = [values(*wanted)] * 3
    if error:
        with pytest.raises(ValueError, match=f'{error}.*{advice}'):
            build(tmp_path, *maps, dataset=CheckedCityscapesDataset, suffix=suffix)
        return
    build(tmp_path, *maps, dataset=CheckedCityscapesDataset, suffix=suffix)
    assert [advice in text for text in warnings_of(logged)] == ([True] if advice else [])


@pytest.mark.parametrize(
    ('labels', 'reason'),
    [
        (np.zeros((*SHAPE, 3), np.uint8), 'Colours must be turned into the indices of their classes'),
        (np.ones(SHAPE[::-1], np.uint8), 'lies on its side.*EXIF'),
        (np.ones((4, 5), np.uint8), r'of its image of \(8, 10\); this one is uint8 of \(4, 5\)'),
        (values(1, 200), r'unknown label values \[200\]'),
    ],
)
def test_maps_that_cannot_be_used_are_found_before_training(tmp_path, labels, reason):
    with pytest.raises(ValueError, match=f'2 of 3 label maps that were looked at cannot be used.*5%.*{reason}'):
        build(tmp_path, labels, values(1, 2), labels)


def test_images_that_exif_turns_have_the_size_that_they_are_decoded_to(tmp_path):
    build(tmp_path, values(1, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((*SHAPE[::-1], 3), 90, np.uint8)).save(tmp_path / 'images/a000.jpg', exif=exif)
    build(tmp_path, None)  # the label map fits the turned image
    Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(tmp_path / 'images/a000.jpg', exif=exif)
    with pytest.raises(ValueError, match='lies on its side'):
        build(tmp_path, None)


def test_one_bad_map_in_many_is_named_and_survived(tmp_path, logged):
    build(tmp_path, *[values(1, 2)] * 20, values(1, 200))
    assert any('20 label maps looked at hold 2 of 150 classes' in text and 'values [200]' in text for text in logged)


def test_a_set_is_surveyed_once_and_anew_when_a_file_changes(tmp_path, monkeypatch, logged):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(label_survey, 'MAPS_WORTH_A_CACHE', 4)
    read, opened = segmentation_datasets.read_label_map, []
    monkeypatch.setattr(segmentation_datasets, 'read_label_map', lambda *args: opened.append(args) or read(*args))
    build(tmp_path, values(1, 2), values(3, 255), values(0, 1), values(200), max_unreadable_share=0.5)
    build(tmp_path, max_unreadable_share=0.5)
    assert len(opened) == 4
    said = [text for text in logged if 'label maps looked at' in text]
    assert len(said) == 2
    assert said[0] == said[1]
    assert '3 label maps looked at hold 3 of 150 classes' in said[0]
    Image.fromarray(values(200, 201)).save(tmp_path / 'labels/a000.png')
    with pytest.raises(ValueError, match='2 of 4 label maps that were looked at cannot be used'):
        build(tmp_path, max_unreadable_share=0.3)
    assert len(opened) == 8
    for path in (tmp_path / 'cache/skyline/label_surveys').iterdir():
        path.write_text('{"counts": [1]}')
    build(tmp_path, max_unreadable_share=0.5)
    assert len(opened) == 12
