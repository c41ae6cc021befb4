"""Knowledge distillation: a student learns from labels and from the predictions of a frozen teacher."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from projects.storage.locations import locate
from projects.training.checkpoints import read_weights, switch_off_pretrained

from .losses import bernoulli_divergence
from .networks import fit_to_labels, logits_and_losses, require_one_logit, same_preprocessing, stack_labels
from .source_model import load_whole, require_checkpoint

CERTAIN = 50.0  # a logit whose probability is 1 in single precision


@MODELS.register_module()
class DistilledSegmentor(EncoderDecoder):
    """A student that is trained by knowledge distillation (Hinton et al., arXiv 1503.02531), pixel by pixel.

    The loss is (1 - alpha) · L_seg + alpha · T² · KL(teacher || student), the divergence of sigmoid(logit / T) as the
    mean over the pixels that are not ignored. L_seg are all losses of the student's heads. With hard targets the
    teacher's decision takes the place of its probability, and T is 1: the cross-entropy with what the teacher would
    label.

    This model is the student: it has the parameters, the checkpoints and the predictions of an ordinary
    `EncoderDecoder`. The teacher stands outside of it, in eval mode and without gradients: no optimiser, checkpoint,
    moving average or batch norm sees it, but it follows the student to other devices and types. It is loaded when
    training begins and not at all for inference.

    Note:
        The paper states neither T nor alpha, and its code for distillation was never published. The defaults are common
        in the literature; both are worth a sweep.

    Args:
        teacher: `checkpoint`, a file with all its weights, and its network: `config`, a config file, or `model`.
        temperature: T.
        alpha: Weight of the teacher, 0 (labels alone) to 1 (teacher alone).
        hard: Whether its decisions are learnt instead of its probabilities.
        **kwargs: The student, as for `EncoderDecoder`.

    Raises:
        ValueError: An option is out of range, a network has several channels of logits, or the teacher expects other
            images; at the beginning of training also if the checkpoint does not fit.
        FileNotFoundError: There is no checkpoint when training begins.
    """

    def __init__(
        self,
        *,
        teacher: dict[str, Any],
        temperature: float = 2.0,
        alpha: float = 0.5,
        hard: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if 'checkpoint' not in teacher or len({'config', 'model'} & set(teacher)) != 1 or len(teacher) != 2:
            raise ValueError(f'teacher must be dict(checkpoint=FILE, config=FILE) or (…, model=dict); got {teacher!r}.')
        if not temperature > 0:
            raise ValueError(f'temperature must be above 0, got {temperature}.')
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha must be 0 (labels alone) to 1 (teacher alone), got {alpha}.')
        require_one_logit(self, 'student')
        self.temperature = 1.0 if hard else temperature
        self.hard = hard
        self.alpha = alpha
        self._teacher_source = dict(teacher)
        self._outside: list[EncoderDecoder] = []  # a list keeps its modules out of this module

    @property
    def teacher(self) -> EncoderDecoder:
        """The frozen teacher; loaded at first use."""
        if not self._outside:
            parameter = next(self.parameters())
            self._outside.append(self._load_teacher().to(parameter.device, parameter.dtype))
        return self._outside[0]

    def init_weights(self) -> None:
        """Initialise the student; load the teacher, so that training does not begin without it."""
        super().init_weights()
        _ = self.teacher

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of the student's heads, times 1 - alpha, and `loss_distillation`."""
        logits, losses = logits_and_losses(self, inputs, data_samples)
        teacher = self.teacher
        with torch.no_grad():
            target = fit_to_labels(teacher, teacher.decode_head(teacher.extract_feat(inputs)), data_samples)
        if self.hard:
            target = torch.where(target > 0, CERTAIN, -CERTAIN)
        labels, ignored = stack_labels(self, data_samples), self.decode_head.ignore_index
        divergence = bernoulli_divergence(logits, target, labels, self.temperature, ignored)
        losses = {name: (1 - self.alpha) * value if 'loss' in name else value for name, value in losses.items()}
        return losses | {'loss_distillation': self.alpha * self.temperature**2 * divergence}

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        for network in self._outside:
            network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def _load_teacher(self) -> EncoderDecoder:
        config = self._teacher_source.get('config')
        path = require_checkpoint(self._teacher_source['checkpoint'], config)
        model = Config.fromfile(locate(config)).model if config else deepcopy(self._teacher_source['model'])
        switch_off_pretrained(model)
        teacher = MODELS.build(model)
        require_one_logit(teacher, 'teacher')
        if not same_preprocessing(self, teacher):
            raise ValueError(
                'The teacher expects other images than the student: mean, std and bgr_to_rgb of '
                'model.data_preprocessor must be those of the teacher.'
            )
        load_whole(teacher, read_weights(path), str(path), config)
        print_log(f'loaded the teacher {path}', logger='current')
        return teacher.requires_grad_(False).eval()
