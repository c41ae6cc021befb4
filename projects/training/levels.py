"""Channels and strides that necks and heads read from what feeds them, instead of having them written beside it.

A neck has `in_channels='backbone'`; a head has `in_channels='neck'`, or 'backbone' where there is no neck; strides that
heads are told (`feature_strides` of mmseg's, `strides` of SMPHead) likewise. Importing this module lets OpenMMLab's
registries build networks so, in every runner, inferencer and tool. Numbers in their place stay what they are.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS, Registry
from mmengine.registry.build_functions import build_model_from_cfg
from torch import nn

from .channels import FAILURES

READ = ('in_channels', 'strides', 'feature_strides')  # options of parts that may be read
SIDE = 1024  # pixels of an image without memory, by which strides are measured
MISSING = inspect.Parameter.empty


def build_network(cfg: Any, registry: Registry, default_args: Any = None) -> nn.Module:
    """Build what mmengine's `build_model_from_cfg` builds, once `read_levels` has put numbers into it.

    A class whose attribute `builds_networks` is true gets its config as it is: the networks that it builds read theirs.
    """
    kind = cfg.get('type') if isinstance(cfg, Mapping) else None
    kind = registry.get(kind) if isinstance(kind, str) else kind
    if not getattr(kind, 'builds_networks', False):
        cfg = read_levels(cfg, registry)
    return build_model_from_cfg(cfg, registry, default_args)


for _registry in (MODELS, *MODELS.children.values()):  # those that come later take it from the root
    _registry.build_func = build_network


def read_levels(cfg: Any, registry: Registry = MODELS) -> Any:
    """Put the numbers of its backbone and its neck into the config of a network.

    Args:
        cfg: Of a network, with others in it or not, or of any other module.
        registry: What its parts are built of, to see what they give: without memory, weights and random numbers.

    Returns:
        The config itself if nothing in it reads, else a copy with numbers everywhere.

    Raises:
        ValueError: A part reads from what does not feed it, or cannot take what feeds it; the message says what to set.
    """
    if not any(_reading(part) for _, part in _dicts(cfg, 'model')):
        return cfg
    cfg = _copied(cfg)
    with registry.switch_scope_and_registry(cfg.get('_scope_') if isinstance(cfg, Mapping) else None) as scoped:
        for path, network in _dicts(cfg, 'model'):
            if _is_network(network):
                _Network(network, path, scoped).fill_in()
    for path, part in _dicts(cfg, 'model'):
        if _reading(part):
            raise ValueError(f'{path} {part.get("type")} is to read {_reading(part)}, but has no backbone beside it')
    return cfg


def _dicts(cfg: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A config and all dicts in it, with their dotted keys."""
    if isinstance(cfg, Mapping):
        yield path, cfg
    named = cfg.items() if isinstance(cfg, Mapping) else enumerate(cfg) if isinstance(cfg, list | tuple) else ()
    for name, value in named:
        yield from _dicts(value, f'{path}.{name}')


def _copied(cfg: Any) -> Any:
    """A config whose dicts and lists are its own; a dict that stands in two places becomes two."""
    if isinstance(cfg, Mapping):
        copied = copy.copy(cfg)
        for key, value in cfg.items():
            copied[key] = _copied(value)  # type: ignore[index]
        return copied
    return [_copied(value) for value in cfg] if isinstance(cfg, list) else cfg


def _reading(cfg: Any) -> list[str]:
    """The options of a part that are to be read."""
    return [option for option in READ if isinstance(cfg.get(option), str)]


def _is_network(cfg: Any) -> bool:
    return isinstance(cfg.get('backbone'), Mapping)


class _Network:
    """The config of one network, whose parts are filled in.

    Args:
        cfg: Changed in place.
        path: Its dotted key.
        registry: What its parts are built of.
    """

    def __init__(self, cfg: Any, path: str, registry: Registry) -> None:
        self.cfg, self.path, self.registry = cfg, path, registry
        self.maps: dict[str, Sequence[torch.Tensor]] = {}  # of feeders, without memory

    def fill_in(self) -> None:
        """Put numbers into the parts, the neck first, from which heads may read."""
        for name in sorted((name for name in self.cfg if name != 'backbone'), key=lambda name: name != 'neck'):
            parts = list(_dicts(self.cfg[name], name))
            others = tuple(f'{part}.' for part, cfg in parts if _is_network(cfg))  # have backbones of their own
            for part, cfg in parts:
                if not f'{part}.'.startswith(others):
                    for option in _reading(cfg):
                        cfg[option] = self._read(part, cfg, option)

    def _read(self, part: str, cfg: Any, option: str) -> Any:
        feeder, key = cfg[option], f'{self.path}.{part}.{option}'
        self._check_feeder(part, feeder, key)
        maps = self._maps(feeder, key)
        given = [m.shape[1] if option == 'in_channels' else round(SIDE / m.shape[2]) for m in maps]
        kind = cfg.get('type') if isinstance(cfg.get('type'), type) else self.registry.get(cfg.get('type', ''))
        is_neck = part.partition('.')[0] == 'neck'
        indices = None if is_neck else cfg.get('in_index', _default(kind, 'in_index'))
        if indices is not MISSING:
            chosen = range(len(given)) if indices is None else [indices] if isinstance(indices, int) else indices
            if any(not -len(given) <= index < len(given) for index in chosen):
                raise ValueError(
                    f'{self.path}.{part} asks for the maps in_index={indices}, but {self._named(feeder)} gives '
                    f'{len(given)}, numbered from 0'
                )
            numbers = [given[index] for index in chosen]
            return numbers[0] if isinstance(indices, int) and option == 'in_channels' else numbers
        # what is no network, and heads of mmdet, which take all maps, most of them by one number
        if kind is None or option != 'in_channels' or isinstance(_default(kind, option), Sequence):
            return given
        if len(set(given)) > 1:
            raise ValueError(f'{key}={feeder!r}: one number for all maps, but {self._named(feeder)} gives {given}')
        return given[0]

    def _check_feeder(self, part: str, given: str, key: str) -> None:
        """Refuse to read from what does not feed a part."""
        name, _, inner = part.partition('.')
        feeder = 'backbone' if name == 'neck' or not self.cfg.get('neck') else 'neck'
        if name == 'neck' and inner not in ('', '0'):
            raise ValueError(f'{key}={given!r}, but it is fed by the neck before it: set numbers')
        if given != feeder and given in ('backbone', 'neck'):
            raise ValueError(f'{key}={given!r}, but it is fed by {self._named(feeder)}: set {feeder!r}')
        if given != feeder:
            raise ValueError(f'{key}={given!r}: expected {feeder!r}, which feeds it, or numbers')

    def _named(self, feeder: str) -> str:
        cfgs = self.cfg[feeder] if isinstance(self.cfg[feeder], list) else [self.cfg[feeder]]
        return f'the {feeder} {", ".join(getattr(cfg["type"], "__name__", cfg["type"]) for cfg in cfgs)}'

    @torch.no_grad()
    def _maps(self, feeder: str, key: str) -> Sequence[torch.Tensor]:
        """What a feeder gives for an image without memory; a backbone of `efficient_models` says it without one."""
        if feeder in self.maps:
            return self.maps[feeder]
        given = self._maps('backbone', key) if feeder == 'neck' else [torch.empty(1, 3, SIDE, SIDE, device='meta')]
        cfg = self.cfg[feeder]
        if feeder == 'backbone':  # weights need not be fetched
            cfg = {option: value for option, value in cfg.items() if option != 'pretrained'}
        with torch.device('meta'):
            network = self.registry.build(cfg)
            network.eval()  # of mmdet, some return nothing
            try:
                if feeder == 'backbone' and hasattr(network, 'levels'):
                    stated = zip(network.out_channels, network.strides, strict=True)
                    maps = [torch.empty(1, channels, SIDE // stride, SIDE // stride) for channels, stride in stated]
                else:
                    maps = network(*given) if feeder == 'backbone' else network(given)
            except FAILURES as error:  # it does not fit, or its sizes depend on values
                reason = f'{type(error).__name__}: {error}'
                raise ValueError(
                    f'{key}={feeder!r}: {self._named(feeder)} cannot tell: {reason}. Set numbers'
                ) from error
        return self.maps.setdefault(feeder, maps)


def _default(kind: Any, option: str) -> Any:
    """What an option of a class is if it is not given; MISSING if it has none of the name, or no default."""
    for base in getattr(kind, '__mro__', ()):
        parameters = inspect.signature(base.__init__).parameters
        if option in parameters:
            return parameters[option].default
    return MISSING
