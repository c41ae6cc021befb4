"""An epoch loop whose every random number follows from (seed, position), so that resuming is exact.

mmengine seeds once at the start: after an interruption the random streams differ, and with them augmentation, the RoIs
that are sampled, and the losses. Here

- the order of the data follows from (seed, epoch), as in mmengine;
- the augmentation of a sample follows from (seed, epoch, index of the sample): `datasets.SampleSeed`;
- the random numbers of the model follow from (seed, iteration), and those of the RoI samplers also from the image:
  `RandomSampler` below.

So neither an interruption nor the number of loader processes changes what is computed, and images of one size give the
same losses on any number of processes (with kernels that are deterministic, without drop path; batch norms that train
see their own process's share of the batch: `sync_bn`). Images of several sizes are batched, and padded, per process.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any
from zlib import crc32

import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler as _AspectRatioBatchSampler
from mmdet.models.task_modules.samplers import RandomSampler as _RandomSampler
from mmdet.models.task_modules.samplers import SamplingResult
from mmengine.dist import all_reduce, get_world_size
from mmengine.registry import DATA_SAMPLERS, LOOPS, TASK_UTILS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from .datasets import combine_seeds


@DATA_SAMPLERS.register_module(name='ResumableAspectRatioBatchSampler')
class ResumableAspectRatioBatchSampler(_AspectRatioBatchSampler):
    """mmdet's sampler of batches of similar aspect ratio, able to leave out the batches already trained on.

    Attributes:
        num_skipped: Batches to leave out in the next pass; reset to 0 by it.
    """

    num_skipped = 0

    def __iter__(self) -> Iterator[Sequence[int]]:
        self._aspect_ratio_buckets: list[list[int]] = [[], []]  # an abandoned pass leaves a remainder behind
        num_skipped, self.num_skipped = self.num_skipped, 0
        for index, batch in enumerate(super().__iter__()):
            if index >= num_skipped:
                yield batch


@TASK_UTILS.register_module(name='ReproducibleRandomSampler')
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


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's epoch loop, resumable at any iteration; Ctrl-C and SIGTERM save a checkpoint and stop cleanly.

    Losses are averaged over all processes before they are logged (mmengine logs those of the first process alone).

    Raises:
        ValueError: The dataloader cannot leave out batches, or its data set cannot repeat its random numbers.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, max_epochs: int, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self._stop_requested = self._validating = False
        self._process = os.getpid()
        for part, name, replacement in (
            (
                self.dataloader.batch_sampler,
                'num_skipped',
                "batch_sampler=dict(type='ResumableAspectRatioBatchSampler')",
            ),
            (self.dataloader.dataset, 'set_position', "dataset=dict(type='CheckedCocoDataset')"),
        ):
            if not hasattr(part, name):
                raise ValueError(
                    f"ResumableTrainLoop cannot resume with a {type(part).__name__}: use {replacement}, or mmengine's "
                    "train_cfg=dict(type='EpochBasedTrainLoop')"
                )

    def run(self) -> torch.nn.Module:
        """Train; raise KeyboardInterrupt once a requested stop has been carried out."""
        previous = {number: signal.signal(number, self._request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.runner.call_hook('before_train')
            if self._epoch == self._max_epochs:  # stopped in the last validation
                self._validate()
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                self._decide_current_val_interval()
                if self._epoch >= self.val_begin and (
                    self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
                ):
                    self._validate()
            self.runner.call_hook('after_train')
            return self.runner.model
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def run_epoch(self) -> None:
        """Train to the end of the current epoch, from whichever iteration of it was reached before."""
        first = self._iterations_done()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.dataloader.batch_sampler.num_skipped = first
        self.dataloader.dataset.set_position(self.runner.seed, self._epoch)
        for index, data_batch in enumerate(self.dataloader, start=first):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """One step: seed, train, average what is logged, and stop here if that was asked for."""
        torch.manual_seed(combine_seeds(self.runner.seed, self._iter))
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        outputs, stop = self._average(outputs)
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1
        if stop:
            self._save_and_stop()

    def _iterations_done(self) -> int:
        """Iterations of the current epoch that a checkpoint has behind it; its beginning is kept in the MessageHub."""
        hub, length = self.runner.message_hub, len(self.dataloader)
        epoch, start, length_then = hub.runtime_info.get('epoch_start', (-1, 0, 0))
        if epoch != self._epoch:
            start, length_then = self._iter, length
        if length_then != length:
            raise ValueError(
                f'The checkpoint stands in the middle of an epoch of {length_then} iterations, which has {length} now. '
                'Resume with the batch size, the number of GPUs and the data of before, or from an epoch_*.pth'
            )
        hub.update_info('epoch_start', (self._epoch, start, length))
        return self._iter - start

    def _validate(self) -> None:
        if self.runner.val_loop is not None:
            self._validating = True
            self.runner.val_loop.run()
            self._validating = False

    def _average(self, outputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
        """Mean of each logged value over the processes, and whether any of them was asked to stop."""
        if get_world_size() == 1:
            return outputs, self._stop_requested
        values = torch.stack([value.detach().float().mean() for value in outputs.values()])
        values = torch.cat([values, values.new_tensor([float(self._stop_requested)])])
        all_reduce(values, op='mean')
        return dict(zip(outputs, values, strict=False)), bool(values[-1] > 0)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader process, which inherited the handler
        if self._validating:  # the epoch's checkpoint has been written
            self.runner.logger.warning('stopped during validation; `--resume` continues from the last checkpoint')
            raise KeyboardInterrupt
        if self._stop_requested and number == signal.SIGINT:  # the second Ctrl-C does not wait
            raise KeyboardInterrupt
        if not self._stop_requested:
            self._stop_requested = True
            name = signal.Signals(number).name
            self.runner.logger.warning(f'{name}: stopping after this iteration (Ctrl-C: at once)')

    def _save_and_stop(self) -> None:
        meta = {'epoch': self._epoch, 'iter': self._iter}
        self.runner.save_checkpoint(self.runner.work_dir, 'interrupted.pth', meta=meta, by_epoch=False)
        self.runner.logger.warning(f'stopped at iteration {self._iter}; `--resume` continues from interrupted.pth')
        raise KeyboardInterrupt
