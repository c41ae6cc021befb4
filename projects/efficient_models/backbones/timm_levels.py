"""What timm does not tell about its networks: options, true strides, and the sizes of images that they take."""

import inspect
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import timm
import torch

from .backbone import Level
from .timm_any_size import accept_any_size

# Options with which networks of timm take any size, where they have them: vision transformers, Swin.
ANY_SIZE_OPTIONS: Mapping[str, Any] = {'dynamic_img_size': True, 'strict_img_size': False}
# Cells of the coarsest map that windows and grids of the networks of timm are made of, for images that are padded.
WINDOW_SIDES = (1, 7, 8, 12, 16, 5)


class Properties(NamedTuple):
    """What timm does not tell about a network.

    Attributes:
        options: Those of `ANY_SIZE_OPTIONS` that it has.
        has_drop_path: Whether its stochastic depth can be chosen.
        classifier_keys: Parameters and buffers that no level needs.
        levels: All levels, finest first.
        divisor: Of what the sides of its images must be multiples; 1 if they may have any length.
    """

    options: dict[str, Any]
    has_drop_path: bool
    classifier_keys: tuple[str, ...]
    levels: tuple[Level, ...]
    divisor: int


@cache
def find_properties(arch: str) -> Properties:
    """Find out about a network from one without memory, on torch's meta device.

    Raises:
        ValueError: If it does not give maps of any size.
    """
    with torch.device('meta'):
        network: Any = timm.create_model(arch)
        options = {name: value for name, value in ANY_SIZE_OPTIONS.items() if _takes(arch, network, name, value)}
        has_drop_path = _takes(arch, network, 'drop_path_rate', 0.0)
        if options:
            network = timm.create_model(arch, **options)
    accept_any_size(network)
    all_keys = list(network.state_dict())
    prune(network, last=len(network.feature_info) - 1)
    kept_keys = network.state_dict()
    levels, divisor = find_levels(arch, network.eval())
    return Properties(
        options=options,
        has_drop_path=has_drop_path,
        classifier_keys=tuple(key for key in all_keys if key not in kept_keys),
        levels=levels,
        divisor=divisor,
    )


def _takes(arch: str, network: Any, option: str, value: Any) -> bool:
    """Return whether a network has an option, of its own or one that it hands on to a base class or its settings."""
    parameters = inspect.signature(type(network)).parameters
    if option in parameters or all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
        return option in parameters
    try:
        timm.create_model(arch, **{option: value})
    except TypeError:
        return False
    return True


def prune(network: Any, last: int) -> None:
    """Remove the layers of a network of timm that no level up to the index `last` needs."""
    network.prune_intermediate_layers([last], prune_norm=True)


def run(network: Any, images: torch.Tensor, indices: Sequence[int]) -> list[torch.Tensor]:
    """Compute the levels of the given indices with a network of timm, shape (B, C, H, W) each."""
    return network.forward_intermediates(images, indices=list(indices), stop_early=True, intermediates_only=True)


def find_levels(arch: str, network: Any) -> tuple[tuple[Level, ...], int]:
    """Return the levels of a network on the meta device, and of what the sides of its images must be multiples.

    Raises:
        ValueError: If it does not give maps of any size.
    """
    stated = sorted({info['reduction'] for info in network.feature_info})
    reasons = []
    for divisor in (stated[-1] * side for side in WINDOW_SIDES):
        try:
            shapes = _run(network, (4 * divisor, 8 * divisor))
        except Exception as error:  # each network refuses a size in its own way
            reasons.append(f'{4 * divisor}x{8 * divisor}: {_reason(error)}')
            continue
        levels = _measure_levels(network, shapes, (4 * divisor, 8 * divisor))
        if levels is None:
            reasons.append(f'{4 * divisor}x{8 * divisor}: maps of {_listed(shapes)}')
            break
        if _covers(network, levels, (2 * stated[-1] + 1, 3 * stated[-1] + 1)):
            return levels, 1
        if _covers(network, levels, (3 * divisor, 4 * divisor)):
            return levels, divisor
        reasons.append(f'{3 * divisor}x{4 * divisor}: no maps, or too small ones')
    raise ValueError(
        f'{arch} of timm, whose strides are given as {", ".join(map(str, stated))}, does not give maps of '
        f'ceil(size / stride) for images of any size, padded or not ({reasons[0]}). Choose a network that does, for '
        'instance resnet50 or fastvit_sa12.'
    )


def _reason(error: Exception) -> str:
    """What an error says of a network run on the meta device; of one without words, the line of code."""
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if '/torch/' not in frame.filename]
    if 'cannot be called on meta tensors' in str(error):
        return f'its sizes depend on values of tensors, by {lines[-1]!r}'
    return str(error) or f'{type(error).__name__} of {lines[-1]!r}'


def _run(network: Any, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """Return the shapes (channels, rows, columns) of all maps of an image."""
    with torch.no_grad():
        maps = run(network, torch.empty(1, 3, *size, device='meta'), range(len(network.feature_info)))
    return [tuple(level_map.shape[1:]) for level_map in maps]


def _measure_levels(network: Any, shapes: Sequence[tuple[int, ...]], size: tuple[int, int]) -> tuple[Level, ...] | None:
    """Return the levels, finest first, by their shapes for an image; None if one has no whole stride, or two."""
    levels = []
    stage = 0
    for info, (channels, rows, columns) in zip(network.feature_info, shapes, strict=True):
        stride = size[0] // rows
        if (stride * rows, stride * columns) != size:
            return None
        stage += stride >= 4 and bool(info['module'])
        levels.append(Level(channels, stride, stage))
    return tuple(levels)


def _covers(network: Any, levels: Sequence[Level], size: tuple[int, int]) -> bool:
    """Return whether no map lacks a part of an image of this size."""
    try:
        shapes = _run(network, size)
    except Exception:  # each network refuses a size in its own way
        return False
    return all(
        rows >= size[0] / level.stride and columns >= size[1] / level.stride
        for (_, rows, columns), level in zip(shapes, levels, strict=True)
    )


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ', '.join(dict.fromkeys(f'{rows}x{columns}' for _, rows, columns in shapes))
