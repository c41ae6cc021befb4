"""Any config on a small generated data set: `--sample`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict

from projects.sample_data.ade20k import write_ade20k_sample
from projects.sample_data.cityscapes import write_cityscapes_sample
from projects.sample_data.coco import CocoSplit, write_coco_sample

SAMPLE_ROOT = Path(__file__).resolve().parents[2] / 'data' / 'sample'
NUM_ROIS = 64  # per image, of which at most a quarter are positives; 512 in the recipes, and most of a step's time
NUM_CANDIDATES = 500  # boxes per level that the RPN compares; 2000 in the recipes
MAX_LEARNING_RATE = 1e-3
TINY_SIDE_PX = 64


@dataclass(frozen=True)
class Sample:
    """A generated data set and how long to train on it.

    Attributes:
        write: Writes the data set that a config expects into a folder.
        image_size: (height, width) in pixels.
        num_train_images: How many images there are to train on.
        num_val_images: How many there are for validation.
        batch_size: Images per step.
        length: Epochs, or iterations if the config counts those.
        learning_rate: Its peak, unless the recipe has a higher one.
    """

    write: 'Callable[[Config, Path, Sample], Any]'
    image_size: tuple[int, int]
    num_train_images: int
    num_val_images: int
    batch_size: int
    length: int
    learning_rate: float

    def tiny(self) -> 'Sample':
        """One step on the smallest images, to see that everything fits together."""
        factor = TINY_SIDE_PX / min(self.image_size)
        height, width = self.image_size
        return replace(
            self,
            image_size=(round(height * factor), round(width * factor)),
            num_train_images=2,
            num_val_images=2,
            batch_size=2,
            length=1,
        )


def use_sample(cfg: Config, root: Path = SAMPLE_ROOT, tiny: bool = False) -> None:
    """Let a config train on generated data, from scratch, within minutes on a processor.

    The data set is written on first use below `root`, in the format and under the file names of the real one. All image
    sizes, batch, schedule and the number of RoIs shrink; the network stays as it is, but starts from random weights
    with its batch norms training.

    Args:
        cfg: Changed in place.
        root: Folder of all generated data sets.
        tiny: Train for one step only, on two images of 64 px, and write neither checkpoints nor pictures: to see that
            everything fits together, not to learn.

    Raises:
        ValueError: No sample is known for the type of the config's data set, or its training resizes no images.
    """
    dataset = cfg.train_dataloader.dataset
    if dataset.type not in SAMPLES:
        raise ValueError(
            f'--sample knows no generated data for data sets of type {dataset.type!r}, only for {sorted(SAMPLES)}'
        )
    sample = SAMPLES[dataset.type].tiny() if tiny else SAMPLES[dataset.type]
    folder = root / (Path(dataset.data_root).name + ('_tiny' if tiny else ''))
    sample.write(cfg, folder, sample)
    _move_data(cfg, folder)
    _shrink_images(cfg, min(sample.image_size))
    _shrink_model(cfg.model)
    _shrink_schedule(cfg, sample)
    cfg.work_dir = f'work_dirs/{Path(cfg.filename).stem}_sample'
    cfg.load_from = None
    if tiny:
        cfg.default_hooks.checkpoint = None
        cfg.default_hooks.pop('visualization', None)
        cfg.custom_hooks = []


def has_bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (x86 on Linux: AVX512_BF16 or AMX)."""
    cpuinfo = Path('/proc/cpuinfo')
    return cpuinfo.is_file() and re.search(r'\b(avx512_bf16|amx_bf16)\b', cpuinfo.read_text()) is not None


def _move_data(cfg: Config, folder: Path) -> None:
    """Points data sets and metrics to a folder; so few images are loaded best without other processes."""
    cfg.data_root = str(folder)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
        cfg[f'{split}_dataloader'].dataset.data_root = str(folder)
    for split in ('val', 'test'):
        if 'ann_file' in cfg[f'{split}_evaluator']:
            cfg[f'{split}_evaluator'].ann_file = str(folder / cfg[f'{split}_dataloader'].dataset.ann_file)


def _shrink_images(cfg: Config, side_px: int) -> None:
    """Scales every image size of a config by one factor, which takes the shorter side in training to `side_px`.

    Objects keep their size from one picture to the next: a short training cannot learn many.
    """
    pipelines = [cfg[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val', 'test')]
    transforms = list(_nodes([*pipelines, cfg.get('tta_pipeline', [])]))
    scales = [transform.scale for transform in transforms if 'scale' in transform]
    if not scales:
        raise ValueError(
            f'--sample scales the image sizes of a config by that of its resizing, but no transform of {cfg.filename} '
            "has a scale: add dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True)"
        )
    factor = side_px / min(scales[0])
    # a node may belong to several pipelines
    nodes = {id(node): node for node in (*transforms, cfg.model.data_preprocessor, cfg.model.get('test_cfg', {}))}
    for node in nodes.values():
        for key in {'scale', 'crop_size', 'size', 'stride'} & set(node):
            node[key] = tuple(max(round(length * factor), 1) for length in node[key])
        if 'ratio_range' in node:
            node.ratio_range = (1.0, 1.0)


def _shrink_model(model: ConfigDict) -> None:
    """Random weights, and fewer candidates and RoIs for detectors."""
    model.backbone.update(pretrained=False, norm_eval=False)
    for node in _nodes(model.get('train_cfg', {})):
        if node.get('type') == 'ReproducibleRandomSampler' and node.add_gt_as_proposals:
            node.num = NUM_ROIS
        if 'nms_pre' in node:
            node.nms_pre = NUM_CANDIDATES


def _shrink_schedule(cfg: Config, sample: Sample) -> None:
    by_epoch = 'max_epochs' in cfg.train_cfg
    length = sample.length
    cfg.train_cfg.update({'max_epochs' if by_epoch else 'max_iters': length, 'val_interval': length})
    cfg.param_scheduler = [
        {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': 20},
        {
            'type': 'CosineAnnealingLR',
            'end': length,
            'T_max': length,
            'by_epoch': by_epoch,
            'convert_to_iter_based': by_epoch,
        },
    ]
    if not by_epoch:
        cfg.default_hooks.checkpoint.interval = length
    cfg.default_hooks.logger.interval = 10
    cfg.train_dataloader.batch_size = sample.batch_size
    cfg.merge_from_dict({'auto_scale_lr.base_batch_size': sample.batch_size})
    if has_bfloat16_units():
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    # recipes with a high rate are made for it
    cfg.optim_wrapper.optimizer.lr = min(max(cfg.optim_wrapper.optimizer.lr, sample.learning_rate), MAX_LEARNING_RATE)
    for node in _nodes(cfg.optim_wrapper.get('paramwise_cfg', {})):
        node.pop('lr_mult', None)  # the peak is for all
    cfg.optim_wrapper.clip_grad = {'max_norm': 10.0}


def _write_coco(cfg: Config, folder: Path, sample: Sample) -> None:
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    classes = train.get('metainfo', {}).get('classes')
    if classes is None:
        classes = CocoDataset.METAINFO['classes']
    write_coco_sample(
        folder,
        [
            CocoSplit(train.ann_file, train.data_prefix.img, sample.num_train_images),
            CocoSplit(val.ann_file, val.data_prefix.img, sample.num_val_images, num_empty=1),
        ],
        classes,
        sample.image_size,
    )


def _write_cityscapes(cfg: Config, folder: Path, sample: Sample) -> None:
    num_images = {'train': sample.num_train_images, 'val': sample.num_val_images}
    write_cityscapes_sample(folder, num_images, sample.image_size)


def _write_ade20k(cfg: Config, folder: Path, sample: Sample) -> None:
    num_images = {'training': sample.num_train_images, 'validation': sample.num_val_images}
    write_ade20k_sample(folder, num_images, sample.image_size)


def _nodes(node: Any) -> Iterator[ConfigDict]:
    """All dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _nodes(value)


SAMPLES = {
    'CheckedCocoDataset': Sample(
        _write_coco, (160, 160), num_train_images=128, num_val_images=16, batch_size=2, length=6, learning_rate=3e-4
    ),
    'CheckedCityscapesDataset': Sample(
        _write_cityscapes,
        (128, 256),
        num_train_images=128,
        num_val_images=16,
        batch_size=4,
        length=800,
        learning_rate=1e-3,
    ),
    'CheckedADE20KDataset': Sample(
        _write_ade20k, (128, 160), num_train_images=128, num_val_images=24, batch_size=4, length=400, learning_rate=1e-3
    ),
}
"""By the type of the data set that a config trains on."""
