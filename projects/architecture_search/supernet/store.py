"""The parameters that all networks of a space share."""

import copy
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS
from torch import nn
from torch.overrides import TorchFunctionMode

from projects.efficient_models.backbones.mixer_pyramid import Block
from projects.training.levels import read_levels

from ..space import GrowSpace, Point
from .layouts import Layout, measure_layouts

BACKBONE = 'MixerPyramid'
CACHED = 64  # networks without parameters
STAGES = 4
PROBE_SIDE = 256  # pixels
IN_STAGE = re.compile(r'backbone\.stages\.(\d+)\.(\d+)\.(.+)')
STEM = 'backbone.patch_embed.'
DRAWING = (torch.Tensor.normal_, torch.Tensor.uniform_)


def network_config(model: Mapping[str, Any], space: GrowSpace, point: Point) -> dict[str, Any]:
    """The config of a point's whole network: the model of a task on another backbone."""
    config = copy.deepcopy(dict(model))
    for key, value in space.options(point).items():
        *parents, last = key.removeprefix('model.').split('.')
        node = config
        for name in parents:
            node = node[name]
        node[last] = value
    return config


class WeightStore(nn.Module):
    """Parameters from which any network of a space takes its own: the first blocks, the first channels.

    No layer is elastic. A network is the one that its config describes, and computes with slices of these parameters,
    whose gradients they receive. There is one set for each stage, block and token mixer, as wide as its widest network;
    one stem for each stride; and one set of necks and heads, or one for each stride of the stem if these differ.

    Args:
        space: The networks.
        model: Config of the whole model of a task, whose backbone is a `MixerPyramid`.

    Attributes:
        parts: What stores parameters: `network`, the largest with the first mixers, and what others have beside it.

    Raises:
        ValueError: The backbone is another; the largest network cannot be built; or heads that state the strides of
            their maps, as those of detectors with anchors do, state others than a stem gives.
    """

    def __init__(self, space: GrowSpace, model: Mapping[str, Any]) -> None:
        super().__init__()
        if (kind := model.get('backbone', {}).get('type')) != BACKBONE:
            raise ValueError(
                f'a supernet has networks on a {BACKBONE}, but the backbone of this config is {kind}: '
                f"set model.backbone to dict(type='{BACKBONE}', arch='tiny', …), with in_channels='backbone' in necks "
                "and heads, or search the space 'select'"
            )
        self.space, self.model = space, model
        self.layouts: dict[str, Layout] = {}
        self.parts = nn.ModuleDict()
        self.cached_network = lru_cache(CACHED)(self._network_of)
        self._finest = min(space.stem_strides)
        self._add_networks()
        self._add_mixers()

    def init_weights(self) -> None:
        """Initialise as the recipe of the model says."""
        for part in self.parts.values():
            for module in [part] if isinstance(part, BaseModule) else part.children():
                if isinstance(module, BaseModule):
                    module.init_weights()

    def network(self, point: Point) -> BaseModel:
        """The network of a point without parameters of its own, to be called with those of `weights`."""
        options = json.dumps(network_config(self.model, self.space, point)['backbone'], sort_keys=True)
        return self.cached_network(options, next(self.parameters()).device)

    def weights(self, network: nn.Module, point: Point) -> dict[str, torch.Tensor]:
        """The parameters of a point's network, by name, as slices of those of all.

        Args:
            network: Of the point, which says their shapes.
            point: Where in the space.

        Raises:
            ValueError: The network is larger than the largest.
        """
        widths = [int(point[f'dim{stage}']) for stage in range(1, STAGES + 1)]
        stored = dict(self.parts.named_parameters())
        weights = {}
        for name, parameter in network.named_parameters():
            path = self._path(name, point)
            if path not in stored or any(a > b for a, b in zip(parameter.shape, stored[path].shape, strict=True)):
                held = tuple(stored[path].shape) if path in stored else 'nothing'
                raise ValueError(f'{name} of {dict(point)} has the shape {tuple(parameter.shape)}, the supernet {held}')
            weights[name] = self.layouts[path].cut(stored[path], parameter.shape, widths)
        return weights

    def subnetwork(self, point: Point, model: Mapping[str, Any] | None = None) -> BaseModel:
        """A network of its own with copies of the shared parameters; its batch norms have seen nothing.

        Args:
            point: Where in the space.
            model: Config of the model if it is not quite that of the supernet: for other image sizes.
        """
        network = build(network_config(model or self.model, self.space, point))
        with torch.no_grad():
            for name, value in self.weights(network, point).items():
                network.get_parameter(name).copy_(value)
        return network.to(next(self.parameters()).device)

    def _network_of(self, backbone: str, device: torch.device) -> nn.Module:
        options = json.loads(backbone)
        network = build({**copy.deepcopy(dict(self.model)), 'backbone': options}).to(device)
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                module.register_parameter(name, nn.Parameter(parameter.to('meta'), parameter.requires_grad))
        return network

    def _path(self, name: str, point: Point) -> str:
        """Where a parameter of a point's network is stored."""
        if (match := IN_STAGE.match(name)) and (int(match[1]) == 0 or int(match[2]) > 0):
            stage, block, rest = match.groups()
            path = f'{point[f"mixer{int(stage) + 1}"]}{int(stage) + 1}.{block}.{rest}'
            return path if path.split('.')[0] in self.parts else f'network.{name}'
        stride = point['stem_stride']
        if name.startswith(STEM) and f'stem{stride}' in self.parts:
            return f'stem{stride}.{name.removeprefix(STEM)}'
        if not name.startswith('backbone.') and f'heads{stride}' in self.parts:
            return f'heads{stride}.{name}'
        return f'network.{name}'

    def _add_networks(self) -> None:
        """The largest network, and what those of coarser stems have that is different."""
        largest = self.space.extreme(largest=True)
        self.parts['network'] = network = MODELS.build(network_config(self.model, self.space, largest))
        _check_strides(network, self._finest)
        layouts = measure_layouts(self.space, largest, self._shapes)
        self.layouts |= {f'network.{name}': layout for name, layout in layouts.items()}
        for stride in self.space.stem_strides:
            if stride == self._finest:
                continue
            point = {**largest, 'stem_stride': stride}
            other = MODELS.build(network_config(self.model, self.space, point))
            _check_strides(other, stride)
            layouts = measure_layouts(self.space, point, self._shapes)
            self.parts[f'stem{stride}'] = other.backbone.patch_embed
            self.layouts |= {
                f'stem{stride}.{name.removeprefix(STEM)}': layout
                for name, layout in layouts.items()
                if name.startswith(STEM)
            }
            if _shapes_of_heads(other) != _shapes_of_heads(network):
                heads = {name: child for name, child in other.named_children() if name != 'backbone'}
                self.parts[f'heads{stride}'] = nn.ModuleDict(heads)
                self.layouts |= {
                    f'heads{stride}.{name}': layout
                    for name, layout in layouts.items()
                    if not name.startswith('backbone.')
                }

    def _add_mixers(self) -> None:
        """The blocks of all mixers but the first of each stage, in networks of the fewest tokens: all fit in memory."""
        for number in range(1, max(map(len, self.space.mixers))):
            chosen = [names[min(number, len(names) - 1)] for names in self.space.mixers]
            largest = {**self.space.extreme(largest=True, mixers=chosen), 'stem_stride': max(self.space.stem_strides)}
            backbone = MODELS.build(network_config(self.model, self.space, largest)['backbone'])
            layouts = measure_layouts(self.space, largest, self._shapes_of_backbone)
            for stage, (mixer, names) in enumerate(zip(chosen, self.space.mixers, strict=True)):
                if mixer == names[0] or (part := f'{mixer}{stage + 1}') in self.parts:
                    continue
                blocks = {
                    str(place): layer for place, layer in enumerate(backbone.stages[stage]) if isinstance(layer, Block)
                }
                self.parts[part] = nn.ModuleDict(blocks)
                for name in self.parts[part].state_dict():
                    if (layout := layouts.get(f'backbone.stages.{stage}.{name}')) is not None:
                        self.layouts[f'{part}.{name}'] = layout

    def _shapes(self, point: Point) -> dict[str, tuple[int, ...]]:
        network = build(network_config(self.model, self.space, point))
        return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}

    def _shapes_of_backbone(self, point: Point) -> dict[str, tuple[int, ...]]:
        backbone = build(network_config(self.model, self.space, point)['backbone'])
        return {f'backbone.{name}': tuple(parameter.shape) for name, parameter in backbone.named_parameters()}


def build(config: Mapping[str, Any]) -> Any:
    """Build a network whose parameters are about to be replaced: without initial values, nor random numbers."""
    with torch.random.fork_rng(devices=[]), _Uninitialized():
        return MODELS.build(_with_numbers(config))


def _with_numbers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model whose necks and heads have read their numbers from the quickest backbone of its widths."""
    if 'backbone' not in config:
        return dict(config)
    backbone = config['backbone']
    quickest = {**backbone, 'arch': {**backbone['arch'], 'depths': (1,) * STAGES}, 'mixers': ('pool',) * STAGES}
    return {**read_levels({**config, 'backbone': quickest}), 'backbone': backbone}


class _Uninitialized(TorchFunctionMode):
    """Leaves out the functions of `torch.nn.init`, and what those draw that it cannot see."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, '__module__', None) == 'torch.nn.init' or func in DRAWING:
            return kwargs['tensor'] if 'tensor' in kwargs else args[0]
        return func(*args, **kwargs)


@torch.no_grad()
def _check_strides(network: Any, stem_stride: Any) -> None:
    """Refuse a detector whose anchors lie on other maps than it has, which no shape of a parameter shows."""
    stated = [module.prior_generator.strides for module in network.modules() if hasattr(module, 'prior_generator')]
    if not stated:
        return
    maps = network.eval().extract_feat(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    network.train()
    found = [round(PROBE_SIDE / one.shape[2]) for one in maps]
    for expected in ([rows for _, rows in strides] for strides in stated):
        if expected != found:
            raise ValueError(
                f'heads of this config place anchors at the strides {expected}, but with a stem_stride of '
                f'{stem_stride} there are maps at the strides {found}: leave this stem_stride out of the space'
            )


def _shapes_of_heads(network: nn.Module) -> dict[str, torch.Size]:
    """Of all but the backbone."""
    return {name: value.shape for name, value in network.named_parameters() if not name.startswith('backbone.')}
