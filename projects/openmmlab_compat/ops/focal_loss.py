"""Focal losses on logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .derivatives import widen


def _row_weights(weight: Tensor, target: Tensor, num_classes: int, background: float) -> Tensor:
    """Weight (N,) of each row: that of its label's class, `background` where the label names none.

    Raises:
        ValueError: a label exceeds the number of classes, which itself stands for background.
    """
    if target.numel() and target.max() > num_classes:
        raise ValueError(
            f'label {int(target.max())} with num_classes={num_classes}: labels are 0 to {num_classes - 1}, and '
            f'{num_classes} or negative for background. Compare the classes of the data set with those of the head.'
        )
    is_class = (target >= 0) & (target < num_classes)
    weight = weight if weight.numel() else weight.new_ones(num_classes)
    return torch.where(is_class, weight[target.clamp(0, num_classes - 1)], background)


def _is_target(target: Tensor, num_classes: int) -> Tensor:
    """Labels (N,) as a mask (N, C), all False in the rows of background."""
    return target[:, None] == torch.arange(num_classes, device=target.device)


def _sigmoid_focal_terms(
    logits: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each logit (N, C): +1 for the target, else -1; weighted alpha or 1 - alpha; log(p); 1 - p.

    p is the probability given to the truth. Its logarithm comes from the logit, so that it holds where p underflows.
    """
    logits, weight = widen(logits, weight)
    row_weight = _row_weights(weight, target, logits.shape[1], background=1.0)[:, None]
    is_target = _is_target(target, logits.shape[1])
    sign = torch.where(is_target, 1.0, -1.0)
    scale = torch.where(is_target, alpha * row_weight, (1 - alpha) * row_weight)
    return sign, scale, F.logsigmoid(sign * logits), torch.sigmoid(-sign * logits)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002) `-alpha (1 - p)^gamma log(p)` of each logit (N, C)."""
    _, scale, log_p, miss = _sigmoid_focal_terms(input, target, weight, alpha)
    output.copy_(-scale * miss**gamma * log_p)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of each loss of `sigmoid_focal_loss_forward` by its logit, (N, C)."""
    sign, scale, log_p, miss = _sigmoid_focal_terms(input, target, weight, alpha)
    grad_input.copy_(-sign * scale * miss**gamma * (miss - gamma * log_p.exp() * log_p))


def _softmax_focal_terms(softmax: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row of probabilities (N, C): weight, 0 for background; p of the target; 1 - p; neither p exactly 0."""
    softmax, weight = widen(softmax, weight)
    row_weight = _row_weights(weight, target, softmax.shape[1], background=0.0)
    p = softmax.gather(1, target.clamp(0, softmax.shape[1] - 1)[:, None])[:, 0]
    tiny = torch.finfo(torch.float32).tiny
    return row_weight, p.clamp_min(tiny), (1 - p).clamp_min(tiny)


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss `-alpha (1 - p)^gamma log(p)` of each row (N,) of softmax probabilities (N, C), 0 for background."""
    row_weight, p, miss = _softmax_focal_terms(input, target, weight)
    output.copy_(-alpha * row_weight * miss**gamma * p.log())


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivatives of the losses of `softmax_focal_loss_forward` by the logits (N, C) under the softmax."""
    row_weight, p, miss = _softmax_focal_terms(input, target, weight)
    by_log_p = alpha * row_weight * (gamma * miss ** (gamma - 1) * p * p.log() - miss**gamma)
    grad_input.copy_(by_log_p[:, None] * (_is_target(target, input.shape[1]).to(p) - input))
