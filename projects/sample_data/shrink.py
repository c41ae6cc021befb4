"""Any config on a small generated data set: `--sample`."""

import math
import re
from pathlib import Path

from mmengine.config import Config, ConfigDict

from projects.efficient_models.backbones.weights import has_installed
from projects.training.image_scale import SPLITS, nodes_of, scale_images
from projects.training.optim_wrapper import has_bfloat16_units
from projects.training.run_values import TRAINING, require_parts

from .samples import SAMPLES, Sample, sample_kind

SAMPLE_ROOT = Path(__file__).resolve().parents[2] / 'data' / 'sample'
NUM_ROIS = 64  # per image, of which at most a quarter are positives; 512 in the recipes, and most of a step's time
NUM_CANDIDATES = 500  # boxes per level that the RPN compares; 2000 in the recipes
TINY_ROIS, TINY_CANDIDATES = 8, 50  # the same where nothing is learnt
MAX_LEARNING_RATE = 1e-3
CHECKPOINTS = 4  # of a training that counts iterations
KEEP_MIB = 64  # of decoded files, which is all of a sample
KEEPING = ('LoadImage', 'LoadSegmentation', 'LoadAerialImage', 'LoadBuildingMask')
TRAINED_HERE = re.compile(r'(work_dirs/[^/]+)/(epoch|iter)_\d+\.pth')


def use_sample(cfg: Config, root: Path = SAMPLE_ROOT, tiny: bool = False) -> None:
    """Let a config train on generated data within minutes on a processor.

    The data set is written on first use below `root`, in the format and under the file names of the real one. All image
    sizes, batch, schedule and the number of RoIs shrink; the network stays as it is, but starts from random weights, or
    from the published ones if these are installed, and its batch norms train. What the config takes from the run of
    another config (`load_from`, the checkpoint of a teacher) it takes from that one's sample run.

    Args:
        cfg: Changed in place.
        root: Folder of all generated data sets.
        tiny: Train for one step only, on two images of 64 px (or one for each part of a mixed set), with still fewer
            RoIs, and write neither checkpoints nor pictures: to see that everything fits together, not to learn.

    Raises:
        UsageError: The config has no data sets.
        ValueError: No sample is known for the type of the config's data set, or its training resizes no images.
    """
    require_parts(cfg, *TRAINING)
    dataset = cfg.train_dataloader.dataset
    kind = sample_kind(dataset)
    if kind not in SAMPLES:
        raise ValueError(f'--sample knows no generated data for data sets of type {kind!r}, only for {sorted(SAMPLES)}')
    sample = SAMPLES[kind].tiny() if tiny else SAMPLES[kind]
    folder = root / (Path(dataset.data_root).name + ('_tiny' if tiny else ''))
    sample.write(cfg, folder, sample)
    _move_data(cfg, folder)
    _shrink_images(cfg, min(sample.image_size))
    _shrink_model(cfg.model, tiny)
    _shrink_schedule(cfg, sample)
    _start_from_samples(cfg, sample.length)
    cfg.work_dir = f'work_dirs/{Path(cfg.filename).stem}_sample'
    if tiny:
        cfg.default_hooks.checkpoint = None
        cfg.default_hooks.pop('visualization', None)
        cfg.custom_hooks = []


def _move_data(cfg: Config, folder: Path) -> None:
    """Points data sets and metrics to a folder; so few images are loaded best once, and without other processes."""
    cfg.data_root = str(folder)
    for split in SPLITS:
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
        cfg[f'{split}_dataloader'].dataset.data_root = str(folder)
        for transform in nodes_of(cfg[f'{split}_dataloader'].dataset.pipeline):
            if transform.get('type') in KEEPING:
                transform.keep_mib = KEEP_MIB
    for split in ('val', 'test'):
        for metric in nodes_of(cfg[f'{split}_evaluator']):
            if 'ann_file' in metric:
                metric.ann_file = str(folder / cfg[f'{split}_dataloader'].dataset.ann_file)


def _shrink_images(cfg: Config, side_px: int) -> None:
    """Scales every image size of a config by one factor, which takes the shorter side in training to `side_px`.

    Objects keep their size from one picture to the next: a short training cannot learn many.
    """
    pipelines = [cfg[f'{split}_dataloader'].dataset.pipeline for split in SPLITS]
    transforms = list(nodes_of([*pipelines, cfg.get('tta_pipeline', [])]))
    scales = [transform.scale for transform in transforms if 'scale' in transform]
    scales += [transform.crop_size for transform in transforms if 'crop_size' in transform]
    if not scales:
        raise ValueError(
            '--sample scales the image sizes of a config by that of its resizing or cropping, but no transform of '
            f"{cfg.filename} has a scale or crop_size: add dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True)"
        )
    scale_images(cfg, side_px / min(scales[0]))
    for node in transforms:
        if 'ratio_range' in node:
            node.ratio_range = (1.0, 1.0)


def _shrink_model(model: ConfigDict, tiny: bool) -> None:
    """Random weights unless published ones are installed, and fewer candidates and RoIs for detectors."""
    backbone = model.backbone
    installed = backbone.get('pretrained') is True and backbone.type == 'TimmBackbone' and has_installed(backbone.arch)
    backbone.update(pretrained=installed, norm_eval=False)
    num_rois, num_candidates = (TINY_ROIS, TINY_CANDIDATES) if tiny else (NUM_ROIS, NUM_CANDIDATES)
    for node in nodes_of(model.get('train_cfg', {})):
        if node.get('type') == 'ReproducibleRandomSampler' and node.add_gt_as_proposals:
            node.num = num_rois
        if 'nms_pre' in node:
            node.nms_pre = num_candidates


def _shrink_schedule(cfg: Config, sample: Sample) -> None:
    by_epoch = 'max_epochs' in cfg.train_cfg
    length = sample.length
    warm_up = {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': 20}
    fall = {'type': 'CosineAnnealingLR', 'end': length, 'T_max': length}
    fall |= {'by_epoch': by_epoch, 'convert_to_iter_based': by_epoch}
    if gradual := cfg.default_hooks.get('gradual'):
        gradual.phase_iters = max(gradual.phase_iters * length // cfg.train_cfg.max_iters, 1)
    cfg.param_scheduler = [warm_up] if gradual else [warm_up, fall]  # the last part learns as fast as the first
    cfg.train_cfg.update({'max_epochs' if by_epoch else 'max_iters': length, 'val_interval': length})
    if not by_epoch:
        cfg.default_hooks.checkpoint.interval = math.ceil(length / CHECKPOINTS)
    cfg.default_hooks.logger.interval = 10
    cfg.train_dataloader.batch_size = sample.batch_size
    cfg.merge_from_dict({'auto_scale_lr.base_batch_size': sample.batch_size})
    if has_bfloat16_units():
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    # recipes with a high rate are made for it
    cfg.optim_wrapper.optimizer.lr = min(max(cfg.optim_wrapper.optimizer.lr, sample.learning_rate), MAX_LEARNING_RATE)
    for node in nodes_of(cfg.optim_wrapper.get('paramwise_cfg', {})):
        node.pop('lr_mult', None)  # the peak is for all
    cfg.optim_wrapper.clip_grad = {'max_norm': 10.0}


def _start_from_samples(cfg: Config, length: int) -> None:
    """Replaces checkpoints of other configs' runs by those of their sample runs, and starts from no others."""
    cfg.load_from = _of_sample_run(cfg.get('load_from'), length)
    teacher = cfg.model.get('teacher', {})
    if checkpoint := _of_sample_run(teacher.get('checkpoint'), length):
        teacher.checkpoint = checkpoint


def _of_sample_run(checkpoint: str | None, length: int) -> str | None:
    match = TRAINED_HERE.fullmatch(checkpoint or '')
    return f'{match[1]}_sample/{match[2]}_{length}.pth' if match else None
