"""Any config on a small generated data set: `--sample`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict

from projects.sample_data.coco import CocoSplit, write_coco_sample

SAMPLE_ROOT = Path(__file__).resolve().parents[2] / 'data' / 'sample'
NUM_TRAIN_IMAGES, NUM_VAL_IMAGES = 128, 16
IMAGE_SIZE = (160, 160)
BATCH_SIZE = 2
NUM_EPOCHS = 6  # of 64 iterations
LEARNING_RATE = 3e-4
NUM_ROIS = 64  # per image, of which at most a quarter are positives; 512 in the recipes, and most of a step's time
NUM_CANDIDATES = 500  # boxes per level that the RPN compares; 2000 in the recipes


def use_sample(cfg: Config, root: Path = SAMPLE_ROOT) -> None:
    """Let a config train on generated data, from scratch, within minutes on a processor.

    The data set is written on first use below `root`, in the format and under the file names of the real one. Image
    size, batch, schedule and the number of RoIs shrink; the network stays as it is, but starts from random weights with
    its batch norms training.

    Args:
        cfg: Changed in place.
        root: Folder of all generated data sets.

    Raises:
        ValueError: No sample is known for the type of the config's data set.
    """
    dataset = cfg.train_dataloader.dataset
    if dataset.type != 'CheckedCocoDataset':
        raise ValueError(f'--sample knows no generated data for data sets of type {dataset.type!r}')
    folder = root / Path(dataset.data_root).name
    _write_coco(cfg, folder)
    cfg.data_root = str(folder)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(folder)
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
        for transform in cfg[f'{split}_dataloader'].dataset.pipeline:
            if 'scale' in transform:
                transform.scale = IMAGE_SIZE
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].ann_file = str(folder / cfg[f'{split}_dataloader'].dataset.ann_file)

    cfg.model.backbone.update(pretrained=False, norm_eval=False)
    for node in _nodes(cfg.model.get('train_cfg', {})):
        if node.get('type') == 'ReproducibleRandomSampler' and node.add_gt_as_proposals:
            node.num = NUM_ROIS
        if 'nms_pre' in node:
            node.nms_pre = NUM_CANDIDATES
    if has_bfloat16_units():
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.train_dataloader.batch_size = cfg.auto_scale_lr.base_batch_size = BATCH_SIZE
    cfg.train_cfg.update(max_epochs=NUM_EPOCHS, val_interval=NUM_EPOCHS)
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATE
    cfg.optim_wrapper.clip_grad = {'max_norm': 10.0}
    cfg.param_scheduler = [
        {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': 20},
        {'type': 'CosineAnnealingLR', 'end': NUM_EPOCHS, 'T_max': NUM_EPOCHS, 'convert_to_iter_based': True},
    ]
    cfg.work_dir = f'work_dirs/{Path(cfg.filename).stem}_sample'
    cfg.default_hooks.logger.interval = 10
    cfg.load_from = None


def has_bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (x86 on Linux: AVX512_BF16 or AMX)."""
    cpuinfo = Path('/proc/cpuinfo')
    return cpuinfo.is_file() and re.search(r'\b(avx512_bf16|amx_bf16)\b', cpuinfo.read_text()) is not None


def _write_coco(cfg: Config, folder: Path) -> None:
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    classes = train.get('metainfo', {}).get('classes')
    if classes is None:
        classes = CocoDataset.METAINFO['classes']
    write_coco_sample(
        folder,
        [
            CocoSplit(train.ann_file, train.data_prefix.img, NUM_TRAIN_IMAGES),
            CocoSplit(val.ann_file, val.data_prefix.img, NUM_VAL_IMAGES, num_empty=1),
        ],
        classes,
        IMAGE_SIZE,
    )


def _nodes(node: Any) -> Iterator[ConfigDict]:
    """All dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _nodes(value)
