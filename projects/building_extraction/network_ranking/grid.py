"""The benchmark of encoders × decoders × losses × optimisers, or any part of it: a study whose methods are networks."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from projects.training.experiments.settings import check_group, check_keys, read_settings

from ..transfer_study.study_file import STUDY_KEYS, Study, study_of

AXES = {'encoders': 'encoder', 'decoders': 'decoder', 'losses': 'loss', 'optimizers': 'optimizer'}
GRID_KEYS = dict.fromkeys(('config', 'steps', 'default', *AXES), True) | {'rates': False}
PRETRAINED = 'model.backbone.pretrained'


def read_grid(
    path: Path,
    chosen: Mapping[str, Sequence[str] | None],
    options: Mapping[str, Any] | None = None,
    *,
    one_by_one: bool = False,
) -> Study:
    """Read a grid file, and make a study of a part of it.

    A grid says what a study says but for its methods, and besides: `config` (that every run starts from), `steps`,
    `encoders` (names of timm's networks), `decoders` (of `SMPHead`), `losses` (of `BuildingLoss`), `optimizers`
    (arguments of torch's optimisers, by type), `default` (one of each axis, taken for the axes that are not varied)
    and `rates` (shares of an optimiser's learning rate, of which each network takes the best in validation; without
    any, the rate is taken as it stands).

    Args:
        path: A Python file of assignments, as mmengine's configs are.
        chosen: For each of `AXES` names, ['all'], or None for the default alone.
        options: Dotted keys and values that override the file.
        one_by_one: Vary each axis with the others at their default, instead of all with one another.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has unknown keys or lacks some, or a name is not in the grid.
    """
    if not path.is_file():
        raise FileNotFoundError(f'No grid {path}; configs/buildings/grid.py is one')
    content = read_settings(path, options or {})
    check_keys(f'{path}', content, STUDY_KEYS | GRID_KEYS | {'methods': False})
    for part in ('options', 'optimizers'):
        check_group(f'{path}: {part}', content[part])
    check_keys(f'{path}: default', content['default'], dict.fromkeys(AXES, True))
    rateless = [name for name, each in content['optimizers'].items() if not isinstance(each.get('lr'), int | float)]
    if content.get('rates') and rateless:
        raise ValueError(f'{path}: optimizers {rateless} have no lr that is a number, of which rates are shares')
    grid = {key: content.pop(key) for key in GRID_KEYS if key in content}
    given = [axis for axis in AXES if chosen.get(axis)]
    parts = [{axis: chosen[axis]} for axis in given] if one_by_one and given else [chosen]
    combinations = [names for part in parts for names in _combinations(grid, part)]
    pretrained = content['options'].pop(PRETRAINED, True)
    varied = [len(set(names)) > 1 for names in zip(*combinations, strict=True)]
    methods = dict(_method(grid, pretrained, varied, names) for names in combinations)
    return study_of(path, content | {'methods': methods})


def _combinations(
    grid: Mapping[str, Any], chosen: Mapping[str, Sequence[str] | None]
) -> Iterator[tuple[str, str, str, str]]:
    return itertools.product(*(_choose(grid, axis, chosen.get(axis)) for axis in AXES))  # type: ignore[return-value]


def _choose(grid: Mapping[str, Any], axis: str, names: Sequence[str] | None) -> list[str]:
    known = list(grid[axis])
    names = [grid['default'][axis]] if names is None else names
    if list(names) == ['all']:
        return known
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.4)
            raise ValueError(
                f'{axis}: no {name!r} in the grid{f"; did you mean one of {close}?" if close else ""} {known}'
            )
    return list(names)


def _method(
    grid: Mapping[str, Any], pretrained: bool, varied: Sequence[bool], names: tuple[str, str, str, str]
) -> tuple[str, dict[str, Any]]:
    """Name and settings of a combination, whose title is of what varies."""
    encoder, decoder, loss, optimizer = names
    settings = dict(grid['optimizers'][optimizer])
    return '_'.join(names).replace('+', '-'), {
        'title': ' · '.join(itertools.compress(names, varied)) or ' · '.join(names),
        'description': '',
        'config': grid['config'],
        'steps': grid['steps'],
        'facts': dict(zip(AXES.values(), names, strict=True)),
        'adapt': f'{__name__}:{fit_to_encoder.__name__}',
        'options': {
            'model.backbone': {'_delete_': True, 'type': 'TimmBackbone', 'arch': encoder, 'pretrained': pretrained},
            'model.decode_head.decoder': decoder,
            'model.decode_head.loss_decode.name': loss,
            'optim_wrapper.optimizer': {'_delete_': True, 'type': optimizer, **settings},
        },
        'trials': [{'optim_wrapper.optimizer.lr': settings['lr'] * share} for share in grid.get('rates', ())],
    }


def fit_to_encoder(cfg: Config) -> None:
    """Let the backbone give its decode head what SMP's models take, of images as its weights were trained on.

    The head takes all levels at strides 2 to 32, that of DeepLabV3+ up to 16; of several levels of one stride, the
    last is taken. Channels and strides the head reads from the backbone. Mean and standard deviation are those of
    timm's weights.
    """
    init_default_scope(cfg.default_scope)
    backbone = MODELS.build({**cfg.model.backbone, 'pretrained': False})
    coarsest = 16 if cfg.model.decode_head.decoder == 'DeepLabV3Plus' else 32
    last_of_stride = {level.stride: index for index, level in enumerate(backbone.levels) if level.stride <= coarsest}
    cfg.model.backbone.out_indices = [last_of_stride[stride] for stride in sorted(last_of_stride)]
    weights = timm.get_pretrained_cfg(cfg.model.backbone.arch)
    if weights is not None:
        cfg.model.data_preprocessor.mean = [255 * value for value in weights.mean]
        cfg.model.data_preprocessor.std = [255 * value for value in weights.std]
