"""What is read out of samples of segmentors and detectors, and what is refused."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from projects.building_extraction.evaluation.height_class_samples import read_labels, read_objects

IDS = np.array([[1, 1, 0, 2, 2, 0]], np.int32)
HEIGHTS_M = np.array([np.nan, 5, 50], np.float32)
NAMED = {'building_ids': IDS, 'building_heights_m': HEIGHTS_M}


def segmentation(values):
    return {'data': torch.tensor([values])}


def test_the_mask_says_what_is_building_and_the_ids_say_which():
    labels = read_labels({**NAMED, 'gt_sem_seg': segmentation([[1, 255, 0, 1, 0, 0]])})
    assert labels.ids.tolist() == [[1, 0, 0, 2, 0, 0]]
    assert labels.ignored.tolist() == [[False, True, False, False, False, False]]
    assert np.array_equal(labels.heights_m, HEIGHTS_M, equal_nan=True)


def test_building_pixels_without_an_id_are_buildings_of_unknown_height():
    labels = read_labels({**NAMED, 'gt_sem_seg': segmentation([[1, 1, 0, 1, 1, 1]])})
    assert labels.ids.tolist() == [[1, 1, 0, 2, 2, 3]]
    assert np.isnan(labels.heights_m).tolist() == [True, False, False, True]


def test_a_mask_alone_is_taken_by_connected_parts_which_ignored_pixels_cut():
    labels = read_labels({'gt_sem_seg': segmentation([[1, 255, 1, 1, 0, 1]])})
    assert labels.ids.tolist() == [[1, 0, 2, 2, 0, 3]]
    assert np.isnan(labels.heights_m).all()
    assert len(labels.heights_m) == 4


@pytest.mark.parametrize(
    'masks',
    [
        BitmapMasks(np.array([[[1, 1, 1, 0, 0, 0]], [[0, 0, 1, 1, 0, 0]]], np.uint8), 1, 6),
        PolygonMasks([[np.array([0, 0, 3, 0, 3, 1, 0, 1.0])], [np.array([2, 0, 4, 0, 4, 1, 2, 1.0])]], 1, 6),
        torch.tensor([[[1, 1, 1, 0, 0, 0]], [[0, 0, 1, 1, 0, 0]]]),
    ],
)
def test_masks_of_instances_are_labels_where_nothing_else_is(masks):
    labels = read_labels({'gt_instances': {'masks': masks}})
    assert labels.ids.tolist() == [[1, 1, 2, 2, 0, 0]]
    assert np.isnan(labels.heights_m).all()


def test_ignored_instances_do_not_cover_buildings():
    masks = BitmapMasks(np.array([[[0, 1, 1, 0, 0, 0]]], np.uint8), 1, 6)
    labels = read_labels({**NAMED, 'ignored_instances': {'masks': masks}})
    assert labels.ignored.tolist() == [[False, False, True, False, False, False]]
    assert (labels.ids == IDS).all()
    none = BitmapMasks(np.zeros((0, 1, 6), np.uint8), 1, 6)
    assert not read_labels({**NAMED, 'ignored_instances': {'masks': none}}).ignored.any()


def test_parts_of_a_prediction_are_connected_after_ignored_pixels_have_gone():
    ignored = np.array([[0, 1, 0, 0, 0, 0]], bool)
    objects = read_objects({'pred_sem_seg': segmentation([[1, 1, 1, 0, 1, 1]])}, ignored, 0.5)
    assert objects.positions.tolist() == [0, 2, 4, 5]
    assert objects.owners.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize('kind', [torch.tensor, np.array])
def test_instances_count_from_the_threshold_on(kind):
    masks = kind([[[1, 1, 0, 0, 0, 0]], [[0, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 1, 1]]]) > 0
    sample = {'pred_instances': {'masks': masks, 'scores': kind([0.75, 0.25, 0.5])}}
    objects = read_objects(sample, np.zeros((1, 6), bool), 0.5)
    assert objects.positions.tolist() == [0, 1, 4, 5]
    assert objects.owners.tolist() == [0, 0, 1, 1]
    assert read_objects(sample, np.zeros((1, 6), bool), 0.9).number == 0


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ({}, 'has no labels: expected gt_sem_seg, building_ids or gt_instances'),
        ({'building_ids': IDS, 'building_heights_m': HEIGHTS_M[:2]}, 'are 0 to 2; building_heights_m has 2 entries'),
        ({'building_ids': -IDS, 'building_heights_m': HEIGHTS_M}, 'are -2 to 0'),
        ({**NAMED, 'gt_sem_seg': segmentation([[1, 0, 0]])}, r'are of \(1, 6\), gt_sem_seg is of \(1, 3\)'),
    ],
)
def test_labels_that_are_missing_or_contradict_one_another_are_refused(sample, message):
    with pytest.raises(ValueError, match=f'a.png.*{message}'):
        read_labels({'img_path': 'a.png', **sample})


def test_predictions_that_are_missing_or_of_another_size_are_refused():
    ignored = np.zeros((1, 6), bool)
    with pytest.raises(ValueError, match=r'b.png has no predicted masks'):
        read_objects({'img_path': 'b.png', 'pred_instances': {'scores': np.ones(1)}}, ignored, 0.5)
    with pytest.raises(ValueError, match=r'b.png: predictions are of \(1, 3\), labels of \(1, 6\)'):
        read_objects({'img_path': 'b.png', 'pred_sem_seg': segmentation([[1, 0, 0]])}, ignored, 0.5)
