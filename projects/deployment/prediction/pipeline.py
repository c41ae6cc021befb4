"""Images through a predictor, while threads read those to come and write those that are done."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from projects.deployment.predictions import (
    Prediction,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    fit_size,
    rescale_detections,
    resize_image,
)
from projects.deployment.predictions import resize_segmentation as resize_whole
from projects.deployment.predictor import Predictor

MIN_SIDE_PX = 32  # of what a network is given

Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True)
class LoadedImage(Generic[Item]):
    """An image on its way to the network.

    Attributes:
        item: What it was read from.
        image: (H, W, 3) uint8 RGB as read.
        resized: At the network's size.
    """

    item: Item
    image: np.ndarray
    resized: np.ndarray


@dataclass(frozen=True)
class PredictedImage(Generic[Item]):
    """An image with its prediction, in its own pixels."""

    item: Item
    image: np.ndarray
    prediction: Prediction


class FailedImage(Exception):  # noqa: N818 (it is listed, and ends nothing)
    """An image that could not be read or predicted.

    Attributes:
        item: What it was to be read from.
        reason: Why, in words.
    """

    def __init__(self, item: Any, reason: str) -> None:
        super().__init__(reason)
        self.item, self.reason = item, reason


def predict_each(
    predictor: Predictor,
    items: Iterable[Item],
    read: Callable[[Item], np.ndarray],
    finish: Callable[[PredictedImage[Item]], Result],
    *,
    batch_size: int = 1,
    score_threshold: float = 0.0,
    readers: int = 2,
    writers: int = 2,
) -> Iterator[Result | FailedImage]:
    """Read, predict and finish any number of images at the same time, of which a few are held at once.

    Images whose network sizes are equal share a batch; their order changes only where sizes do.

    Args:
        predictor: The model.
        items: What to read.
        read: Gives (H, W, 3) uint8 RGB; its `OSError`s, `ValueError`s and `MemoryError`s are the image's fault. With
            one reader it is called in order.
        finish: Takes each prediction, in one of the writers; its errors are raised.
        batch_size: Images per call; a graph that is fixed to another number has its way.
        score_threshold: Detections below it are left out.
        readers: Threads that read and resize.
        writers: Threads that bring predictions to the image's size and finish.

    Yields:
        What `finish` returned, or the failure, as they are done and in the order of prediction.

    Raises:
        ValueError: Not one of the images that were read could be predicted.
    """
    info = predictor.info
    batch_size = info.batch_size or batch_size

    def load(item: Item) -> LoadedImage[Item] | FailedImage:
        try:
            image = read(item)
            size = fit_size(info, image.shape[:2])
            if min(size) < MIN_SIDE_PX:
                raise ValueError(f'the network needs {MIN_SIDE_PX} px at least, it would see {size[1]}x{size[0]}')
            return LoadedImage(item, image, fit_image(image, info))
        except (OSError, ValueError, MemoryError) as error:
            return FailedImage(item, str(error) or type(error).__name__)

    def end(loaded: LoadedImage[Item], prediction: Prediction) -> Result:
        mine = to_image(predictor, loaded, prediction, score_threshold)
        return finish(PredictedImage(loaded.item, loaded.image, mine))

    with ThreadPoolExecutor(readers, 'reader') as reading, ThreadPoolExecutor(writers, 'writer') as writing:
        held: deque[Future] = deque()
        num_predicted, first_failure = 0, None
        try:
            for batch in _batches(read_ahead(reading, load, items, readers + batch_size), batch_size):
                if isinstance(batch, FailedImage):
                    yield batch
                    continue
                for loaded, prediction in _predict(predictor, batch):
                    if isinstance(prediction, FailedImage):
                        first_failure = first_failure or prediction
                        yield prediction
                        continue
                    num_predicted += 1
                    held.append(writing.submit(end, loaded, prediction))
                    while len(held) > writers + 1:
                        yield held.popleft().result()
            while held:
                yield held.popleft().result()
        finally:
            for future in held:
                future.cancel()
    if first_failure is not None and not num_predicted:
        raise ValueError(f'the model could predict none of the images; the first: {first_failure.reason}')


def to_image(
    predictor: Predictor, loaded: LoadedImage, prediction: Prediction, score_threshold: float = 0.0
) -> Prediction:
    """Bring a prediction from the network's size to the image's; a segmentor's labels alone."""
    size = loaded.image.shape[:2]
    content = content_size(predictor.info, size)
    prediction = crop_prediction(prediction, content)
    if isinstance(prediction, Segmentation):
        return Segmentation(labels_at(prediction, size, predictor))
    return rescale_detections(prediction.select(prediction.scores >= score_threshold), content, size)


def labels_at(segmentation: Segmentation, size: tuple[int, int], predictor: Predictor) -> np.ndarray:
    """What `resize_segmentation` gives as labels, one class at a time: memory does not grow with their number."""
    probabilities = segmentation.probabilities
    if probabilities is None or len(probabilities) == 1 or segmentation.labels.shape == size:
        return resize_whole(segmentation, size, predictor.info).labels
    labels = np.zeros(size, dtype=segmentation.labels.dtype)
    best = np.full(size, -np.inf, dtype=np.float32)
    for index, probability in enumerate(probabilities):
        logits = resize_image(np.log(np.clip(probability, 1e-30, None)), size)
        better = logits > best
        best[better] = logits[better]
        labels[better] = index
    return labels


def read_ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Map a function over items in threads, in order, at most `depth` of them ahead of the one that is taken.

    An iterable that has no end must be left by its user; what was begun is waited for.
    """
    futures: deque[Future] = deque()
    try:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) > depth:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()


def _batches(images: Iterable[LoadedImage | FailedImage], batch_size: int) -> Iterator[list[LoadedImage] | FailedImage]:
    """Groups of equal size; a group goes incomplete when too many images wait."""
    waiting: dict[tuple[int, ...], list[LoadedImage]] = {}
    for image in images:
        if isinstance(image, FailedImage):
            yield image
            continue
        group = waiting.setdefault(image.resized.shape, [])
        group.append(image)
        if len(group) == batch_size:
            yield waiting.pop(image.resized.shape)
        elif sum(map(len, waiting.values())) >= 4 * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _predict(predictor: Predictor, batch: list[LoadedImage]) -> Iterator[tuple[LoadedImage, Prediction | FailedImage]]:
    missing = (predictor.info.batch_size or len(batch)) - len(batch)
    try:
        predictions = predictor(np.stack([one.resized for one in [*batch, *[batch[-1]] * missing]]))
    except Exception as error:  # runtimes raise their own
        if len(batch) == 1:
            reason = f'{type(error).__name__}: {error}'.strip().splitlines()[0]
            yield batch[0], FailedImage(batch[0].item, reason)
            return
    else:
        yield from zip(batch, predictions, strict=False)
        return
    for one in batch:  # which of them was it?
        yield from _predict(predictor, [one])
