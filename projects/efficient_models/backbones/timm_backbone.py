"""Any network of timm as a backbone for dense prediction.

Code: https://github.com/huggingface/pytorch-image-models (Apache-2.0)

The networks, their levels and their features are timm's; this file gives them what every backbone of this package
offers. Three things differ from `timm.create_model(arch, features_only=True)`:

- Any image size. Networks that timm builds for one size are extended (`timm_any_size`). Images for networks that cut
  them into patches or windows are padded with zeros on the right and at the bottom, and the maps cropped: FocalNet,
  Hiera, ConvNeXt, Swin and others, which drop the rest of the image in timm, or refuse it. Where every map is cut into
  windows of a fixed side (MaxViT, HaloNet), it is padded to whole windows of the coarsest map: multiples of 224 to
  512 pixels, of which small images fill little. MobileViTv2 enlarges maps of odd size to the next even
  one; they are resized back (bilinear, as there), so that each cell stands where its stride says. Maps whose size is
  right in timm are timm's.
- The strides of the levels are measured; timm states another one for the first level of TResNet.
- The parameters bear the names of the whole classifier, with which published and fine-tuned checkpoints come.
- Layers that lead to no chosen level are removed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from typing import Any, ClassVar, Self

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
from .timm_any_size import AnySizeMobileViTV2Block, accept_any_size, resize
from .timm_levels import find_properties, prune, run


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

    Arguments: see `Backbone`; checkpoints must bear timm's names. Options of timm's constructors other than
    `drop_path_rate` are refused: they would change strides, sizes or weights.

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
        self._enlarges = any(isinstance(module, AnySizeMobileViTV2Block) for module in network.modules())
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
        sizes = [((height + stride - 1) // stride, (width + stride - 1) // stride) for stride in strides]
        return [self._fit(level_map, size) for level_map, size in zip(maps, sizes, strict=True)]

    def _fit(self, level_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if self._divisor > 1:
            return level_map[:, :, : size[0], : size[1]]
        differs = self._enlarges or tuple(level_map.shape[2:]) != size
        return resize(level_map, size, align_corners=True) if differs else level_map

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
