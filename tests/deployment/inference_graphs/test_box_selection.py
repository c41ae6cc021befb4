"""The choice of boxes, by hand and against torchvision and mmdet."""

import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from projects.deployment.inference_graphs.box_selection import (
    clip_boxes,
    larger_than,
    largest_side,
    spread_classes,
    suppress,
    top,
)
from projects.deployment.inference_graphs.mask_rcnn import MasksOfClasses, pool, pool_in_order

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
    torch.testing.assert_close(pool_in_order(extractor, features, rois), extractor(features, rois))
    pooled, order = pool(extractor, features, rois)
    torch.testing.assert_close(pooled, extractor(features, rois[order]))
    assert extractor.map_roi_levels(rois[order], 3).diff().min() == 0, 'level by level'
    assert pool_in_order(extractor, features, rois[:0]).shape == (0, 8, 7, 7)


@pytest.mark.parametrize('upsampling', ['deconv', 'bilinear', None])
def test_masks_of_the_classes_are_those_that_mmdet_finds_among_all(upsampling):
    torch.manual_seed(0)
    head = FCNMaskHead(
        2, in_channels=8, conv_out_channels=8, num_classes=5, upsample_cfg={'type': upsampling, 'scale_factor': 2}
    )
    head.conv_logits.bias.data.normal_()
    x, labels = torch.randn(6, 8, 14, 14), torch.tensor([4, 0, 3, 3, 1, 0])
    expected = head(x)[torch.arange(6), labels]
    torch.testing.assert_close(MasksOfClasses(head)(x, labels), expected, rtol=1e-5, atol=1e-6)
    assert head(x).shape[1] == 5, 'the head stays as it is'


def test_a_mask_head_without_classes_has_one_mask_for_all():
    head = FCNMaskHead(1, in_channels=8, conv_out_channels=8, num_classes=5, class_agnostic=True)
    x = torch.randn(2, 8, 14, 14)
    torch.testing.assert_close(MasksOfClasses(head)(x, torch.tensor([4, 0])), head(x)[:, 0])
