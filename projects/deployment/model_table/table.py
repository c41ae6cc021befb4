"""What every config costs, beside what was published, as Markdown."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope

from projects.reporting.number_format import NOTHING, three_digits
from projects.reporting.sections import read_section
from projects.reporting.tables import Table
from projects.training.checkpoints import switch_off_pretrained

from .complexity import Complexity, Macs, count_complexity
from .published_figures import (
    MAX_MACS_DEVIATION,
    MAX_PARAMS_DEVIATION,
    PublishedFigures,
    deviates,
)

SECTION = 'model table'  # of configs/README.md
FLAG = '⚠'
CUSTOMARY_SIZES = {(1333, 800): (800, 1280), (2048, 512): (512, 512)}
DATASETS = {'coco': 'COCO', 'buildings': 'Buildings', 'ADEChallengeData2016': 'ADE20K', 'cityscapes': 'Cityscapes'}
METHODS = {
    'MaskRCNN': 'Mask R-CNN',
    'FPNHead': 'Semantic FPN',
    'UPerHead': 'UPerNet',
    'SegformerHead': 'SegFormer',
}
SCORES = {'box_ap': 'box AP', 'mask_ap': 'mask AP', 'miou': 'mIoU'}
COLUMNS = ['config', 'backbone', 'method', 'parameters', 'MACs', 'published parameters', 'published MACs']
CAPTION = f"""\
Parameters (M) and multiply-adds (MACs, G) of backbone / whole model, ours, counted on the networks as built here, at
the size in the heading; where images keep their proportions, at the size that published figures use: 800x1280 for
COCO, 512x512 for ADE20K. MACs are those of convolutions, linear layers and matrix products, attention included; papers
often call them FLOPs. Mask R-CNN is counted with all of its 1000 proposals and 100 masks, a segmentor up to its
logits; auxiliary heads, which only training uses, are left out. Where the published count leaves out the matrix
products of attention, ours without them follows in brackets, and is the one compared. {FLAG} marks a count of ours that
differs from the published one by more than {MAX_PARAMS_DEVIATION:.0%} (parameters) or {MAX_MACS_DEVIATION:.0%} (MACs),
beyond what rounding to its printed digits explains."""


@dataclass(frozen=True)
class ModelRow:
    """One config of the table.

    Attributes:
        path: The config file.
        dataset: Name of its data set.
        image_size: Height and width that it is counted at, in pixels.
        scores: Names of the published figures that its task is scored by.
        backbone: Class and variant of the backbone.
        method: Detector or segmentor, and the neck where it is not the usual one.
        complexity: Our counts.
        published: What was published.
    """

    path: Path
    dataset: str
    image_size: tuple[int, int]
    scores: tuple[str, ...]
    backbone: str
    method: str
    complexity: Complexity
    published: PublishedFigures

    @property
    def group(self) -> tuple[str, tuple[int, int], tuple[str, ...]]:
        """What all rows of a table share."""
        return self.dataset, self.image_size, self.scores

    def cells(self, folder: Path) -> list[str]:
        """Return the row's cells, with the config linked from a folder."""
        counted, published = self.complexity, self.published
        backbone_params = _params(counted.backbone_params, published.backbone_params_m)
        params = _params(counted.params, published.params_m)
        backbone_macs = _macs(counted.backbone_macs, published.backbone_macs_g, published.macs_with_attention)
        macs = _macs(counted.macs, published.macs_g, published.macs_with_attention)
        return [
            f'[{self.path.stem}]({Path(os.path.relpath(self.path, folder)).as_posix()})',
            self.backbone,
            self.method,
            f'{backbone_params} / {params}',
            f'{backbone_macs} / {macs}',
            _joined(published.backbone_params_m, published.params_m),
            _joined(published.backbone_macs_g, published.macs_g),
            _joined(*(getattr(published, name) for name in self.scores)),
        ]


def read_row(path: Path) -> ModelRow:
    """Build the model of a config and count it.

    Args:
        path: A config file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the config cannot be read, built or counted; the message names it.
    """
    published = PublishedFigures.read(path)
    try:
        cfg = Config.fromfile(path)
        image_size = image_size_of(cfg)
        complexity = count_complexity(_build(cfg), image_size)
        folder = Path(cfg.test_dataloader.dataset.data_root).name
    except Exception as error:  # networks fail in any way; the config at fault must be named
        raise ValueError(f'{path} cannot be counted: {type(error).__name__}: {error}') from error
    scores = ('miou',) if 'decode_head' in cfg.model else ('box_ap', 'mask_ap')
    return ModelRow(
        path=path,
        dataset=DATASETS.get(folder, folder),
        image_size=image_size,
        scores=scores,
        backbone=_backbone_name(cfg.model.backbone),
        method=_method_name(cfg.model),
        complexity=complexity,
        published=published,
    )


def image_size_of(cfg: Config) -> tuple[int, int]:
    """Return height and width in pixels of a config's images, as its test pipeline resizes them.

    Where images keep their proportions, their sizes differ: the size of published figures is taken if there is a
    customary one, else the largest that the pipeline can give.

    Raises:
        ValueError: If the pipeline resizes to no fixed scale.
    """
    for transform in cfg.test_dataloader.dataset.pipeline:
        if transform['type'] == 'Resize' and 'scale' in transform:
            width, height = transform['scale']
            if transform.get('keep_ratio', False):
                return CUSTOMARY_SIZES.get((width, height), (height, width))
            return height, width
    raise ValueError("the pipeline of test_dataloader has no `dict(type='Resize', scale=(width, height))`.")


def render(rows: Iterable[ModelRow], folder: Path) -> str:
    """Return a caption and one Markdown table per data set and image size.

    Args:
        rows: Any configs, in any order.
        folder: Where the text will stand; links start from there.
    """
    parts = [CAPTION]
    ordered = sorted(rows, key=lambda row: (row.group, row.backbone, row.method, row.path.stem))
    for (dataset, (height, width), scores), members in groupby(ordered, key=lambda row: row.group):
        columns = [*COLUMNS, f'published {" / ".join(SCORES[name] for name in scores)}']
        cells = [row.cells(folder) for row in members]
        parts.append(Table(f'{dataset}, {height}x{width}', columns, cells).markdown())
    return '\n\n'.join(parts)


def stale_lines(readme: Path, table: str) -> list[str]:
    """Return what of the table in a file is not as it should be: rows by their config, other lines as they are.

    Raises:
        ValueError: If the file has not exactly one such section.
    """
    found, expected = read_section(readme, SECTION).splitlines(), table.splitlines()
    stale = [line for line in [*expected, *found] if (line in found) != (line in expected)]
    if not stale and found != expected:
        return ['the order of the lines']
    return list(dict.fromkeys(line[3 : line.index(']')] if line.startswith('| [') else line for line in stale))


def _build(cfg: Config) -> torch.nn.Module:
    switch_off_pretrained(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):  # without drawing weights
        model = MODELS.build(cfg.model)
    return model.to_empty(device='cpu')


def _backbone_name(backbone: ConfigDict) -> str:
    return f'{"timm" if backbone.type == "TimmBackbone" else backbone.type} {backbone.arch}'


def _method_name(model: ConfigDict) -> str:
    network = model.get('decode_head', model)
    name = METHODS.get(network.type, network.type)
    if 'decoder' in network:  # SMPHead
        return f'{name} {network.decoder}'
    usual_necks = {'FPN', 'UpsamplingFPN'} if 'decode_head' in model else {'FPN'}
    return f'{name}, {model.neck.type}' if model.get('neck') and model.neck.type not in usual_necks else name


def _params(count: int, printed: str | None) -> str:
    return _flagged(count / 1e6, printed, MAX_PARAMS_DEVIATION)


def _macs(macs: Macs, printed: str | None, with_attention: bool) -> str:
    if with_attention or printed is None:
        return _flagged(macs.total / 1e9, printed, MAX_MACS_DEVIATION)
    without = _flagged((macs.total - macs.attention) / 1e9, printed, MAX_MACS_DEVIATION)
    return f'{three_digits(macs.total / 1e9)} ({without})'


def _flagged(measured: float, printed: str | None, tolerance: float) -> str:
    if printed is None or not deviates(measured, printed, tolerance):
        return three_digits(measured)
    return f'{FLAG} **{three_digits(measured)}, {measured / float(printed) - 1:+.1%}**'


def _joined(*figures: str | float | None) -> str:
    if all(figure is None for figure in figures):
        return NOTHING
    return ' / '.join(NOTHING if figure is None else str(figure) for figure in figures)
