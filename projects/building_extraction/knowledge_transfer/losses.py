"""Losses on the logits of a network with one channel: building against background."""

from collections.abc import Callable

import torch
from mmengine.registry import MODELS
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, JaccardLoss, SoftBCEWithLogitsLoss
from torch import Tensor, nn
from torch.nn import functional as F

from projects.training.label_survey import IGNORED

TERMS: dict[str, Callable[[int], nn.Module]] = {
    'jaccard': lambda ignored: JaccardLoss('binary', ignore_index=ignored),
    'dice': lambda ignored: DiceLoss('binary', ignore_index=ignored),
    'focal': lambda ignored: FocalLoss('binary', ignore_index=ignored, reduction='sum'),
    'bce': lambda ignored: SoftBCEWithLogitsLoss(ignore_index=ignored, reduction='sum'),
}
"""Losses of segmentation_models.pytorch; those with `reduction='sum'` are divided by the number of valid pixels."""

SUMS = {
    'jaccard': ('jaccard',),
    'dice': ('dice',),
    'binary_focal': ('focal',),
    'binary_crossentropy': ('bce',),
    'bce+dice': ('bce', 'dice'),
    'bce+jaccard': ('bce', 'jaccard'),
    'focal+dice': ('focal', 'dice'),
    'focal+jaccard': ('focal', 'jaccard'),
    'total': ('focal', 'dice'),
}
"""The nine losses that the authors compare; their `total` is the same sum as their `focal+dice`."""


@MODELS.register_module()
class BuildingLoss(nn.Module):
    """One of the nine losses that the paper compares (arXiv 2311.03867), from segmentation_models.pytorch (SMP).

    With p = sigmoid(logit), y the label and sums over all valid pixels of the batch: dice = 1 - 2 Σpy / (Σp + Σy),
    jaccard = 1 - Σpy / (Σp + Σy - Σpy); cross entropy and focal loss, (1 - p_y)² · -log p_y (arXiv 1708.02002), are
    means over the valid pixels. Sums have equal weights.

    Note:
        - The authors' focal loss applies the sigmoid to the output of a network that ends with one already, and weighs
          the background threefold. This is SMP's: one sigmoid, no class weights, γ = 2.
        - In this SMP, dice and jaccard are zero for a batch without a building, which then does not train them; in the
          authors' old one, both add 1 to numerator and denominator.

    Args:
        name: A key of `SUMS`.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: No such loss, logits of several channels, or pixels are to be weighted.
    """

    def __init__(self, name: str, loss_weight: float = 1.0) -> None:
        super().__init__()
        if name not in SUMS:
            raise ValueError(f'name of BuildingLoss must be one of {", ".join(SUMS)}; got {name!r}.')
        self.name = name
        self.loss_weight = loss_weight

    @property
    def loss_name(self) -> str:
        """Name in the log; mmseg's heads add up what begins with `loss`."""
        return f'loss_{self.name}'

    def forward(
        self, logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORED
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            logits: Shape (B, 1, H, W).
            labels: 0 background, 1 building, or `ignore_index`; shape (B, H, W).
            weight: Of pixels; there is none for these losses, mmseg's heads pass None.
            ignore_index: Label of pixels that do not count.

        Returns:
            A scalar; 0 if all pixels are ignored.
        """
        if logits.ndim != 4 or logits.shape[1] != 1:
            raise ValueError(
                f'BuildingLoss takes logits of one channel, (B, 1, H, W); got {tuple(logits.shape)}. Set '
                'num_classes=2, out_channels=1 and threshold=0.5 in the decode head.'
            )
        if weight is not None:
            raise ValueError('BuildingLoss has no weights of pixels: remove sampler from the decode head.')
        logits, targets = logits.float(), labels[:, None].float()
        num_valid = (labels != ignore_index).sum().clamp(min=1)
        losses = (_mean(TERMS[term](ignore_index), logits, targets, num_valid) for term in SUMS[self.name])
        return self.loss_weight * sum(losses, start=logits.new_zeros(()))


def bernoulli_divergence(
    logits: Tensor, target_logits: Tensor, labels: Tensor, temperature: float = 1.0, ignore_index: int = IGNORED
) -> Tensor:
    """Kullback–Leibler divergence KL(target || own) between two predictions of each pixel, mean over valid pixels.

    With p = sigmoid(target / T) and q = sigmoid(own / T): p log(p / q) + (1 - p) log((1 - p) / (1 - q)), computed
    through log-sigmoids, which are finite for any logit. Its gradient by a logit is (q - p) / (T · valid pixels).

    Args:
        logits: Own logits, shape (B, 1, H, W).
        target_logits: Those to be matched, same shape; no gradient reaches them.
        labels: Shape (B, H, W); where `ignore_index`, nothing counts.
        temperature: T; the higher, the softer both distributions.
        ignore_index: Label of pixels that do not count.

    Returns:
        A scalar in nats; 0 if all pixels are ignored.
    """
    valid = labels[:, None] != ignore_index
    own = logits.float() / temperature
    target = target_logits.detach().float() / temperature
    building = target.sigmoid() * (F.logsigmoid(target) - F.logsigmoid(own))
    background = (-target).sigmoid() * (F.logsigmoid(-target) - F.logsigmoid(-own))
    return torch.where(valid, building + background, 0).sum() / valid.sum().clamp(min=1)


def _mean(loss: nn.Module, logits: Tensor, targets: Tensor, num_valid: Tensor) -> Tensor:
    value = loss(logits, targets)
    return value / num_valid if loss.reduction == 'sum' else value
