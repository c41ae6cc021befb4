"""Train loops whose every random number follows from (seed, position), so that resuming is exact.

mmengine seeds once at the start: after an interruption the random streams differ, and with them augmentation, the RoIs
that are sampled, and the losses. Here

- the order of the data follows from (seed, epoch), as in mmengine's epoch loop;
- the augmentation of a sample follows from (seed, epoch, index of the sample): `datasets.SurvivingDataset`;
- the random numbers of the model follow from (seed, iteration), and those of the RoI samplers also from the image:
  `samplers.ReproducibleRandomSampler`.

So neither an interruption nor the number of loader processes changes what is computed, and images of one size give the
same losses on any number of processes (with kernels that are deterministic, without drop path; batch norms that train
see their own process's share of the batch: `sync_bn`). Images of several sizes are batched, and padded, per process.
"""

import os
import re
import signal
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from .datasets import combine_seeds

HEAD = re.compile(r'(?:module\.)?(?:roi_head\.)?(?:bbox_head|decode_head|auxiliary_head)(?:\.\d+)?')


class ResumableLoop:
    """Mixin for mmengine's train loops: resumable at any iteration; Ctrl-C and SIGTERM save a checkpoint and stop.

    Losses are averaged over all processes before they are logged (mmengine logs those of the first process alone).

    Raises:
        ValueError: The dataloader cannot leave out batches, its data set cannot repeat its random numbers, or has more
            classes than a head.
    """

    runner: Runner
    dataloader: DataLoader
    _iter: int
    _max_iters: int

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)  # type: ignore[call-arg]
        self._stop_requested = self._validating = False
        self._process = os.getpid()
        name = type(self).__name__
        if not hasattr(self.dataloader.batch_sampler, 'num_skipped'):
            raise ValueError(
                f'{name} cannot leave out batches of a {type(self.dataloader.batch_sampler).__name__}: use '
                "train_dataloader.batch_sampler=dict(type='ResumableBatchSampler') or "
                "dict(type='ResumableAspectRatioBatchSampler')"
            )
        if not hasattr(self.dataloader.dataset, 'set_position'):
            raise ValueError(
                f'{name} cannot repeat the random numbers of a {type(self.dataloader.dataset).__name__}: let the data '
                "set inherit projects.training.datasets.SurvivingDataset, or use mmengine's loop, "
                f"train_cfg=dict(type='{type(self).__mro__[2].__name__}')"
            )

        if self._max_iters < 1:
            raise ValueError('nothing would be trained: max_epochs or max_iters of train_cfg must be 1 or more')
        self._check_classes()

    def _check_classes(self) -> None:
        """Refuse heads with fewer classes than the data, whose labels would lie outside of what they predict."""
        classes = (getattr(self.dataloader.dataset, 'metainfo', None) or {}).get('classes') or ()
        for name, head in self.runner.model.named_modules():
            if HEAD.fullmatch(name) and getattr(head, 'num_classes', None) in range(1, len(classes)):
                raise ValueError(
                    f'the data set has {len(classes)} classes, {name} has num_classes={head.num_classes}. Make them '
                    'agree: num_classes of the heads, or metainfo.classes of the data sets'
                )

    def run(self) -> torch.nn.Module:
        """Train; raise KeyboardInterrupt once a requested stop has been carried out."""
        previous = {number: signal.signal(number, self._request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.runner.call_hook('before_train')
            self.train()
            self.runner.call_hook('after_train')
            return self.runner.model
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def train(self) -> None:
        """Train from the current position to the end."""
        raise NotImplementedError

    def start_epoch(self, epoch: int, num_skipped: int) -> None:
        """Let the next pass over the data be that of an epoch, without its first batches."""
        self.runner.model.train()
        batches: Any = self.dataloader.batch_sampler
        batches.num_skipped = num_skipped
        batches.sampler.set_epoch(epoch)
        self.dataloader.dataset.set_position(self.runner.seed, epoch)  # type: ignore[attr-defined]

    def step(self, idx: int, data_batch: Any) -> None:
        """One iteration: seed, train, average what is logged, and stop here if that was asked for."""
        torch.manual_seed(combine_seeds(self.runner.seed, self._iter))
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        outputs, stop = self._average(outputs)
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1
        if stop:
            self._save_and_stop()

    def validate(self) -> None:
        """Score the model, if the config has a validation."""
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
        if self._validating:  # the checkpoint has been written before
            self.runner.logger.warning('stopped during validation; `--resume` continues from the last checkpoint')
            raise KeyboardInterrupt
        if self._stop_requested and number == signal.SIGINT:  # the second Ctrl-C does not wait
            raise KeyboardInterrupt
        if not self._stop_requested:
            self._stop_requested = True
            name = signal.Signals(number).name
            self.runner.logger.warning(f'{name}: stopping after this iteration (Ctrl-C: at once)')

    def _save_and_stop(self) -> None:
        meta = {'epoch': self.runner.epoch, 'iter': self._iter}
        self.runner.save_checkpoint(self.runner.work_dir, 'interrupted.pth', meta=meta, by_epoch=False)
        self.runner.logger.warning(f'stopped at iteration {self._iter}; `--resume` continues from interrupted.pth')
        raise KeyboardInterrupt


@LOOPS.register_module()
class ResumableTrainLoop(ResumableLoop, EpochBasedTrainLoop):
    """mmengine's epoch loop, resumable at any iteration; see `ResumableLoop`."""

    def train(self) -> None:
        if self._epoch == self._max_epochs:  # stopped in the last validation
            self.validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self._epoch >= self.val_begin and (
                self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
            ):
                self.validate()

    def run_epoch(self) -> None:
        """Train to the end of the current epoch, from whichever iteration of it was reached before."""
        first = self._iterations_done()
        self.runner.call_hook('before_train_epoch')
        self.start_epoch(self._epoch, first)
        for index, data_batch in enumerate(self.dataloader, start=first):
            self.step(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

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


@LOOPS.register_module()
class ResumableIterTrainLoop(ResumableLoop, IterBasedTrainLoop):
    """mmengine's iteration loop, resumable at any iteration; see `ResumableLoop`.

    The data is passed over in epochs of as many whole batches as it has; after an interruption nothing is loaded twice.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        del self.dataloader_iterator  # mmengine's endless one

    def train(self) -> None:
        self.runner.call_hook('before_train_epoch')  # mmengine takes the whole training for one epoch
        if self._iter == self._max_iters:  # stopped in the last validation
            self.validate()
        while self._iter < self._max_iters and not self.stop_training:
            epoch, first = divmod(self._iter, len(self.dataloader))
            self.start_epoch(epoch, first)
            for data_batch in self.dataloader:
                self.step(self._iter, data_batch)
                self._decide_current_val_interval()
                if self._iter >= self.val_begin and (
                    self._iter % self.val_interval == 0 or self._iter == self._max_iters
                ):
                    self.validate()
                    self.runner.model.train()
                if self._iter == self._max_iters or self.stop_training:
                    break
        self.runner.call_hook('after_train_epoch')
