"""Images of any size through a predictor: made to fit the network, and predictions brought back to the images."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

import numpy as np

from ..model_info import MIN_SIDE_PX
from ..predictions import (
    Prediction,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    fit_size,
    rescale_detections,
    resize_image,
    resize_segmentation,
)
from ..predictor import Predictor
from .pipeline import FailedImage, Item, Loaded, Result, through_network


@dataclass(frozen=True)
class PredictedImage(Generic[Item]):
    """An image with its prediction, in its own pixels."""

    item: Item
    image: np.ndarray
    prediction: Prediction


def predict_each(
    predictor: Predictor,
    items: Iterable[Item],
    read: Callable[[Item], np.ndarray],
    finish: Callable[[PredictedImage[Item]], Result],
    *,
    batch_size: int = 1,
    score_threshold: float = 0.0,
) -> Iterator[Result | FailedImage]:
    """Read, predict and finish any number of images, each as large as it is.

    Args:
        predictor: The model.
        items: What to read.
        read: Gives (H, W, 3) uint8 RGB; its `OSError`s, `ValueError`s and `MemoryError`s are the image's fault.
        finish: Takes each prediction, in one of several threads; its errors are raised.
        batch_size: Images per call; a graph that is fixed to another number has its way.
        score_threshold: Detections below it are left out.

    Returns:
        What `through_network` yields.
    """
    info = predictor.info

    def load(item: Item) -> Loaded[Item] | FailedImage:
        try:
            image = read(item)
            size = fit_size(info, image.shape[:2])
            if min(size) < MIN_SIDE_PX:
                raise ValueError(f'the network needs {MIN_SIDE_PX} px at least, it would see {size[1]}x{size[0]}')
            pixels = fit_image(image, info)
            return Loaded(item, pixels, pixels.shape, image)
        except (OSError, ValueError, MemoryError) as error:
            return FailedImage(item, str(error) or type(error).__name__)

    def end(loaded: Loaded[Item], prediction: Prediction) -> Result:
        assert loaded.image is not None
        mine = to_image(predictor, loaded.image.shape[:2], prediction, score_threshold)
        return finish(PredictedImage(loaded.item, loaded.image, mine))

    return through_network(
        predictor,
        items,
        load,
        end,
        batch_size=info.batch_size or batch_size,
        is_fixed=info.batch_size is not None,
    )


def to_image(predictor: Predictor, size: tuple[int, int], prediction: Prediction, score_threshold: float) -> Prediction:
    """Bring a prediction from the network's size to that of an image (H, W); a segmentor's labels alone."""
    content = content_size(predictor.info, size)
    prediction = crop_prediction(prediction, content)
    if isinstance(prediction, Segmentation):
        return Segmentation(labels_at(prediction, size, predictor))
    return rescale_detections(prediction.select(prediction.scores >= score_threshold), content, size)


def labels_at(segmentation: Segmentation, size: tuple[int, int], predictor: Predictor) -> np.ndarray:
    """What `resize_segmentation` gives as labels, one class at a time: memory does not grow with their number."""
    probabilities = segmentation.probabilities
    if probabilities is None or len(probabilities) == 1 or segmentation.labels.shape == size:
        return resize_segmentation(segmentation, size, predictor.info).labels
    labels = np.zeros(size, dtype=segmentation.labels.dtype)
    best = np.full(size, -np.inf, dtype=np.float32)
    for index, probability in enumerate(probabilities):
        logits = resize_image(np.log(np.clip(probability, 1e-30, None)), size)
        better = logits > best
        best[better] = logits[better]
        labels[better] = index
    return labels
