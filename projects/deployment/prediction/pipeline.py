"""Images, frames and windows through a network, while threads read those to come and write those that are done."""

from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

THREADS = 2  # that read, and as many that finish

Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True)
class Loaded(Generic[Item]):
    """Something on its way to the network.

    Attributes:
        item: What it was read from, and whatever is to be known of it.
        pixels: (h, w, 3) uint8 RGB, as the network is given it; None: there is nothing to predict.
        group: What shares a batch is of one group, and of one size.
        image: (H, W, 3) uint8 RGB as read, where that is needed once more.
    """

    item: Item
    pixels: np.ndarray | None
    group: Hashable = None
    image: np.ndarray | None = None


@dataclass(frozen=True)
class FailedImage(Generic[Item]):
    """An image that could not be read or predicted, and why, in words."""

    item: Item
    reason: str


def through_network(
    network: Callable[[np.ndarray], Sequence[Any]],
    items: Iterable[Item],
    load: Callable[[Item], Loaded | FailedImage],
    finish: Callable[[Loaded, Any], Result],
    *,
    batch_size: int,
    is_fixed: bool = False,
    in_order: bool = False,
    close: Callable[[], None] = lambda: None,
) -> Generator[Result | FailedImage, None, None]:
    """Load, predict and finish any number of items at the same time, of which a few are held at once.

    Items of one group share a batch; their order changes only where groups do. When the iterator ends, is closed, or
    anything fails, what was begun of reading and finishing is done: who opened a file may close it.

    Args:
        network: From images (B, h, w, 3) to a result for each.
        items: What to load.
        load: Reads an item, in one of several threads; its errors are raised.
        finish: Takes each item with its result (None: nothing was to be predicted), in one of several other threads;
            its errors are raised.
        batch_size: Images per call.
        is_fixed: Whether the network takes no fewer: a batch is filled with its last image.
        in_order: Items are loaded, and finished, one after another in their order, by one thread each, and what the
            network raises is raised. Else groups may overtake one another, and where the network fails, the images of
            the batch are tried alone and those at fault named.
        close: Called by a thread that finishes in the end, whatever happened.

    Yields:
        What `finish` returned, or the failure, as they are done and in the order of prediction.

    Raises:
        ValueError: Not one of the images that were loaded could be predicted.
    """
    threads = 1 if in_order else THREADS
    with ThreadPoolExecutor(threads, 'read ahead') as reading, ThreadPoolExecutor(threads, 'writer') as writing:
        held: deque[Future] = deque()
        num_predicted, first_failure = 0, None
        try:
            for batch in _batches(read_ahead(reading, load, items, threads + batch_size), batch_size, in_order):
                if isinstance(batch, FailedImage):
                    yield batch
                    continue
                for loaded, result in _predict(network, batch, batch_size * is_fixed, in_order):
                    if isinstance(result, FailedImage):
                        first_failure = first_failure or result
                        yield result
                        continue
                    num_predicted += 1
                    held.append(writing.submit(finish, loaded, result))
                    while len(held) > threads + 1:
                        yield held.popleft().result()
            while held:
                yield held.popleft().result()
        finally:
            writing.submit(close).result()
    if first_failure is not None and not num_predicted:
        raise ValueError(f'the model could predict none of the images; the first: {first_failure.reason}')


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


def _batches(
    loaded: Iterable[Loaded | FailedImage], batch_size: int, in_order: bool
) -> Iterator[list[Loaded] | FailedImage]:
    """Items of one group; one goes incomplete when too many items wait, or where another follows and order matters."""
    waiting: dict[Hashable, list[Loaded]] = {}
    for one in loaded:
        if isinstance(one, FailedImage):
            yield one
            continue
        if in_order and waiting and one.group not in waiting:
            yield from waiting.values()
            waiting.clear()
        batch = waiting.setdefault(one.group, [])
        batch.append(one)
        if sum(other.pixels is not None for other in batch) == batch_size:
            yield waiting.pop(one.group)
        elif not in_order and sum(map(len, waiting.values())) >= 4 * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _predict(
    network: Callable[[np.ndarray], Sequence[Any]], batch: list[Loaded], least: int, in_order: bool
) -> Iterator[tuple[Loaded, Any]]:
    images = [one.pixels for one in batch if one.pixels is not None]
    images += images[-1:] * (least - len(images))
    try:
        results = iter(network(np.stack(images)) if images else ())
    except Exception as error:  # runtimes raise their own
        if in_order:
            raise
        if len(batch) == 1:
            reason = f'{type(error).__name__}: {error}'.strip().splitlines()[0]
            yield batch[0], FailedImage(batch[0].item, reason)
            return
    else:
        for one in batch:
            yield one, None if one.pixels is None else next(results)
        return
    for one in batch:  # which of them was it?
        yield from _predict(network, [one], least, in_order)
