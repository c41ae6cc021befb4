"""Any network of timm as a backbone for dense prediction.

Code: https://github.com/huggingface/pytorch-image-models (Apache-2.0)

The networks, their levels and their features are timm's; this file gives them what every backbone of this package
offers. Three things differ from `timm.create_model(arch, features_only=True)`:

- Any image size. Networks that timm builds for one size are extended (`timm_any_size`). Images for networks that cut
  them into patches or windows are padded with zeros on the right and at the bottom, and the maps cropped: FocalNet,
  Hiera, ConvNeXt, Swin and others, which drop the rest of the image in timm, or refuse it. Where every map is cut into
  windows of a fixed side, the image is padded to whole windows of the coarsest map: for MaxViT to multiples of 224 to
  512 pixels, as its name says, of which small images waste most. MobileViTv2 enlarges maps of odd size to the next even
  one; they are resized back (bilinear, as there), so that each cell stands where its stride says. Maps whose size is
  right in timm are timm's.
- The strides of the levels are measured; timm states another one for the first level of TResNet.
- The parameters bear the names of the whole classifier, with which published and fine-tuned checkpoints come.
- Layers that lead to no chosen level are removed.
"""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self

import timm
import torch
from mmengine.registry import MODELS
from timm.layers.norm_act import SyncBatchNormAct
from timm.utils import reparameterize_model
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers.batch_norm_folding import fold_batch_norms
from ..layers.block_sequence import constant_running_statistics
from .backbone import Backbone, Level
from .timm_any_size import accept_any_size

# Options with which networks of timm take any size, where they have them: vision transformers, Swin.
ANY_SIZE_OPTIONS: Mapping[str, Any] = {'dynamic_img_size': True, 'strict_img_size': False}
# Cells of the coarsest map that windows and grids of the networks of timm are made of, for images that are padded.
WINDOW_SIDES = (1, 7, 8, 12, 16)


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


@MODELS.register_module()
class TimmBackbone(Backbone):
    """Any network of timm, by its name, with or without the tag of its weights: 'fastvit_sa12' or 'resnet50.a1_in1k'.

    Levels: all those of timm's `feature_info`. Those finer than stride 4 are the stem's; every other one ends a stage.
    The stem is all that comes before the first stage, a stage all that leads from the previous level to its own.

    Networks without a pyramid, such as XCiT, have a level per block, all of the same stride: by default they return
    the last one alone, and `frozen_stages` counts blocks. XCiT's authors use four of them, `out_indices=(3, 5, 7, 11)`
    for 12 blocks.

    `with_cp` is timm's own activation checkpointing, of blocks or whole stages. `fuse()` merges the branches of
    networks that have a training form (FastViT, MobileOne, RepViT and others) and folds the batch norms that follow a
    convolution; those behind something else remain, as after the activation in XCiT's blocks.

    Arguments: see `Backbone`; checkpoints must bear timm's names.

    Raises:
        ValueError: Also if the network has no stochastic depth, activation checkpointing or known stages and these are
            asked for, or does not give maps of any size.
    """

    archs: ClassVar[Mapping[str, Any]] = {}  # those of timm.list_models()
    timm_model: Any
    _is_fused = False

    def find_variant(self, arch: str) -> str:
        """Return the name, if timm has such a network and weights of such a tag."""
        name, _, tag = arch.partition('.')
        if not timm.is_model(name):
            names = timm.list_models()
            close = get_close_matches(name, names, n=5, cutoff=0.5)
            hint = f' Did you mean {", ".join(close)}?' if close else ''
            raise ValueError(f'TimmBackbone has no arch {arch!r}.{hint} timm.list_models() lists all {len(names)}.')
        tagged = timm.list_models(f'{name}.*', pretrained=True)
        if tag and arch not in tagged:
            raise ValueError(
                f'TimmBackbone has no arch {arch!r}: timm has no such weights. Choose one of {", ".join(tagged)}, or '
                f'{name!r} for the default ones.'
            )
        return arch

    def build(self, variant: str) -> tuple[Level, ...]:
        properties = find_properties(variant)
        options = dict(properties.options)
        if properties.has_drop_path:
            options['drop_path_rate'] = self.drop_path_rate
        elif self.drop_path_rate:
            raise ValueError(f'{variant} has no stochastic depth in timm: drop_path_rate must be 0.')
        network = timm.create_model(variant, **options)
        accept_any_size(network)
        prune(network, last=len(properties.levels) - 1)
        self.timm_model = network
        self.classifier_prefixes = properties.classifier_keys
        self._divisor = properties.divisor
        weights = timm.get_pretrained_cfg(variant)
        hub_id = (weights and weights.hf_hub_id) or ''
        self.timm_name = hub_id.removeprefix('timm/') if hub_id.startswith('timm/') else None
        if self.with_cp:
            self._checkpoint_activations()
        return properties.levels

    def forward_levels(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        yield from self._compute_levels(images, range(self.out_indices[-1] + 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._compute_levels(images, self.out_indices))

    def stem_and_stages(self) -> list[nn.Module]:
        """Return the parts of the network in order, each as a list of its modules and parameters."""
        stage_of_end = {
            info['module']: level.stage
            for info, level in zip(self.timm_model.feature_info, self.levels, strict=True)
            if info['module']
        }
        own_parameters = [parameter for _, parameter in self.timm_model.named_parameters(recurse=False)]
        stem: list[nn.Module] = [nn.ParameterList(own_parameters)]
        stages: list[list[nn.Module]] = []
        pending: list[nn.Module] = []
        for name, module in _walk(self.timm_model, stage_of_end):
            pending.append(module)
            if name not in stage_of_end:
                continue
            if stage_of_end[name] == 0:
                stem, pending = stem + pending, []
            elif not stages and 0 not in stage_of_end.values():
                stem, pending = stem + pending[:-1], pending[-1:]
            if pending:
                stages.append(pending)
                pending = []
        parts: list[nn.Module] = [nn.ModuleList(part) for part in (stem, *stages)]
        known = sum(len(list(part.parameters())) for part in parts)
        if self.frozen_stages >= 0 and known < len(list(self.parameters())):
            raise ValueError(
                f'timm does not tell which layers of {self.arch} make up the stem and the stages: frozen_stages must '
                f'be -1 (nothing), got {self.frozen_stages}.'
            )
        return parts

    def drop_levels_after(self, last: int) -> None:
        prune(self.timm_model, last)

    def init_weights(self) -> None:
        """Keep the weights: timm initialises its networks as it creates them."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        for norm in norms:
            # synchronisation over GPUs, by mmengine or torch, has left out the activation that timm puts into norms
            if type(norm) is nn.SyncBatchNorm and hasattr(norm, 'act'):
                norm.__class__ = SyncBatchNormAct
        if self.with_cp:
            self._watch(norms)
        return self

    def fuse(self) -> Self:
        self.eval()
        if self._is_fused:
            return self
        with torch.inference_mode(False):
            if self.with_cp:
                self.timm_model.set_grad_checkpointing(False)
            images = next(self.parameters()).new_zeros(1, 3, 64, 64)
            with _default_dtype(images.dtype):  # of which some networks create their merged layers
                reparameterize_model(self.timm_model, inplace=True)
            fold_batch_norms(self, images)
        self._is_fused = True
        return self

    def timm_prefixes(self) -> dict[str, str]:
        """Map the names that timm's `features_only=True` gives to the stages of a container."""
        return {
            f'{name}_{inner}.': f'{name}.{inner}.'
            for name, container in self.timm_model.named_children()
            if isinstance(container, nn.Sequential)
            for inner, _ in container.named_children()
        }

    def register_key_hooks(self) -> None:
        """Leave the name of the attribute that holds the network out of all keys."""
        super().register_key_hooks()
        self.register_load_state_dict_pre_hook(_add_attribute_name)
        self.register_state_dict_post_hook(_remove_attribute_name)

    def _compute_levels(self, images: torch.Tensor, indices: Sequence[int]) -> list[torch.Tensor]:
        height, width = images.shape[2:]
        if self._divisor > 1:
            images = F.pad(images, (0, -width % self._divisor, 0, -height % self._divisor))
        self._in_forward = True
        maps = run(self.timm_model, images, indices)
        self._in_forward = False
        strides = [self.levels[index].stride for index in indices]
        sizes = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in strides]
        return [self._fit(level_map, size) for level_map, size in zip(maps, sizes, strict=True)]

    def _fit(self, level_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if self._divisor > 1:
            return level_map[:, :, : size[0], : size[1]]
        if level_map.shape[2:] != size:
            return F.interpolate(level_map, size, mode='bilinear', align_corners=True)
        return level_map

    def _checkpoint_activations(self) -> None:
        """Let timm checkpoint; it runs the batch norms, which `train` watches, again in the backward pass."""
        try:
            self.timm_model.set_grad_checkpointing(True)
        except AssertionError as error:
            raise ValueError(f'{self.arch} has no activation checkpointing in timm: with_cp must be False.') from error
        self._in_forward = False
        self._held: dict[nn.Module, AbstractContextManager | None] = {}

    def _watch(self, norms: Sequence[nn.Module]) -> None:
        """Let batch norms not count what they see in the backward pass as a batch."""
        for norm in norms:
            if norm not in self._held:
                norm.register_forward_pre_hook(self._hold_statistics)
                norm.register_forward_hook(self._release_statistics, always_call=True)
        self._held = dict.fromkeys(norms)

    def _hold_statistics(self, norm: nn.Module, _: Any) -> None:
        if not self._in_forward:
            held = self._held[norm] = constant_running_statistics(norm)
            held.__enter__()

    def _release_statistics(self, norm: nn.Module, *_: Any) -> None:
        held = self._held[norm]
        if held is not None:
            held.__exit__(None, None, None)
            self._held[norm] = None


@cache
def find_properties(arch: str) -> Properties:
    """Find out about a network from one without memory, on torch's meta device.

    Raises:
        ValueError: If it does not give maps of any size.
    """
    with torch.device('meta'):
        network: Any = timm.create_model(arch)
        parameters = _init_parameters(type(network))
        options = {name: value for name, value in ANY_SIZE_OPTIONS.items() if name in parameters}
        if options:
            network = timm.create_model(arch, **options)
    accept_any_size(network)
    all_keys = list(network.state_dict())
    prune(network, last=len(network.feature_info) - 1)
    kept_keys = network.state_dict()
    levels, divisor = find_levels(arch, network.eval())
    return Properties(
        options=options,
        has_drop_path='drop_path_rate' in parameters,
        classifier_keys=tuple(key for key in all_keys if key not in kept_keys),
        levels=levels,
        divisor=divisor,
    )


def _init_parameters(network: type) -> set[str]:
    """Return what a class takes by name, where it takes any more for its base classes, theirs, too."""
    names: set[str] = set()
    for base in network.__mro__:
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
            names.update(parameters)
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return names


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
            reasons.append(f'{4 * divisor}x{8 * divisor}: {str(error) or type(error).__name__}')
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


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


def _walk(module: nn.Module, ends: Mapping[str, int], prefix: str = '') -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a network by name, in order; of containers of a stage's end, what they contain."""
    for name, child in module.named_children():
        path = prefix + name
        if any(end.startswith(f'{path}.') for end in ends):
            yield from _walk(child, ends, f'{path}.')
        else:
            yield path, child


def _add_attribute_name(_: nn.Module, state_dict: dict[str, Any], prefix: str, *__: Any) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[f'{prefix}timm_model.{key[len(prefix) :]}'] = state_dict.pop(key)


def _remove_attribute_name(_: nn.Module, state_dict: dict[str, Any], prefix: str, __: Any) -> None:
    start = f'{prefix}timm_model.'
    for key in [key for key in state_dict if key.startswith(start)]:
        state_dict[prefix + key[len(start) :]] = state_dict.pop(key)
