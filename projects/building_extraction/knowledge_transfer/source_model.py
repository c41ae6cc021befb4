"""Supervised domain adaptation: training that begins with the whole of a model from another domain."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .checkpoints import require_checkpoint, require_fit


@HOOKS.register_module()
class SourceModel(Hook):
    """Sees to it that a training begins with a whole source model, its head included.

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
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
        require_fit(weights, model, str(runner._load_from), self.config)
