"""What a config must have for a run, and values with which none can go well: refused before anything is built."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from projects.command_line import UsageError

from .config_copies import MISSING, value_at

TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper')
TESTING = ('test_dataloader', 'test_cfg', 'test_evaluator')
SHOWN = 3


def require_parts(cfg: Config, *names: str) -> None:
    """Refuse a config that lacks what a run needs.

    Args:
        cfg: A config with a file name.
        *names: Of its variables.

    Raises:
        UsageError: Some are absent or None; names configs that are based on this one, if there are any.
    """
    absent = [name for name in names if not cfg.get(name)]
    if absent:
        raise UsageError(f'{cfg.filename} has no {", ".join(absent)}{whose_part(Path(cfg.filename))}')


def whose_part(file: Path) -> str:
    """The end of a message: that a file is a part of other configs, and of which."""
    folder = next((folder for folder in file.absolute().parents if folder.name == '_base_'), None)
    if folder is None:
        return ': it is a part of other configs, or a plan for another tool'
    name = file.absolute().relative_to(folder.parent).as_posix()
    others = (leaf for leaf in sorted(folder.parent.rglob('*.py')) if '_base_' not in leaf.parts)
    leaves = [leaf for leaf in others if name in leaf.read_text(errors='replace')]
    listed = ', '.join(str(leaf) for leaf in leaves[:SHOWN])
    return ': it is a part of other configs' + (f', such as {listed}' if leaves else '')


def check_values(cfg: Config) -> None:
    """Refuse schedules, batches and rates with which nothing is trained, or nothing sensible.

    Args:
        cfg: Of a training.

    Raises:
        UsageError: A number of epochs, iterations or images is below 1, a rate is negative or not finite, or
            `load_from` is no path.
    """
    at_least_1 = ['train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.val_interval']
    at_least_1 += [f'{split}_dataloader.batch_size' for split in ('train', 'val', 'test')]
    at_least_1 += ['optim_wrapper.accumulative_counts']
    content = cfg.to_dict()
    if not isinstance(content.get('load_from'), str | None):
        raise UsageError(f'load_from={content["load_from"]!r}: expected one path')
    for key in at_least_1:
        value = value_at(content, key)
        if value not in (None, MISSING) and (type(value) is not int or value < 1):
            raise UsageError(f'{key}={value!r}: expected a whole number, 1 or more')
    for part in ('optim_wrapper', 'param_scheduler'):
        for key, value in _numbers(content.get(part), part):
            is_rate = key.endswith(('optimizer.lr', 'weight_decay'))
            if math.isnan(value) or (is_rate and not 0 <= value < math.inf):
                raise UsageError(f'{key}={value!r}: expected a number' + ', 0 or more' * is_rate)


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """All numbers below a dotted key."""
    if isinstance(value, dict | list | tuple):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(part, f'{key}.{name}')
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value
