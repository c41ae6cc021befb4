"""From the config of a task to the training of a supernet, and from a network of it to a file."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from projects.storage.atomic_files import replacing
from projects.training.run_length import set_length

from ..space import GrowSpace
from .supernet import space_config

MODULE = 'projects.architecture_search.supernet'


def supernet_config(cfg: Config, space: GrowSpace, length: int | None = None) -> Config:
    """Let a config train all networks of a space instead of one.

    Data, losses, schedule and optimiser remain those of the task. Nothing is scored: see `SupernetScores`.

    Args:
        cfg: Of a task, on a `MixerPyramid`; stays as it is.
        space: The networks.
        length: Epochs, or iterations if the config counts those; None for those of the config.

    Returns:
        A config of its own.

    Raises:
        ValueError: The config accumulates the gradients of several batches.
    """
    if cfg.optim_wrapper.get('accumulative_counts', 1) != 1:
        raise ValueError(
            f'optim_wrapper.accumulative_counts is {cfg.optim_wrapper.accumulative_counts}; a supernet averages the '
            'gradients of its networks, and expects 1'
        )
    content: dict[str, Any] = cfg.to_dict()
    result = type(cfg)(content, cfg_text=cfg.text, filename=cfg.filename)
    result.model = {'type': 'Supernet', 'space': space_config(space), 'model': content['model']}
    imports = result.setdefault('custom_imports', {'imports': [], 'allow_failed_imports': False})
    imports.imports = [*imports.imports, MODULE]
    for part in ('dataloader', 'cfg', 'evaluator'):
        result[f'val_{part}'] = result[f'test_{part}'] = None
    if length is not None:
        set_length(result, length)
    return result


def save_network(network: nn.Module, path: str | Path) -> None:
    """Write the weights of a network as a checkpoint, which `tools/test.py CONFIG CHECKPOINT` reads.

    Args:
        network: A whole model.
        path: The file, which appears complete or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(path) as temporary:
        torch.save({'state_dict': network.state_dict()}, temporary)
