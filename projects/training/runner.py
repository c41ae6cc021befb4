"""mmengine's Runner with checkpoints that are written whole or not at all, and that must fit the model."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import OPTIMIZERS
from mmengine.runner import CheckpointLoader
from mmengine.runner import Runner as _Runner
from torch import nn

from projects.reporting.number_format import file_size

from .channels import misfits_named
from .checkpoints import fit_weights, refuse, weights_of

FUSED_OPTIMIZERS = ('Adam', 'AdamW', 'SGD')  # torch's that have one kernel for all parameters on CPU and GPU


class AtomicLocalBackend(LocalBackend):
    """mmengine's storage on local disks, whose writes cannot leave half a file behind.

    A file is written under a temporary name in the same folder, flushed to the disk and then renamed, which POSIX makes
    atomic: a process killed at any moment leaves either the old file or the new one.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; raises OSError, naming the file and the size, if the disk is full or not writable."""
        path = Path(filepath)
        mine = f'.{path.name}.{get_rank()}'  # the processes of a run may write the same file at the same time
        temporary = path.with_name(f'{mine}.{os.getpid()}.tmp')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for abandoned in path.parent.glob(f'{mine}.*.tmp'):
                abandoned.unlink()
            with temporary.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise OSError(
                error.errno,
                f'Cannot write {path} ({file_size(len(obj))}): {error.strerror}. Earlier files are intact; make '
                'room or choose another --work-dir, then continue with --resume',
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text in the same way."""
        self.put(obj.encode(encoding), filepath)


register_backend('local', AtomicLocalBackend, force=True, prefixes='')


class Runner(_Runner):
    """mmengine's Runner that refuses a checkpoint which does not fit the model, and fuses the steps of optimisers."""

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build an optimiser and its wrapper; those of `FUSED_OPTIMIZERS` are fused unless their config says otherwise.

        One kernel then updates all parameters: for a small U-Net, Adam takes a third of the time. Results differ by
        rounding.
        """
        optimizer = optim_wrapper.get('optimizer') if isinstance(optim_wrapper, dict) else None
        if (
            isinstance(optimizer, dict)
            and isinstance(name := optimizer.get('type'), str)
            and OPTIMIZERS.get(name) is None
        ):
            raise ValueError(
                f'there is no optimizer {name!r}; those of torch.optim are known, such as {FUSED_OPTIMIZERS}'
            )
        if isinstance(optimizer, dict) and optimizer.get('type') in FUSED_OPTIMIZERS and 'foreach' not in optimizer:
            optim_wrapper = {**optim_wrapper, 'optimizer': {'fused': True, **optimizer}}
        return super().build_optim_wrapper(optim_wrapper)

    def train(self) -> nn.Module:
        """Train; an error that comes of parts of the model that do not fit together names them."""
        with misfits_named(self.model):
            return super().train()

    def val(self) -> dict:
        """Score on the validation set; errors as in `train`."""
        with misfits_named(self.model):
            return super().val()

    def test(self) -> dict:
        """Score on the test set; errors as in `train`."""
        with misfits_named(self.model):
            return super().test()

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool | None = None,
        revise_keys: Any = None,
    ) -> dict:
        """Load weights into the model.

        Args:
            filename: A checkpoint.
            map_location: Device to load to.
            strict: Whether every weight must fit. By default it must, except when training starts from a checkpoint
                (`load_from` without `resume`): then heads may differ, as in fine-tuning to other classes, but not the
                backbone or the neck.
            revise_keys: Not supported; the networks rename foreign keys themselves.

        Returns:
            The content of the file.

        Raises:
            ValueError: Weights are missing, left over or of another shape; the message lists them.
        """
        if revise_keys is not None:
            raise ValueError(
                'revise_keys is not supported: the networks rename the keys of foreign checkpoints themselves'
            )
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location, logger=self.logger)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = getattr(self.model, 'module', self.model)
        assert isinstance(model, nn.Module)
        misfits = fit_weights(model, weights_of(checkpoint), filename)
        if strict is None and self._train_dataloader is not None and not self._resume:
            refused = [misfit for misfit in misfits if misfit.split(': ')[1].startswith(('backbone.', 'neck.'))]
        else:
            refused = [] if strict is False else misfits
        refuse(
            refused,
            f'{filename} does not fit the model of this config; was it made by a config of another architecture or '
            'with other classes?',
        )
        if misfits:
            self.logger.warning(f'{filename}: not loaded, trained anew: {misfits}')
        self._has_loaded = True
        self.logger.info(f'loaded {filename}')
        return checkpoint
