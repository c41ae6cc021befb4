"""Checkpoints of the source model, whole or refused with the command that makes them."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from projects.training.config import locate

NUM_LISTED = 10


def require_checkpoint(path: str | Path, config: str | None) -> Path:
    """Look for the checkpoint of a model that another run trains.

    Args:
        path: Looked for in the current folder first, in the project's then.
        config: The config that makes it, if known.

    Returns:
        Where it is.

    Raises:
        FileNotFoundError: There is none; says how to make it and what is there instead.
    """
    file = locate(path)
    if file.is_file():
        return file
    sample = ' --sample' if file.parent.name.endswith('_sample') else ''
    command = f'python tools/train.py {config or "CONFIG"}{sample}'
    there = ', '.join(sorted(other.name for other in file.parent.glob('*.pth'))) or 'no checkpoint'
    raise FileNotFoundError(
        f'No checkpoint of the source model at {file}; that folder holds {there}. Train it: {command}. Another file: '
        '--cfg-options model.teacher.checkpoint=FILE (distillation) or load_from=FILE (domain adaptation)'
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a whole model, through the loader that runs no code of the file."""
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    weights = checkpoint.get('state_dict', checkpoint)
    return {key.removeprefix('module.'): value for key, value in weights.items()}


def require_fit(weights: Mapping[str, Tensor], model: nn.Module, origin: str, config: str | None) -> None:
    """Refuse weights that are not exactly those of a model.

    Args:
        weights: By key.
        model: Where they are to go.
        origin: Of the weights, for people.
        config: That made them, if known.

    Raises:
        ValueError: Weights are missing, left over or of another shape; lists some of them.
    """
    own = model.state_dict()
    problems = {
        'missing': [key for key in own if key not in weights],
        'left over': [key for key in weights if key not in own],
        'of another shape': [
            f'{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}'
            for key, value in own.items()
            if key in weights and weights[key].shape != value.shape
        ],
    }
    if any(problems.values()):
        listed = '\n  '.join(f'{kind}: {_listed(keys)}' for kind, keys in problems.items() if keys)
        raise ValueError(
            f'{origin} does not fit the network, whole as it must be; was it made by {config or "the config"} with '
            f'other settings? Train it again, or set the network to that of the checkpoint.\n  {listed}'
        )


def _listed(keys: list[str]) -> str:
    more = f' and {len(keys) - NUM_LISTED} more' if len(keys) > NUM_LISTED else ''
    return ', '.join(keys[:NUM_LISTED]) + more
