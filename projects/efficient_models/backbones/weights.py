"""Reading published backbone weights: from timm's hub or from a local checkpoint."""

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
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


def read_hub_weights(timm_name: str) -> dict[str, Any]:
    """Download (once) the weights that timm publishes under a name such as `'shvit_s4.in1k'`.

    Raises:
        ConnectionError: If they are neither in the local cache nor reachable.
    """
    try:
        return load_state_dict_from_hf(f'timm/{timm_name}')
    except Exception as error:  # the hub's client raises errors of several libraries
        raise ConnectionError(
            f"The pretrained weights '{timm_name}' could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}: {error}). Offline, pass a local checkpoint, pretrained='path.pth', or start "
            'from random weights: --cfg-options model.backbone.pretrained=False.'
        ) from error


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
