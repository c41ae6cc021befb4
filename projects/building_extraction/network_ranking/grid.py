"""The benchmark of encoders × decoders × losses × optimisers, or any part of it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from projects.training.experiments.runs import Run
from projects.training.experiments.settings import read_settings

from ..transfer_study.plan import CURVES, SCORES

AXES = ('encoders', 'decoders', 'losses', 'optimizers')


@dataclass(frozen=True)
class Grid:
    """What is combined.

    Attributes:
        name: Of its file.
        title: For people.
        config: Config that every run starts from.
        encoders: Names of timm's networks.
        decoders: Decoders of `SMPHead`.
        losses: Names of `BuildingLoss`.
        optimizers: Arguments of torch's optimisers, by type.
        options: Of every run's config.
        default: One of each axis, taken for the axes that are not varied.
        seed: Of every run.
        num_processes: Runs at once.
    """

    name: str
    title: str
    config: str
    encoders: Sequence[str]
    decoders: Sequence[str]
    losses: Sequence[str]
    optimizers: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    default: Mapping[str, str]
    seed: int = 0
    num_processes: int = 1


def read_grid(path: Path, options: Mapping[str, Any] | None = None) -> Grid:
    """Read a grid file: a Python file of assignments, as mmengine's configs are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has unknown keys or lacks some.
    """
    if not path.is_file():
        raise FileNotFoundError(f'No grid {path}; configs/buildings/grid.py is one')
    settings = read_settings(path, options or {})
    try:
        return Grid(name=path.stem, **settings)
    except TypeError as error:
        raise ValueError(f'{path}: {error}; expected {list(Grid.__dataclass_fields__)}') from error


def plan_grid(grid: Grid, chosen: Mapping[str, Sequence[str] | None]) -> list[Run]:
    """The runs of a part of the grid.

    Args:
        grid: What can be combined.
        chosen: For each of `AXES` names, ['all'], or None for the default alone.

    Raises:
        ValueError: A name is not in the grid.
    """
    return [
        _run(grid, *names) for names in itertools.product(*(_choose(grid, axis, chosen.get(axis)) for axis in AXES))
    ]


def _choose(grid: Grid, axis: str, names: Sequence[str] | None) -> list[str]:
    known = list(getattr(grid, axis))
    if names is None:
        return [grid.default[axis]]
    if list(names) == ['all']:
        return known
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.4)
            raise ValueError(
                f'{axis}: no {name!r} in the grid{f"; did you mean one of {close}?" if close else ""} {known}'
            )
    return list(names)


def _run(grid: Grid, encoder: str, decoder: str, loss: str, optimizer: str) -> Run:
    pretrained = grid.options.get('model.backbone.pretrained', True)
    options = {key: value for key, value in grid.options.items() if key != 'model.backbone.pretrained'}
    return Run(
        name=f'{encoder}_{decoder}_{loss}_{optimizer}'.replace('+', '-'),
        config=grid.config,
        options=options
        | {
            'model.backbone': {'_delete_': True, 'type': 'TimmBackbone', 'arch': encoder, 'pretrained': pretrained},
            'model.decode_head.decoder': decoder,
            'model.decode_head.loss_decode.name': loss,
            'optim_wrapper.optimizer': {'_delete_': True, 'type': optimizer, **grid.optimizers[optimizer]},
            'randomness.seed': grid.seed,
        },
        about={'encoder': encoder, 'decoder': decoder, 'loss': loss, 'optimizer': optimizer, 'seed': grid.seed},
        adapt=f'{__name__}:{match_head_to_backbone.__name__}',
        curves=CURVES,
        scores=SCORES,
    )


def match_head_to_backbone(cfg: Config) -> None:
    """Let the backbone give its decode head all levels at strides 2 to 32, as SMP's models take them.

    The head of DeepLabV3+ takes them up to 16, as in SMP. Of several levels of one stride, the last is taken. Channels
    and strides the head reads from the backbone.
    """
    init_default_scope(cfg.default_scope)
    backbone = MODELS.build({**cfg.model.backbone, 'pretrained': False})
    coarsest = 16 if cfg.model.decode_head.decoder == 'DeepLabV3Plus' else 32
    last_of_stride = {level.stride: index for index, level in enumerate(backbone.levels) if level.stride <= coarsest}
    cfg.model.backbone.out_indices = [last_of_stride[stride] for stride in sorted(last_of_stride)]
