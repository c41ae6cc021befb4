"""What models say about images, and its way back from the network's image to the user's."""

from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np

from projects.pixels.pasting import interpolation

from .model_info import ModelInfo


@dataclass(frozen=True)
class Segmentation:
    """A segmentor's result for one image.

    Attributes:
        labels: (H, W) index of each pixel's class, uint8, or uint16 beyond 256 classes.
        probabilities: (C, H, W) float32, sums to 1; with one channel the probability of class 1; None where the model
            gives labels alone.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class Detections:
    """A detector's result for one image, by falling score.

    Attributes:
        boxes: (N, 4) float32, left, top, right, bottom in pixels.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, index of the class.
        masks: (N, h, w) float32 probabilities inside of the box, at RoI size (28 x 28 with mmdet's head); None for
            models without masks.
        offsets: (N, 2) float32, from a building's footprint to its roof (the mask), pixels to the right and down; None
            for models without.
        heights_m: (N,) float32 metres above ground; None for models without.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None
    offsets: np.ndarray | None = None
    heights_m: np.ndarray | None = None

    def select(self, chosen: np.ndarray) -> 'Detections':
        """Those of an index or boolean array."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: array[chosen] for name, array in given.items() if array is not None})


Prediction = Segmentation | Detections


def fit_size(info: ModelInfo, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels of what a network is given for an image, as mmcv's `Resize` makes it.

    Args:
        info: Its `input_size`, if the graph is fixed, else its `scale`.
        size: Height and width of the image.
    """
    height, width = size
    if info.input_size is not None:
        return info.input_size
    if info.scale is None:
        return size
    if not info.keep_ratio:
        return info.scale[1], info.scale[0]
    factor = min(max(info.scale) / max(size), min(info.scale) / min(size))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def rgb_pixels(inputs: Any) -> np.ndarray:
    """(H, W, 3) RGB of a pipeline's tensor (3, H, W), BGR."""
    return np.ascontiguousarray(inputs.numpy()[::-1].transpose(1, 2, 0))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) bilinearly to a height and width; the same array if it has that size."""
    return image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)


def content_size(info: ModelInfo, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels that an image itself takes of its `fit_size`; what remains is padding.

    Where recipes keep proportions, an image is made to fit into the size that a graph is fixed to; one that the recipe
    leaves as it is, is never enlarged.
    """
    if info.input_size is None or not info.keep_ratio:
        return fit_size(info, size)
    factor = min(info.input_size[0] / size[0], info.input_size[1] / size[1])
    factor = factor if info.scale else min(factor, 1.0)
    height, width = (max(int(side * factor + 0.5), 1) for side in size)
    return height, width


def fit_image(image: np.ndarray, info: ModelInfo) -> np.ndarray:
    """What a network is given for an image (H, W, 3): resized and, below and to the right, padded with the mean colour.

    That colour is 0 where the graph has normalised it, as mmdet's and mmseg's padding is.
    """
    resized = resize_image(image, content_size(info, image.shape[:2]))
    height, width = fit_size(info, image.shape[:2])
    if resized.shape[:2] == (height, width):
        return resized
    below, right = height - resized.shape[0], width - resized.shape[1]
    return cv2.copyMakeBorder(resized, 0, below, 0, right, cv2.BORDER_CONSTANT, value=np.rint(info.mean).tolist())


def crop_prediction(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """Take away what was predicted for the padding of `fit_image`.

    Args:
        prediction: In the network's pixels.
        size: `content_size` of the image.
    """
    height, width = size
    if isinstance(prediction, Segmentation):
        probabilities = prediction.probabilities
        cropped = None if probabilities is None else probabilities[:, :height, :width]
        return Segmentation(prediction.labels[:height, :width], cropped)
    boxes = np.minimum(prediction.boxes, np.array([width, height] * 2, dtype=np.float32))
    if np.array_equal(boxes, prediction.boxes):
        return prediction
    masks = prediction.masks
    if masks is not None:
        masks = np.stack([_crop_mask(*one) for one in zip(masks, prediction.boxes, boxes, strict=True)])
    chosen = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    return replace(prediction, boxes=boxes, masks=masks).select(chosen)


def resize_segmentation(segmentation: Segmentation, size: tuple[int, int], info: ModelInfo) -> Segmentation:
    """Bring a result to the height and width of the user's image.

    mmseg resizes logits. Log-probabilities differ from logits by one number per pixel, the same for all classes:
    resizing them bilinearly gives the same most probable class. With one channel the logit itself is resized, of at
    most 16, beyond which float32 probabilities are 1. Labels without probabilities take the nearest pixel's.
    """
    if segmentation.labels.shape == size:
        return segmentation
    if segmentation.probabilities is None:
        return Segmentation(cv2.resize(segmentation.labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
    probabilities = np.clip(segmentation.probabilities, 1e-30, None)
    if len(probabilities) == 1:
        logits = np.log(probabilities) - np.log(np.clip(1 - segmentation.probabilities, 1e-7, None))
        resized = 1 / (1 + np.exp(-_resize_channels(logits, size)))
        return Segmentation(labels_of(resized, info), resized)
    exponentials = _resize_channels(np.log(probabilities), size)
    labels = labels_of(exponentials, info)
    exponentials -= exponentials.max(axis=0)
    np.exp(exponentials, out=exponentials)
    exponentials /= exponentials.sum(axis=0)
    return Segmentation(labels, exponentials)


def rescale_detections(detections: Detections, from_size: tuple[int, int], to_size: tuple[int, int]) -> Detections:
    """Bring boxes and offsets from the network's image to the user's; sizes are heights and widths in pixels."""
    return scale_detections(detections, to_size[1] / from_size[1], to_size[0] / from_size[0])


def scale_detections(detections: Detections, across: float, down: float) -> Detections:
    """Multiply boxes and offsets, what is in pixels, by factors of width and height."""
    factor = np.array([across, down], dtype=np.float32)
    offsets = None if detections.offsets is None else detections.offsets * factor
    return replace(detections, boxes=detections.boxes * np.tile(factor, 2), offsets=offsets)


def labels_of(probabilities: np.ndarray, info: ModelInfo) -> np.ndarray:
    """(H, W) classes of (C, H, W) probabilities, by the model's threshold if it has one channel."""
    if len(probabilities) == 1:
        assert info.threshold is not None
        return (probabilities[0] > info.threshold).astype(np.uint8)
    return probabilities.argmax(axis=0).astype(np.uint8 if len(probabilities) <= 256 else np.uint16)


def _crop_mask(mask: np.ndarray, box: np.ndarray, cropped: np.ndarray) -> np.ndarray:
    """The mask (h, w) of a box for a part of the box that has the same left and top, at the same size."""
    height, width = mask.shape
    share = (cropped[2:] - cropped[:2]) / np.maximum(box[2:] - box[:2], 1e-6)
    across = interpolation(np.clip((np.arange(width) + 0.5) * share[0] - 0.5, 0, None), width)
    down = interpolation(np.clip((np.arange(height) + 0.5) * share[1] - 0.5, 0, None), height)
    return down @ mask @ across.T


def _resize_channels(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resized = np.empty((len(values), *size), dtype=np.float32)
    for channel, target in zip(values, resized, strict=True):
        cv2.resize(channel, size[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    return resized
