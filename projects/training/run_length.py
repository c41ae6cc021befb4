"""How long a config trains, with all of its schedule."""

from typing import Any

from mmengine.config import Config

TIMES = ('begin', 'end', 'T_max', 'milestones')  # of a schedule, in epochs or iterations


def length_of(cfg: Config) -> int:
    """Return for how long a config trains, in the unit in which it counts: epochs or iterations."""
    return int(cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters)


def set_length(cfg: Config, length: int) -> None:
    """Make a config train for longer or shorter, its learning rates falling to the end all the same.

    It is scored once, after training, and keeps its last checkpoint, which is written as often as before.

    Args:
        cfg: Changed in place.
        length: In epochs or iterations, as the config counts; 1 or more.

    Raises:
        ValueError: It is less than 1.
    """
    if length < 1:
        raise ValueError(f'a training has a length of 1 or more, got {length}')
    factor = length / length_of(cfg)
    unit = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    cfg.train_cfg.update({unit: length, 'val_interval': length})
    if hook := cfg.default_hooks.get('checkpoint'):
        hook.update(interval=min(hook.get('interval', length), length), max_keep_ckpts=1)
    if gradual := cfg.default_hooks.get('gradual'):
        gradual.phase_iters = _scaled(gradual.phase_iters, factor)
    for scheduler in cfg.get('param_scheduler') or []:
        for name in TIMES:
            if scheduler.get(name) is not None:
                scheduler[name] = _scaled(scheduler[name], factor)


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, list | tuple):
        return [_scaled(each, factor) for each in value]
    return max(round(value * factor), 1) if value else value
