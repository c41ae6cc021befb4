"""The images that a study calibrates on and tests with, and what there is on the latter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ..export.calibration_images import NamedImage, images_of_training_set, spread
from ..model_info import ModelInfo
from ..predictions import (
    Detections,
    Prediction,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    rescale_detections,
    resize_segmentation,
    rgb_pixels,
)
from ..predictor import Predictor
from .evidence import BoxAP, EqualPixels, Evidence, MeanIoU, Objects

FIDELITY_SCORE = 0.3  # of the network's own boxes from which on others must find them


@dataclass(frozen=True)
class TestImage:
    """An image of the test set.

    Attributes:
        name: Of its file.
        pixels: (H, W, 3) uint8 RGB, as the graph takes them.
        content: Height and width of the image itself therein; what remains is padding.
        scaled: Height and width to which the recipe resizes the image.
        original: Of the file.
        truth: `Objects` in the file's pixels, or (H, W) classes.
    """

    __test__ = False  # for pytest, which takes it for a test
    name: str
    pixels: np.ndarray
    content: tuple[int, int]
    scaled: tuple[int, int]
    original: tuple[int, int]
    truth: Any


def read_test_images(cfg: Config, info: ModelInfo, most: int) -> list[TestImage]:
    """Read the test set of a config, evenly spread, with its labels.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It has fewer images than are asked for, or its pipeline loads no labels.
    """
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        if len(dataset) < most:
            raise ValueError(f'the test set of {cfg.filename} has {len(dataset)} images; the study asks for {most}')
        return [_test_image(dataset[index], info) for index in spread(range(len(dataset)), most)]


def _test_image(item: Any, info: ModelInfo) -> TestImage:
    sample, pixels = item['data_samples'], rgb_pixels(item['inputs'])
    scaled, fitted = pixels.shape[:2], pixels
    content = scaled
    if info.input_size not in (None, scaled):
        fitted, content = fit_image(pixels, info), content_size(info, scaled)
    if 'gt_sem_seg' in sample:
        truth: Any = sample.gt_sem_seg.data[0].numpy()
    elif 'gt_instances' in sample:
        truth = _objects(sample)
    else:
        raise ValueError(
            'the test pipeline loads no labels: it needs LoadAnnotations before PackSegInputs/PackDetInputs'
        )
    name = sample.img_path.rsplit('/', 1)[-1]
    return TestImage(name, fitted, content, scaled, tuple(sample.ori_shape[:2]), truth)


def _objects(sample: Any) -> Objects:
    parts = [sample.gt_instances, sample.ignored_instances]
    boxes = [np.asarray(getattr(part.bboxes, 'tensor', part.bboxes), float).reshape(-1, 4) for part in parts]
    labels = [np.asarray(part.labels, int) for part in parts]
    crowd = [np.full(len(part), index == 1) for index, part in enumerate(labels)]
    return Objects(np.concatenate(boxes), np.concatenate(labels), np.concatenate(crowd))


def calibration_sets(cfg: Config, info: ModelInfo, number: int, size: int) -> list[list[NamedImage]]:
    """Disjoint sets of training images, each spread over all of them.

    Raises:
        ValueError: There are too few training images.
    """
    images = images_of_training_set(cfg, info, number * size)
    if len(images) < number * size:
        raise ValueError(
            f'{cfg.filename} has {len(images)} training images; {number} calibration sets of {size} need '
            f'{number * size}'
        )
    return [images[start::number] for start in range(number)]


def predict_all(predictor: Predictor, images: Sequence[TestImage]) -> list[Prediction]:
    """Predict the test images, in the pixels of their files; masks are left out."""
    return [_in_the_file(predictor.predict_fitted(image.pixels), image, predictor.info) for image in images]


def _in_the_file(prediction: Prediction, image: TestImage, info: ModelInfo) -> Prediction:
    cropped = crop_prediction(prediction, image.content)
    if isinstance(cropped, Segmentation):
        return resize_segmentation(cropped, image.original, info)
    return rescale_detections(replace(cropped, masks=None), image.content, image.original)


def label_evidence(found: Sequence[Prediction], images: Sequence[TestImage], info: ModelInfo) -> Evidence:
    """What the labels say of predictions."""
    truths = [image.truth for image in images]
    if info.is_segmentor:
        return MeanIoU.of(_labels(found), truths, len(info.classes))
    return BoxAP.of(_boxes(found), truths, len(info.classes))


def fidelity_evidence(found: Sequence[Prediction], reference: Sequence[Prediction], info: ModelInfo) -> Evidence:
    """What the network in float says of predictions.

    Raises:
        ValueError: It finds nothing that is likely.
    """
    if info.is_segmentor:
        return EqualPixels.of(_labels(found), _labels(reference), ignored=-1)
    own = [_likely(one) for one in _boxes(reference)]
    if not any(len(one.labels) for one in own):
        raise ValueError(f'the network in float finds nothing with a score of {FIDELITY_SCORE}: train it for longer')
    return BoxAP.of(_boxes(found), own, len(info.classes))


def _likely(found: Detections) -> Objects:
    strong = found.scores >= FIDELITY_SCORE
    return Objects(found.boxes[strong].astype(float), found.labels[strong], np.zeros(strong.sum(), bool))


def _labels(found: Sequence[Prediction]) -> list[np.ndarray]:
    return [one.labels for one in found]


def _boxes(found: Sequence[Prediction]) -> list[Detections]:
    assert all(isinstance(one, Detections) for one in found)
    return list(found)  # type: ignore[arg-type]
