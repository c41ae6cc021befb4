"""OpenMMLab checkpoints through `torch.load(weights_only=True)`, which runs no code that a file brings along.

A checkpoint of mmengine's Runner holds more than tensors: log histories, numpy values, methods by name. `install`
permits these few harmless types, and `argparse.Namespace`, in which authors of backbones keep their command line. A
file that names anything else is refused.
"""

import argparse
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader

_REFUSAL = (
    '{path} is refused: it contains {name}, which is none of the harmless types of an OpenMMLab checkpoint. Nothing in '
    'it was executed. If you trust its author, reduce it to its weights on a machine where running it does no harm and '
    "use these: python -c \"import torch; c = torch.load('{path}', weights_only=False); "
    "torch.save(c.get('state_dict', c.get('model', c)), 'weights.pth')\""
)
_UNREADABLE = (
    '{path} cannot be read as a PyTorch checkpoint: {reason}. If it is incomplete or damaged, delete it and copy or '
    'download it again; if it is a Git LFS pointer, fetch the file itself.'
)
_NOT_WEIGHTS = ('optimizer', 'param_schedulers', 'message_hub', 'meta')
_NUMPY_TYPECODES = '?' + np.typecodes['AllInteger'] + np.typecodes['Float'] + 'SU'
_METHODS = {
    HistoryBuffer: ('min', 'max', 'mean', 'current'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def _method_by_name(owner: Any, name: Any) -> Callable[..., Any]:
    """What `getattr` means in a checkpoint, where pickle uses it to name a method: one of `_METHODS`, nothing else."""
    if name in _METHODS.get(owner, ()):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'GLOBAL getattr({getattr(owner, "__name__", type(owner).__name__)},{name})')


def _harmless_globals() -> list[Any]:
    """What a checkpoint may name, as `torch.serialization.add_safe_globals` takes it.

    Instances of these types only hold data: building one from hostile arguments runs nothing and writes nothing.
    """
    rebuild_array = np.zeros(0).__reduce__()[0]
    rebuild_scalar = np.float64(0).__reduce__()[0]
    numpy_functions = [
        (function, f'{module}.multiarray.{name}')
        for module in ('numpy.core', 'numpy._core')  # numpy 1 and 2
        for function, name in ((rebuild_array, '_reconstruct'), (rebuild_scalar, 'scalar'))
    ]
    numpy_dtypes = {type(np.dtype(code)) for code in _NUMPY_TYPECODES}
    return [
        *(np.ndarray, np.dtype, *numpy_dtypes, *numpy_functions),
        *(HistoryBuffer, OneCycleParamScheduler, ConfigDict, argparse.Namespace),
        (_method_by_name, 'builtins.getattr'),
    ]


def load_checkpoint_file(path: str | PathLike[str], map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Args:
        path: A file of `torch.save`; `~` is the home folder.
        map_location: Device for the tensors, as in `torch.load`.

    Returns:
        The dictionary in the file. What mmcv 1 calls `config` in its `meta` entry is renamed to mmengine's `cfg`,
        because mmengine's Runner executes a text of the former name as Python code when it resumes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds no dictionary, contains an object of a type that is not permitted, or
            weights that are not numbers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        beside = ', '.join(sorted(file.name for file in path.parent.glob('*.pth'))) or 'no .pth file'
        raise FileNotFoundError(f'checkpoint {path} does not exist; {path.parent} holds {beside}')
    with path.open('rb') as file:
        try:
            checkpoint = torch.load(file, map_location=map_location, weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are operations in a pickle
            reason = f'{type(error).__name__} {str(error)[:100]}'
            if isinstance(error, pickle.UnpicklingError):
                if forbidden := re.search(r'GLOBAL (\S+)', str(error)):
                    raise ValueError(_REFUSAL.format(path=path, name=forbidden[1])) from None
                reason = 'its pickle is damaged or of a protocol other than 2'
            raise ValueError(_UNREADABLE.format(path=path, reason=reason)) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}; expected a dictionary of weights')
    require_numbers(checkpoint, path)
    meta = checkpoint.get('meta')
    if isinstance(meta, dict) and 'config' in meta:
        meta.setdefault('cfg', meta.pop('config'))
    return checkpoint


def require_numbers(checkpoint: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Refuse weights that a diverged training has left behind; a network with them predicts nothing, silently.

    Args:
        checkpoint: Content of a checkpoint, or its weights.
        path: Its file, for the message.

    Raises:
        ValueError: A tensor holds NaN, or infinity where no network has it: in weights, biases and running statistics.
    """
    tensors = dict(_weights(checkpoint))
    bad = [name for name, tensor in tensors.items() if not _holds_numbers(name, tensor)]
    if bad:
        share = f'{len(bad)} of {len(tensors)} tensors hold' if len(bad) > 1 else 'a tensor holds'
        raise ValueError(
            f'{path} cannot be used: {share} NaN or infinity, {"the first is" if len(bad) > 1 else "it is"} {bad[0]}. '
            'The training that wrote it has diverged: take an earlier checkpoint, or train again with a lower learning '
            'rate or without fp16'
        )


def _weights(content: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of floating point in a checkpoint, by name, without the state of the training."""
    for key, value in content.items():
        if isinstance(value, Mapping) and (prefix or key not in _NOT_WEIGHTS):
            yield from _weights(value, f'{prefix}{key}.')
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            yield f'{prefix}{key}', value


def _holds_numbers(name: str, tensor: torch.Tensor) -> bool:
    if name.endswith(('weight', 'bias', 'running_mean', 'running_var')):
        return bool(tensor.isfinite().all())
    return not tensor.isnan().any()  # masks of attention, for example, hold infinity


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """The loader for paths of mmengine, whose log calls it by the part of the name after `load_from_`."""
    return load_checkpoint_file(filename, map_location)


def _load_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> dict[str, Any]:
    """Download once into PyTorch's cache and load; `torch.hub.load_state_dict_from_url` would execute the file."""
    folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
    path = folder / Path(urlparse(url).path).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=progress)
    return load_checkpoint_file(path, map_location)


def install() -> None:
    """Permit the harmless types and let mmengine read every file and download without executing it."""
    torch.serialization.add_safe_globals(_harmless_globals())
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    mmengine.runner.checkpoint.load_url = _load_url  # behind http://, torchvision://, openmmlab:// and mmcls://
