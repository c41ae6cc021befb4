"""The choice of boxes, by hand and against torchvision and mmdet."""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from projects.deployment.inference_graphs.box_selection import (
    clip_boxes,
    larger_than,
    largest_side,
    spread_classes,
    suppress,
    top,
)
from projects.deployment.inference_graphs.mask_rcnn import pool

BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
IMAGES = torch.zeros(2, 40, 70, 3, dtype=torch.uint8)


def test_an_overlapped_box_is_suppressed_by_a_better_one_of_its_own_image_and_group():
    boxes = BOXES.expand(2, 3, 4)  # the first two overlap by 9 / 11
    scores = torch.tensor([[[0.5, 0.9, 0.1], [0.8, 0.0, 0.0]], [[0.9, 0.6, 0.7], [0.0, 0.0, 0.0]]])
    kept = suppress(boxes, scores, 10, 0.5, 0.0)
    assert kept.tolist() == [[0, 0, 1], [0, 0, 2], [0, 1, 0], [1, 0, 0], [1, 0, 2]]


def test_boxes_below_the_threshold_and_beyond_the_number_are_left_out():
    scores = torch.tensor([[[0.5, 0.4, 0.3]]])
    assert suppress(BOXES[None], scores, 10, 0.99, 0.3).tolist() == [[0, 0, 0], [0, 0, 1]]
    assert suppress(BOXES[None], scores, 1, 0.99, 0.0).tolist() == [[0, 0, 0]]


def test_boxes_of_different_classes_are_moved_apart():
    last = largest_side(IMAGES, torch.float32)
    assert last == 70
    spread = spread_classes(BOXES[:2], torch.tensor([0, 2]), last)
    assert spread.tolist() == [[0, 0, 10, 10], [143, 142, 153, 152]]


def test_boxes_are_clipped_to_the_images():
    boxes = torch.tensor([[[-5.0, 3.0, 90.0, 99.0]]])
    assert clip_boxes(boxes, IMAGES).tolist() == [[[0, 3, 70, 40]]]


def test_boxes_without_area_are_not_larger_than_nothing():
    boxes = torch.tensor([[0.0, 5.0, 9.0, 5.0], [0.0, 5.0, 9.0, 6.0]])
    assert larger_than(0, boxes).tolist() == [False, True]


def test_the_best_are_all_where_there_are_fewer():
    assert top(torch.tensor([[1.0, 3.0, 2.0]]), 2)[1].tolist() == [[1, 2]]
    assert top(torch.tensor([[1.0, 3.0, 2.0]]), 9)[1].tolist() == [[1, 2, 0]]


def test_pooling_equals_that_of_mmdet():
    torch.manual_seed(0)
    extractor = SingleRoIExtractor(
        {'type': 'RoIAlign', 'output_size': 7, 'sampling_ratio': 0}, out_channels=8, featmap_strides=[4, 8, 16]
    )
    features = [torch.randn(2, 8, 128 // stride, 160 // stride) for stride in (4, 8, 16)]
    corners, sides = torch.rand(40, 2) * 60, torch.rand(40, 2) * torch.tensor([8.0, 600.0])[torch.arange(40) % 2, None]
    rois = torch.cat((torch.arange(40)[:, None] % 2, corners, corners + sides), 1)
    torch.testing.assert_close(pool(extractor, features, rois), extractor(features, rois))
    assert pool(extractor, features, rois[:0]).shape == (0, 8, 7, 7)
