"""What a failed step says if the parts of a network do not fit together: which channels one gives and one takes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

FAILURES = (RuntimeError, AssertionError, IndexError, ValueError, TypeError)  # of parts that get unexpected maps
PROBE_SIDE = 128  # pixels
HEADS = ('decode_head', 'auxiliary_head', 'bbox_head', 'rpn_head')  # of models of mmseg and mmdet, fed by their neck
ROI_HEADS = ('bbox_head', 'mask_head')  # of a roi_head, fed with what is pooled of each map
CHANGING_CHANNELS = ('ResLayer', 'GenericRoIExtractor')  # of mmdet, between the maps and those


@contextmanager
def misfits_named(model: nn.Module) -> Iterator[None]:
    """Replace the error of a step by one line, if a neck or head takes other channels than it is given.

    Raises:
        ValueError: Names the part, its channels and those that it is given.
    """
    try:
        yield
    except FAILURES as error:
        misfit = None
        with suppress(Exception):  # a network that fails here, too, has its own error to tell
            misfit = find_misfit(getattr(model, 'module', model))
        if misfit is None:
            raise
        raise ValueError(misfit) from error


@torch.no_grad()
def find_misfit(model: Any) -> str | None:
    """Say which neck or head of a segmentor or detector takes other channels than it is given; None if none does.

    The backbone and the neck are run on an image of zeros, in eval mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        return _find_misfit(model.eval())
    finally:
        for module, mode in modes:
            module.training = mode


def _find_misfit(model: Any) -> str | None:
    maps = model.backbone(next(model.parameters()).new_zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    giver = f'the backbone {type(model.backbone).__name__}'
    neck = getattr(model, 'neck', None)
    if neck is not None:
        given, taken = [level_map.shape[1] for level_map in maps], getattr(neck, 'in_channels', None)
        if isinstance(taken, Sequence) and sorted(taken) != sorted(given):
            return _message('neck', neck, list(taken), giver, given)
        maps = neck(maps)
        giver = f'the neck {type(neck).__name__}'
    given = [level_map.shape[1] for level_map in maps]
    roi_head = getattr(model, 'roi_head', None)
    heads_by_name: dict[str, Any] = {name: getattr(model, name, None) for name in HEADS}
    if roi_head is not None and not any(type(part).__name__ in CHANGING_CHANNELS for part in roi_head.modules()):
        heads_by_name |= {f'roi_head.{name}': getattr(roi_head, name, None) for name in ROI_HEADS}
    for name, heads in heads_by_name.items():
        several = isinstance(heads, nn.ModuleList)
        for index, head in enumerate(heads if several else [heads]):
            misfit = _head_misfit(f'{name}[{index}]' if several else name, head, giver, given)
            if misfit is not None:
                return misfit
    return None


def _head_misfit(name: str, head: Any, giver: str, given: Sequence[int]) -> str | None:
    taken, indices = getattr(head, 'in_channels', None), getattr(head, 'in_index', None)
    if taken is None:
        return None
    if indices is None:  # a dense head of mmdet, the same for all maps or with one number for each
        expected = list(taken) if isinstance(taken, Sequence) else [taken] * len(given)
        return None if expected == list(given) else _message(name, head, taken, giver, given)
    chosen = [indices] if isinstance(indices, int) else list(indices)
    if any(not -len(given) <= index < len(given) for index in chosen):
        return (
            f'{name} {type(head).__name__} asks for the maps in_index={indices}, but {giver} gives {len(given)}, '
            f'numbered from 0; set model.{name}.in_index and in_channels to what it gives: {list(given)} channels'
        )
    wanted = [given[index] for index in chosen]
    # one number for several maps is that of their concatenation
    fits = list(taken) == wanted if isinstance(taken, Sequence) else taken == sum(wanted)
    return None if fits else _message(name, head, taken, giver, wanted if isinstance(indices, Sequence) else wanted[0])


def _message(name: str, part: nn.Module, taken: Any, giver: str, given: Any) -> str:
    taken = list(taken) if isinstance(taken, Sequence) else taken
    return (
        f'{name} {type(part).__name__} takes maps of {taken} channels, but {giver} gives {given}: set '
        f'model.{name}.in_channels accordingly'
    )
