"""What distillation and mutual learning do with two segmentation networks of one input."""

from typing import Any

from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import add_prefix
from torch import Tensor
from torch.nn import functional as F


def require_one_logit(network: EncoderDecoder, role: str) -> None:
    """Refuse a network whose logits are not those of building against background.

    Raises:
        ValueError: The network has several channels of logits.
    """
    if network.out_channels != 1:
        raise ValueError(
            f'The {role} has {network.out_channels} channels of logits; transfer is between networks of one, building '
            'against background: decode_head=dict(num_classes=2, out_channels=1, threshold=0.5).'
        )


def same_preprocessing(network: EncoderDecoder, other: EncoderDecoder) -> bool:
    """Whether two networks expect images normalised in the same way."""
    return _normalization(network) == _normalization(other)


def logits_and_losses(network: EncoderDecoder, images: Tensor, samples: list) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the losses of a network as mmseg does, and keep the logits.

    Args:
        network: In training.
        images: Shape (B, 3, H, W).
        samples: Of mmseg, with `gt_sem_seg`.

    Returns:
        Logits at the size of the labels, (B, 1, H, W); the losses by name, those of auxiliary heads included.
    """
    maps = network.extract_feat(images)
    logits = network.decode_head(maps)
    losses = add_prefix(network.decode_head.loss_by_feat(logits, samples), 'decode')
    if network.with_auxiliary_head:
        losses |= network._auxiliary_head_forward_train(maps, samples)
    return fit_to_labels(network, logits, samples), losses


def fit_to_labels(network: EncoderDecoder, logits: Tensor, samples: list) -> Tensor:
    """Resize logits of any stride to the labels, as the network's own head does for its loss."""
    size = samples[0].gt_sem_seg.shape
    return F.interpolate(logits, size, mode='bilinear', align_corners=network.align_corners)


def stack_labels(network: EncoderDecoder, samples: list) -> Tensor:
    """The labels of a batch, shape (B, H, W)."""
    return network.decode_head._stack_batch_gt(samples).squeeze(1)


def _normalization(network: EncoderDecoder) -> list[Any]:
    processor = network.data_preprocessor
    values = [getattr(processor, name, None) for name in ('mean', 'std', 'channel_conversion')]
    return [value.flatten().tolist() if isinstance(value, Tensor) else value for value in values]
