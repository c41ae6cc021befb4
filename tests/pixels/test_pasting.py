"""Masks brought into the image."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from projects.pixels.pasting import paste_mask


def boxes_of_all_kinds(generator, height, width):
    """Inside, across every border, tiny, as large as the image and beyond it."""
    corners = generator.uniform(-0.2, 1.2, (60, 2, 2)) * (width, height)
    random = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    random = random[(random[:, :2] < (width, height)).all(axis=1) & (random[:, 2:] > 0).all(axis=1)]
    special = [[0, 0, width, height], [-9, -9, width + 9, height + 9], [5, 7, 6, 8], [5.3, 7.2, 5.6, 7.9]]
    return np.concatenate([random, special]).astype(np.float32)


@pytest.mark.parametrize('threshold', [0.5, 0.3])
@pytest.mark.parametrize('size', [(48, 64), (113, 91)])
def test_masks_are_pasted_as_by_mmdet(size, threshold):
    generator = np.random.default_rng(1)
    boxes = boxes_of_all_kinds(generator, *size)
    different = total = 0
    for box in boxes:
        coarse = generator.normal(size=(7, 7)).astype(np.float32)
        mask = 1 / (1 + np.exp(-3 * cv2.resize(coarse, (28, 28))))
        expected, found = np.zeros((2, *size), bool)
        pasted, place = _do_paste_mask(torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], *size)
        expected[place] = pasted[0].numpy() >= threshold
        rows, columns, inside = paste_mask(mask, box, size, threshold)
        found[rows, columns] = inside
        different += (found != expected).sum()
        total += expected.sum()
    assert total > 5000
    assert different <= total * 0.0005


def test_a_mask_fades_over_the_border_of_its_box():
    # mask pixels are 2 px wide: along an edge the value is 0.75 half a px inside of the box, 0.25 half a px outside
    expected = {threshold: np.zeros((12, 12), bool) for threshold in (0.5, 0.15)}
    expected[0.5][4:8, 4:8] = True
    expected[0.15][3:9, 4:8] = expected[0.15][4:8, 3:9] = True
    for threshold, mask in expected.items():
        box = np.array([4, 4, 8, 8], np.float32)
        rows, columns, inside = paste_mask(np.ones((2, 2), np.float32), box, (12, 12), threshold)
        found = np.zeros((12, 12), bool)
        found[rows, columns] = inside
        assert np.array_equal(found, mask)


def test_a_box_outside_of_the_image_has_an_empty_mask():
    for box in ([70, 10, 90, 30], [-30, -30, -5, -5], [10, 50, 20, 60]):
        rows, columns, inside = paste_mask(np.ones((28, 28), np.float32), np.array(box, np.float32), (40, 60), 0.5)
        assert not inside.any()
        assert np.zeros((40, 60))[rows, columns].shape == inside.shape
