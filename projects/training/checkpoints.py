"""Checkpoints of whole models: found, read, fitted. Trainings, transfers, experiments and exports do it here alone.

`openmmlab_compat.checkpoints` reads the files and executes nothing in them. What belongs to a single network stays with
it, as `efficient_models` imports nothing of the rest: published weights of backbones (`backbones.weights`), and names
that others gave to parameters (`checkpoint_keys`), which every `load_state_dict` understands by itself.
"""

import copy
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

NUM_LISTED = 10  # of each kind of misfit


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest whole checkpoint of a training run by its time, None if there is none.

    Those are `epoch_*.pth` and `iter_*.pth` of mmengine's CheckpointHook, and `interrupted.pth` of a stopped run.

    mmengine's `last_checkpoint` file is not asked: a run that is killed at the wrong moment leaves it empty.
    """
    candidates = [
        path for pattern in ('epoch_*.pth', 'iter_*.pth', 'interrupted.pth') for path in Path(work_dir).glob(pattern)
    ]
    return _newest_whole(candidates)


def best_checkpoint(work_dir: str | Path) -> Path | None:
    """The whole checkpoint that scored best in validation (`save_best` of mmengine's CheckpointHook), None if none did.

    An earlier best one is removed when a better one has been written; of two that stand there the newer is better.
    """
    return _newest_whole(list(Path(work_dir).glob('best_*.pth')))


def _newest_whole(candidates: Sequence[Path]) -> Path | None:
    whole = [path for path in candidates if zipfile.is_zipfile(path)]  # the directory of a zip stands at its end
    return max(whole, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def read_weights(path: str | Path) -> OrderedDict[str, Tensor]:
    """Read the weights of a whole model, by key.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, holds more than data, or its weights are not numbers.
    """
    return weights_of(CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent'))


def weights_of(checkpoint: Mapping[str, Any]) -> OrderedDict[str, Tensor]:
    """The weights in the content of a checkpoint, by key, without the prefix of a wrapper for several processes.

    What PyTorch notes of their modules, such as versions of formats (`_metadata`), stays with them.
    """
    stated = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    weights = OrderedDict((key.removeprefix('module.'), value) for key, value in stated.items())
    if metadata := getattr(stated, '_metadata', None):
        of_modules = {'' if name == 'module' else name.removeprefix('module.'): its for name, its in metadata.items()}
        weights._metadata = of_modules  # type: ignore[attr-defined]
    return weights


def fit_weights(model: nn.Module, weights: MutableMapping[str, Tensor], origin: str) -> list[str]:
    """Load all weights that fit.

    Args:
        model: Where they go; its networks rename foreign keys, and resize what was trained at another size, themselves.
        weights: By key; stay as they are.
        origin: Of the weights, for people.

    Returns:
        What does not fit, as 'of another shape: KEY …', 'missing: KEY' or 'left over: KEY', in this order.

    Raises:
        ValueError: A network does not know what to do with them.
    """
    reshaped: dict[str, str] = {}
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError:  # some have another shape, and no network resizes them
        own = model.state_dict()
        reshaped = {
            key: f'{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}'
            for key, value in weights.items()
            if key in own and value.shape != own[key].shape
        }
        fitting = copy.copy(weights)  # with what it says of its modules
        for key in reshaped:
            del fitting[key]
        try:
            result = model.load_state_dict(fitting, strict=False)
        except RuntimeError as error:
            raise ValueError(f'{origin} does not fit the model: {error}') from error
    missing = [key for key in result.missing_keys if key not in reshaped]
    kinds = {'of another shape': [*reshaped.values()], 'missing': missing, 'left over': result.unexpected_keys}
    return [f'{kind}: {text}' for kind, texts in kinds.items() for text in texts]


def refuse(misfits: Sequence[str], reason: str) -> None:
    """Raise ValueError with a reason and the first of each kind of misfits, if there are any."""
    lines = []
    for _, kind in groupby(misfits, key=lambda misfit: misfit.split(': ')[0]):
        found = list(kind)
        lines += found[:NUM_LISTED] + [f'… and {len(found) - NUM_LISTED} more'] * (len(found) > NUM_LISTED)
    if lines:
        raise ValueError('\n  '.join([reason, *lines]))


def switch_off_pretrained(model: dict[str, Any]) -> None:
    """Let the backbone in the config of a model download no weights that a checkpoint is about to replace."""
    if 'pretrained' in model.get('backbone', {}):  # a supernet has many
        model['backbone']['pretrained'] = False
