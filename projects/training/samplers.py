"""Batches that can be taken up in the middle, and draws of RoIs that can be repeated."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler as _AspectRatioBatchSampler
from mmdet.models.task_modules.samplers import RandomSampler as _RandomSampler
from mmdet.models.task_modules.samplers import SamplingResult
from mmengine.registry import DATA_SAMPLERS, TASK_UTILS
from torch.utils.data import BatchSampler, Sampler

from .datasets import combine_seeds


class Skipping:
    """Mixin for batch samplers: able to leave out the batches already trained on.

    Attributes:
        num_skipped: Batches to leave out in the next pass; reset to 0 by it.
    """

    num_skipped = 0

    def __iter__(self) -> Iterator[Sequence[int]]:
        # on the first batch, not at once: DataLoader makes two iterators and uses the second
        num_skipped, self.num_skipped = self.num_skipped, 0
        yield from islice(super().__iter__(), num_skipped, None)  # type: ignore[misc]


@DATA_SAMPLERS.register_module()
class ResumableBatchSampler(Skipping, BatchSampler):  # type: ignore[misc]
    """Whole batches in the order of the sampler; what remains at the end of an epoch is left out.

    Args:
        sampler: Gives the indices.
        batch_size: Images of a batch on one process.

    Raises:
        ValueError: The data set has fewer images than a batch.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        if len(sampler) < batch_size:  # type: ignore[arg-type]
            raise ValueError(
                f'A process has {len(sampler)} training images, fewer than its batch of {batch_size}: '  # type: ignore[arg-type]
                '--cfg-options train_dataloader.batch_size=NUMBER'
            )
        super().__init__(sampler, batch_size, drop_last=True)


@DATA_SAMPLERS.register_module()
class ResumableAspectRatioBatchSampler(Skipping, _AspectRatioBatchSampler):
    """mmdet's sampler of batches of similar aspect ratio, able to leave out the batches already trained on."""

    def __iter__(self) -> Iterator[Sequence[int]]:
        self._aspect_ratio_buckets: list[list[int]] = [[], []]  # an abandoned pass leaves a remainder behind
        return super().__iter__()


@TASK_UTILS.register_module()
class ReproducibleRandomSampler(_RandomSampler):
    """mmdet's random sampler of anchors and RoIs, drawing from a stream of its own for every image.

    The stream follows from the seed of the iteration and from the ground truth of the image, so that an image gets the
    same draw whatever other images share its process.
    """

    def sample(self, assign_result: Any, pred_instances: Any, gt_instances: Any, **kwargs: Any) -> SamplingResult:
        boxes = gt_instances.bboxes.detach().cpu().float().contiguous().numpy()
        seed = combine_seeds(torch.initial_seed(), crc32(boxes.tobytes()))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return super().sample(assign_result, pred_instances, gt_instances, **kwargs)
