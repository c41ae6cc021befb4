"""Gradual fine-tuning: the decoder first, then the backbone from its deepest stage to its stem."""

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

STATE = 'gradual_fine_tuning'


@HOOKS.register_module()
class GradualFineTuning(Hook):
    """Unfreezes a network part by part, after PGFiT (https://github.com/bipulneupane/PGFiT-GradualFinetuning).

    In the first phase all that is not the backbone learns; each further phase adds the next part of the backbone, from
    the deepest stage to the stem. A phase ends after `phase_iters` iterations, or, with `patience`, as soon as so many
    validations in a row have not improved the best score of the phase; the last one lasts to the end of the training.
    Frozen parts are in eval mode, so that their batch norms keep their statistics, and have no gradients, so that no
    optimiser changes them, not by weight decay either.

    Where a training stands is kept in the checkpoints. One that is resumed repeats the validation that was due when its
    checkpoint was written, and goes on exactly as if it had not been interrupted.

    Note:
        - PGFiT unfreezes the decoder without its first block before that block, for U-Net on VGG19; here a decoder is
          one part, for any architecture, and the backbone has the parts that `frozen_stages` knows.
        - With several processes, set `find_unused_parameters=True`.

    Args:
        phase_iters: Longest length of a phase but the last.
        patience: Validations without improvement that end a phase; None waits for `phase_iters`. PGFiT has 5, one per
            epoch. Without effect where a phase has fewer validations than this and one more.
        monitor: Name of the score, the higher the better.

    Raises:
        ValueError: A number is below 1; at the beginning of training, the backbone does not tell its stages; at a
            validation, there is no such score.
    """

    priority = 'LOWEST'  # a repeated validation finds all other hooks ready

    def __init__(self, phase_iters: int, patience: int | None = None, monitor: str = 'building/f1') -> None:
        if phase_iters < 1 or (patience is not None and patience < 1):
            raise ValueError(
                f'phase_iters and patience must be 1 or more, got phase_iters={phase_iters}, patience={patience}.'
            )
        self.phase_iters = phase_iters
        self.patience = patience
        self.monitor = monitor
        self._state: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        if self.patience is not None and runner.val_loop is None:
            raise ValueError(
                'GradualFineTuning with patience needs a validation: val_dataloader, val_cfg, val_evaluator.'
            )
        self._parts = backbone_parts(getattr(runner.model, 'module', runner.model))
        self._parameters = [[p for p in part.parameters() if p.requires_grad] for part in self._parts]
        beginning: dict[str, Any] = {'phase': 0, 'first_iter': 0, 'best': -math.inf, 'stale': 0, 'scored_iter': 0}
        self._state = runner.message_hub.runtime_info.get(STATE) or beginning
        self._freeze(runner)
        if self.patience is not None and self._validation_was_missed(runner, self._state['scored_iter']):
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        state = self._state
        assert state is not None
        over = runner.iter - state['first_iter'] >= self.phase_iters
        over = over or (self.patience is not None and state['stale'] >= self.patience)
        if over and state['phase'] < len(self._parts):
            state.update(phase=state['phase'] + 1, first_iter=runner.iter, best=-math.inf, stale=0)
            runner.model.train()
            self._freeze(runner)
        for part in self._parts[: self._num_frozen]:
            part.eval()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        state, metrics = self._state, metrics or {}
        if state is None or self.patience is None:  # None: a validation without training
            return
        if self.monitor not in metrics:
            raise ValueError(
                f'GradualFineTuning has no score {self.monitor!r} to go by; monitor must be one of '
                f'{", ".join(metrics)}.'
            )
        score = float(metrics[self.monitor])
        if score > state['best']:  # never, if it is NaN
            state.update(best=score, stale=0)
        else:
            state['stale'] += 1
        state['scored_iter'] = runner.iter

    def _freeze(self, runner: Runner) -> None:
        """Let the parts of the current phase learn, and no others; the deepest part is the first to do so."""
        assert self._state is not None
        self._num_frozen = len(self._parts) - self._state['phase']
        for index, parameters in enumerate(self._parameters):
            for parameter in parameters:
                parameter.requires_grad_(index >= self._num_frozen)
        runner.message_hub.update_info(STATE, self._state)
        print_log(
            f'gradual fine-tuning, phase {self._state["phase"] + 1} of {len(self._parts) + 1}: {self._num_frozen} of '
            f'{len(self._parts)} parts of the backbone are frozen',
            logger='current',
        )

    @staticmethod
    def _validation_was_missed(runner: Runner, scored_iter: int) -> bool:
        """Whether a validation was due after the checkpoint was written that the training resumes from."""
        loop = runner.train_loop
        if not isinstance(loop, IterBasedTrainLoop):
            raise ValueError(
                "GradualFineTuning with patience counts iterations: train_cfg.type='ResumableIterTrainLoop'."
            )
        due = runner.iter >= loop.val_begin and runner.iter % loop.val_interval == 0
        return scored_iter < runner.iter < loop.max_iters and due  # at the end, the loop itself repeats it


def backbone_parts(model: nn.Module) -> list[nn.Module]:
    """Return the stem and the stages of a model's backbone that have anything to learn, in order.

    Raises:
        ValueError: The backbone does not tell them, or not all of them.
    """
    backbone: Any = model.backbone
    parts = backbone.stem_and_stages() if hasattr(backbone, 'stem_and_stages') else []
    known = {parameter for part in parts for parameter in part.parameters()}
    if known != set(backbone.parameters()):
        raise ValueError(
            f'GradualFineTuning needs a backbone that tells its stem and stages by stem_and_stages(), as all of this '
            f'project and most of timm do; {type(backbone).__name__} {getattr(backbone, "arch", "")} leaves out '
            f'{len(set(backbone.parameters()) - known)} parameters.'
        )
    return [part for part in parts if any(parameter.requires_grad for parameter in part.parameters())]
