"""What a small network of a supernet learns from the largest one, besides the labels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Maps = torch.Tensor | Sequence[torch.Tensor]
TEACHING = ('decode_head', 'neck', 'backbone')  # parts of a model, of which the first that it has is compared
SMALLEST_VARIANCE = 1e-6


@contextmanager
def recording(network: nn.Module) -> Iterator[list[Maps]]:
    """Keep what a part of a network returns, by which networks are compared.

    Of a segmentor it is the logits of its decode head; of a detector, whose predictions belong to boxes of its own, the
    maps of its neck.

    Args:
        network: A whole model.

    Yields:
        What the part has returned, pass by pass.
    """
    part: Any = taught_part(network)
    forward, maps = part.forward, []

    def record(*args: Any, **kwargs: Any) -> Any:
        maps.append(forward(*args, **kwargs))
        return maps[-1]

    part.forward = record  # mmseg's heads call it themselves, past all hooks
    try:
        yield maps
    finally:
        del part.forward


def taught_part(network: nn.Module) -> nn.Module:
    """The part whose results are compared: the decode head, else the neck, else the backbone."""
    part = next(part for name in TEACHING if (part := getattr(network, name, None)) is not None)
    return part[-1] if isinstance(part, nn.ModuleList) else part  # of a cascade


def distillation_loss(student: Maps, teacher: Maps, of_logits: bool) -> torch.Tensor:
    """How far a network is from its teacher, which gets no gradients; 0 where they agree.

    Of logits it is the divergence KL(teacher || student), mean over the positions, as in in-place distillation
    (https://arxiv.org/abs/1903.05134); one channel is taken for the logit of a probability. Of maps it is the mean
    squared difference over the teacher's variance, mean over the maps. A teacher of another size is interpolated; of
    several maps, the nearest in size teaches.

    Args:
        student: Logits or one map, shape (B, C, H, W), or several.
        teacher: As the student's, of the same channels.
        of_logits: Whether these are logits.
    """
    students = [student] if isinstance(student, torch.Tensor) else list(student)
    teachers = [teacher] if isinstance(teacher, torch.Tensor) else list(teacher)
    compare = logit_divergence if of_logits else map_difference
    return torch.stack([compare(one.float(), _matched(one, teachers)) for one in students]).mean()


def logit_divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL(teacher || student) in nats, mean over positions, of logits of shape (B, C, H, W)."""
    if student.shape[1] == 1:  # against a logit of 0, softmax is the sigmoid
        student, teacher = (torch.cat([logits, torch.zeros_like(logits)], 1) for logits in (student, teacher))
    expected, found = teacher.log_softmax(1), student.log_softmax(1)
    return (expected.exp() * (expected - found)).sum(1).mean()


def map_difference(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of two maps over the variance of the teacher's values."""
    return F.mse_loss(student, teacher) / teacher.var(correction=0).clamp(min=SMALLEST_VARIANCE)


def _matched(student: torch.Tensor, teachers: Sequence[torch.Tensor]) -> torch.Tensor:
    """The teacher's map that is nearest in size, at the size of the student's, without gradients."""
    nearest = min(teachers, key=lambda one: abs(one.shape[2] - student.shape[2])).detach().float()
    if nearest.shape[2:] == student.shape[2:]:
        return nearest
    return F.interpolate(nearest, size=student.shape[2:], mode='bilinear', align_corners=False)
