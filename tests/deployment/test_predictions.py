"""Results on their way back to the image file: as mmcv, mmseg and mmdet bring them there."""

from dataclasses import replace

import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from projects.deployment.model_info import INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.predictions import (
    Detections,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    fit_size,
    labels_of,
    rescale_detections,
    resize_image,
    resize_segmentation,
)

INFO = ModelInfo(INSTANCES, ('cat',), ((0, 0, 0),), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CLASSES = replace(INFO, task=SEGMENTATION, classes=('a', 'b', 'c'))
BUILDING = replace(INFO, task=SEGMENTATION, classes=('ground', 'building'), threshold=0.5)


@pytest.mark.parametrize('scale', [(1333, 800), (2048, 512), (2048, 1024), (512, 512), (576, 576)])
def test_images_get_the_size_that_mmcv_gives_them(scale):
    generator = np.random.default_rng(0)
    for height, width in generator.integers(1, 3000, (300, 2)).tolist():
        expected = mmcv.rescale_size((width, height), scale)
        assert fit_size(replace(INFO, scale=scale), (height, width)) == expected[::-1]


def test_half_a_pixel_is_rounded_up():
    assert fit_size(replace(INFO, scale=(512, 512)), (5, 1024)) == (3, 512)


def test_size_without_proportions_without_scale_and_of_a_fixed_graph():
    assert fit_size(replace(INFO, scale=(64, 32), keep_ratio=False), (7, 9)) == (32, 64)
    assert fit_size(INFO, (7, 9)) == (7, 9)
    assert fit_size(replace(INFO, scale=(64, 32), input_size=(96, 128)), (7, 9)) == (96, 128)


def test_an_image_is_resized_as_by_mmcv():
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    assert resize_image(image, (37, 53)) is image
    assert np.array_equal(resize_image(image, (61, 87)), mmcv.imresize(image, (87, 61)))
    assert np.array_equal(resize_image(image, (20, 31)), mmcv.imresize(image, (31, 20)))


FIXED = replace(INFO, input_size=(80, 128), scale=(1333, 800), mean=(123.675, 116.28, 103.53))


def test_an_image_fits_into_the_size_of_a_graph_with_its_proportions():
    assert content_size(FIXED, (43, 64)) == (80, 119)
    assert content_size(FIXED, (64, 48)) == (80, 60)
    assert content_size(FIXED, (1, 1000)) == (1, 128)
    assert content_size(FIXED, (80, 128)) == (80, 128)
    assert content_size(replace(FIXED, keep_ratio=False), (64, 48)) == (80, 128)
    unscaled = replace(FIXED, scale=None)
    assert content_size(unscaled, (40, 60)) == (40, 60), 'never enlarged'
    assert content_size(unscaled, (160, 160)) == (80, 80)
    for height, width in np.random.default_rng(0).integers(1, 3000, (300, 2)).tolist():
        fitted = content_size(FIXED, (height, width))
        assert fitted[0] <= 80
        assert fitted[1] <= 128
        assert 80 in fitted or 128 in fitted


def test_what_remains_has_the_mean_color():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    fitted = fit_image(image, FIXED)
    assert fitted.shape == (80, 128, 3)
    assert np.array_equal(fitted[:, :80], mmcv.imresize(image, (80, 80)))
    assert (fitted[:, 80:] == (124, 116, 104)).all()
    assert fit_image(image, replace(FIXED, input_size=(60, 60))) is image
    assert fit_image(image, replace(FIXED, keep_ratio=False)).shape == (80, 128, 3)


def test_predictions_for_the_padding_are_taken_away():
    probabilities = np.random.default_rng(0).random((2, 8, 10), np.float32)
    cropped = crop_prediction(Segmentation(probabilities.argmax(0), probabilities), (8, 7))
    assert np.array_equal(cropped.probabilities, probabilities[:, :, :7])
    assert np.array_equal(cropped.labels, probabilities[:, :, :7].argmax(0))
    assert crop_prediction(Segmentation(probabilities.argmax(0)), (5, 10)).labels.shape == (5, 10)
    boxes = np.array([[0, 0, 4, 4], [2, 2, 10, 6], [7, 0, 9, 9]], np.float32)
    ramp = np.tile(np.arange(28, dtype=np.float32) / 28, (3, 28, 1))
    found = crop_prediction(Detections(boxes, np.float32([0.9, 0.8, 0.7]), np.arange(3), ramp), (8, 6))
    assert found.boxes.tolist() == [[0, 0, 4, 4], [2, 2, 6, 6]]
    assert found.labels.tolist() == [0, 1]
    assert np.array_equal(found.masks[0], ramp[0])
    np.testing.assert_allclose(found.masks[1][:, 1:], ramp[1][:, 1:] / 2 - 0.25 / 28, atol=1e-6)


SIZES = [((24, 32), (51, 77)), ((48, 64), (24, 32)), ((40, 56), (29, 31)), ((16, 16), (16, 40))]


@pytest.mark.parametrize(('from_size', 'to_size'), SIZES)
def test_several_classes_are_resized_as_mmseg_resizes_logits(from_size, to_size):
    logits = torch.randn(1, 3, *from_size, generator=torch.Generator().manual_seed(0)) * 8
    probabilities = logits.softmax(dim=1)[0].numpy()
    found = resize_segmentation(Segmentation(labels_of(probabilities, CLASSES), probabilities), to_size, CLASSES)
    expected = F.interpolate(logits, to_size, mode='bilinear', align_corners=False)[0]
    assert found.labels.dtype == np.uint8
    assert (found.labels == expected.argmax(dim=0).numpy()).mean() > 0.999
    np.testing.assert_allclose(found.probabilities, expected.softmax(dim=0).numpy(), atol=1e-4)


@pytest.mark.parametrize(('from_size', 'to_size'), SIZES)
def test_one_logit_is_resized_as_by_mmseg(from_size, to_size):
    logits = torch.randn(1, 1, *from_size, generator=torch.Generator().manual_seed(0)) * 2
    probabilities = logits.sigmoid()[0].numpy()
    for threshold in (0.5, 0.3):
        info = replace(BUILDING, threshold=threshold)
        found = resize_segmentation(Segmentation(labels_of(probabilities, info), probabilities), to_size, info)
        expected = F.interpolate(logits, to_size, mode='bilinear', align_corners=False)[0].sigmoid()
        assert (found.labels == (expected[0] > threshold).numpy()).mean() > 0.999
        np.testing.assert_allclose(found.probabilities, expected.numpy(), atol=1e-4)


def test_certain_pixels_stay_finite():
    for channels in (np.array([[[0.0, 1.0]]]), np.array([[[0.0, 1.0]], [[1.0, 0.0]]])):
        info = BUILDING if len(channels) == 1 else CLASSES
        probabilities = channels.astype(np.float32)
        found = resize_segmentation(Segmentation(labels_of(probabilities, info), probabilities), (2, 4), info)
        assert np.isfinite(found.probabilities).all()
        assert found.labels[0, 0] == labels_of(probabilities, info)[0, 0]
        assert found.labels[1, 3] == labels_of(probabilities, info)[0, 1]


def test_labels_alone_take_the_nearest_pixel():
    labels = np.array([[0, 1], [2, 0]], np.uint8)
    found = resize_segmentation(Segmentation(labels), (4, 6), CLASSES)
    assert np.array_equal(found.labels, labels.repeat(2, axis=0).repeat(3, axis=1))
    assert found.probabilities is None
    many = resize_segmentation(Segmentation(np.full((2, 2), 300, np.uint16)), (4, 6), CLASSES)
    assert many.labels.dtype == np.uint16
    assert (many.labels == 300).all()


def test_boxes_are_scaled_per_axis():
    detections = Detections(np.array([[1, 2, 3, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    found = rescale_detections(detections, (10, 20), (20, 60))
    assert found.boxes.tolist() == [[3, 4, 9, 8]]
    assert found.boxes.dtype == np.float32
