"""The model of another domain that others begin from or are taught by: whole, or refused with how to make it."""

from collections.abc import MutableMapping
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from projects.storage.locations import locate
from projects.training.checkpoints import fit_weights, refuse, weights_of


@HOOKS.register_module()
class SourceModel(Hook):
    """Supervised domain adaptation: sees to it that a training begins with a whole source model, its head included.

    Domain adaptation itself is `load_from`, with nothing frozen. mmengine would also begin without the checkpoint's
    head, or say only that a file is missing.

    Args:
        config: The config that trains the source model.

    Raises:
        ValueError: The config of the run has no `load_from`, or the checkpoint lacks weights or has others.
        FileNotFoundError: There is no checkpoint; names the command that makes it.
    """

    priority = 'VERY_LOW'  # after hooks that rearrange the weights

    def __init__(self, config: str) -> None:
        self.config = config

    def before_run(self, runner: Runner) -> None:
        if runner._resume or runner._train_dataloader is None:
            return
        if runner._load_from is None:
            raise ValueError(
                f'Domain adaptation begins with a model of {self.config}: --cfg-options load_from=CHECKPOINT'
            )
        runner._load_from = str(require_checkpoint(runner._load_from, self.config))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = getattr(runner.model, 'module', runner.model)
        load_whole(model, weights_of(checkpoint), str(runner._load_from), self.config)


def require_checkpoint(path: str | Path, config: str | None) -> Path:
    """Look for the checkpoint of a model that another run trains.

    Args:
        path: Looked for in the current folder first, in the project's then.
        config: The config that makes it, if known.

    Returns:
        Where it is.

    Raises:
        FileNotFoundError: There is none; says how to make it and what is there instead.
    """
    file = locate(path)
    if file.is_file():
        return file
    sample = ' --sample' if file.parent.name.endswith('_sample') else ''
    command = f'python tools/train.py {config or "CONFIG"}{sample}'
    there = ', '.join(sorted(other.name for other in file.parent.glob('*.pth'))) or 'no checkpoint'
    raise FileNotFoundError(
        f'No checkpoint of the source model at {file}; that folder holds {there}. Train it: {command}. Another file: '
        '--cfg-options model.teacher.checkpoint=FILE (distillation) or load_from=FILE (domain adaptation)'
    )


def load_whole(model: nn.Module, weights: MutableMapping[str, Tensor], origin: str, config: str | None) -> None:
    """Load weights that must be exactly those of a model.

    Args:
        model: Where they go.
        weights: By key.
        origin: Of the weights, for people.
        config: That made them, if known.

    Raises:
        ValueError: Weights are missing, left over or of another shape; lists some of them.
    """
    refuse(
        fit_weights(model, weights, origin),
        f'{origin} does not fit the network, whole as it must be; was it made by {config or "the config"} with other '
        'settings? Train it again, or set the network to that of the checkpoint.',
    )
