"""Time of each stage of a training step, as a config trains and with other options beside it.

    python tools/benchmarks/training_step.py configs/shvit_maskrcnn_coco.py --sample \
        --variant optim_wrapper.type=OptimWrapper
    python tools/benchmarks/training_step.py configs/shvit_maskrcnn_coco.py --sample --beside mmdet torchvision
    python tools/benchmarks/training_step.py work_dirs/study_sample/runs/main_student_seed0 \
        --variant optim_wrapper.type=BFloat16OptimWrapper --variant optim_wrapper.optimizer.fused=False

Method: all variants start from the same weights and run in turns, in one process, on the same batches: after two rounds
of warm-up, the CPU time of each stage of each step is taken, on one thread, and the median is reported. The ratio is
the median of the rounds' ratios to the config as it is. Memory is the most that a step adds to what the process has.
`data` is what the network waits for without loader processes. Checkpoints, pictures and validations are left out.
`--beside mmdet` trains Mask R-CNN of mmdet's own classes, `torchvision` torchvision's with the same backbone, neck,
anchors and numbers of RoIs; their masks are bitmaps, which are made before the step. `--beside compiled` has
`torch.compile` compile backbone and neck, before the first round is timed, and times no stages of the forward pass. The
last form takes a run that `tools/transfer_study.py` has prepared; of KD and SDA, the teacher must have been trained.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from projects.deployment.benchmark.peak_memory import begin_peak, memory_mb
from projects.reporting.number_format import NOTHING
from projects.reporting.progress import track
from projects.reporting.tables import Table
from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.experiments.runs import load_run
from projects.training.launch import set_up
from projects.training.levels import read_levels
from projects.training.runner import Runner

WARM_UP = 2
PLAIN = {  # classes of mmdet for those of this project
    'QuickDetDataPreprocessor': 'DetDataPreprocessor',
    'GlobalBatchRPNHead': 'RPNHead',
    'GlobalBatchRoIHead': 'StandardRoIHead',
    'FullPrecisionRoIExtractor': 'SingleRoIExtractor',
    'ReproducibleRandomSampler': 'RandomSampler',
}
BESIDE = ('mmdet', 'torchvision', 'compiled')
PARTS = ('forward', 'loss', 'loss_and_predict')  # what mmdet and mmseg call of backbone, neck and heads


class Variant:
    """A training, its stages timed."""

    def __init__(self, name: str, cfg: Config, kind: str = '') -> None:
        self.times_ms: dict[str, list[float]] = defaultdict(list)
        self.memory_mb: list[float] = []
        self.with_bitmaps = kind in ('mmdet', 'torchvision')
        if kind == 'mmdet':
            cfg.model = replaced(cfg.model)
        elif kind == 'torchvision':
            cfg.model = {'type': TorchvisionMaskRCNN, 'network': cfg.model}
        self._stage: str | None = None
        self.name = cfg.experiment_name = name
        runner = self.runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        runner._init_model_weights()
        for moment in ('before_train', 'before_train_epoch'):
            runner.call_hook(moment)
        if kind == 'compiled':
            for part in ('backbone', 'neck'):
                getattr(runner.model, part).compile()
        else:
            self._time_parts(runner.model, '')
            self._time_parts(getattr(runner.model, 'teacher', nn.Module()), 'teacher: ')
        self._time(runner.optim_wrapper, 'backward', 'backward')
        for name in ('step', 'zero_grad'):
            self._time(runner.optim_wrapper, name, 'optimiser')
        self._time(runner, 'call_hook', 'hooks')

    def step(self, index: int, batch: Any) -> None:
        """One iteration as the train loop has it."""
        if self.with_bitmaps:
            from mmdet.structures.mask import BitmapMasks  # after projects.training, without which it is not imported

            for sample in batch['data_samples']:
                masks = sample.gt_instances.masks
                sample.gt_instances.masks = BitmapMasks(masks.to_ndarray(), masks.height, masks.width)
        for times in self.times_ms.values():
            times.append(0.0)
        begin_peak()
        before_mb, start = memory_mb('VmRSS'), time.process_time()
        self.runner.train_loop.step(index, batch)
        self._add('all', start)
        self.memory_mb.append(memory_mb('VmHWM') - before_mb)

    def _time_parts(self, network: nn.Module, prefix: str) -> None:
        for name, part in network.named_children():
            if name == 'peer':
                self._time_parts(part, 'peer: ')
                continue
            for method in PARTS:
                if hasattr(part, method):
                    self._time(part, method, prefix + name)

    def _time(self, owner: Any, method: str, stage: str) -> None:
        """Add the time of a method to a stage, unless it is called inside of another stage."""
        untimed = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._stage is not None:
                return untimed(*args, **kwargs)
            self._stage, start = stage, time.process_time()
            try:
                return untimed(*args, **kwargs)
            finally:
                self._stage = None
                self._add(stage, start)

        setattr(owner, method, timed)

    def _add(self, stage: str, start: float) -> None:
        times = self.times_ms[stage]
        if not times:
            times.append(0.0)
        times[-1] += 1000 * (time.process_time() - start)


class TorchvisionMaskRCNN(BaseModel):
    """torchvision's Mask R-CNN with the backbone, the neck, the anchors and the numbers of RoIs of a config.

    Args:
        network: The config's `model`.
    """

    def __init__(self, network: dict[str, Any]) -> None:
        super().__init__(data_preprocessor=replaced(network['data_preprocessor']))
        network = read_levels(network)
        rpn, rcnn = network['train_cfg']['rpn'], network['train_cfg']['rcnn']
        proposals = network['train_cfg']['rpn_proposal']
        self.network = MaskRCNN(
            Pyramid(MODELS.build(network['backbone']), MODELS.build(network['neck']), network['neck']['out_channels']),
            num_classes=network['roi_head']['bbox_head']['num_classes'] + 1,
            rpn_anchor_generator=AnchorGenerator([(32,), (64,), (128,), (256,), (512,)], [(0.5, 1.0, 2.0)] * 5),
            rpn_batch_size_per_image=rpn['sampler']['num'],
            rpn_pre_nms_top_n_train=proposals['nms_pre'],
            rpn_post_nms_top_n_train=proposals['max_per_img'],
            box_roi_pool=MultiScaleRoIAlign(['0', '1', '2', '3'], 7, 0),
            mask_roi_pool=MultiScaleRoIAlign(['0', '1', '2', '3'], 14, 0),
            box_batch_size_per_image=rcnn['sampler']['num'],
            image_mean=[0.0] * 3,  # the preprocessor has normalised them
            image_std=[1.0] * 3,
            _skip_resize=True,
        )

    def init_weights(self) -> None:
        """Draw the weights of backbone and neck as the config says; those of heads are drawn."""
        self.network.backbone.init_weights()

    def forward(self, inputs: torch.Tensor, data_samples: list, mode: str = 'loss') -> dict[str, torch.Tensor]:
        """Losses of images (B, 3, H, W)."""
        targets = [
            {
                'boxes': sample.gt_instances.bboxes,
                'labels': sample.gt_instances.labels + 1,
                'masks': torch.from_numpy(sample.gt_instances.masks.masks),
            }
            for sample in data_samples
        ]
        return {f'loss_{name}': loss for name, loss in self.network(list(inputs), targets).items()}


class Pyramid(BaseModule):
    """Backbone and neck as torchvision's detectors take them."""

    def __init__(self, backbone: nn.Module, neck: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.backbone, self.neck, self.out_channels = backbone, neck, out_channels

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps of images (B, 3, H, W) by name, the finest first."""
        return {str(level): maps for level, maps in enumerate(self.neck(self.backbone(images)))}


def replaced(cfg: Any) -> Any:
    """A config of mmdet's own classes."""
    if isinstance(cfg, dict):
        return {key: PLAIN.get(value, value) if key == 'type' else replaced(value) for key, value in cfg.items()}
    return [replaced(one) for one in cfg] if isinstance(cfg, list) else cfg


def batches(variant: Variant) -> Iterator[Any]:
    """The batches of a variant's loader, over and over."""
    loop = variant.runner.train_loop
    for epoch in range(1_000_000):
        loop.start_epoch(epoch, 0)
        yield from loop.dataloader


def read(args: argparse.Namespace, options: dict[str, Any], work_dir: str) -> Config:
    """The config of the command line, with the options of a variant."""
    if Path(args.config).is_dir():
        cfg = load_run(Path(args.config))[1]
    else:
        cfg = load_config(args.config, None, use_sample if args.sample else None)
        set_up(cfg, work_dir)
    cfg.merge_from_dict(options)
    cfg.merge_from_dict({'work_dir': work_dir, 'log_level': 'ERROR', 'train_dataloader.num_workers': 0})
    cfg.train_dataloader.persistent_workers = False
    cfg.default_hooks.checkpoint = None
    return cfg


def main() -> None:
    """Time all variants in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or folder of a run of a study')
    parser.add_argument('--sample', action='store_true', help='on generated data, as in tools/train.py')
    parser.add_argument('--variant', nargs='+', action='append', default=[], metavar='KEY=VALUE', help='other options')
    parser.add_argument(
        '--beside', nargs='+', choices=BESIDE, default=[], help='other implementations, or this one compiled'
    )
    parser.add_argument('--rounds', type=int, default=11, help='timed steps of each variant')
    args = parser.parse_args()

    torch.set_num_threads(1)
    names = ['as it is', *(' '.join(options) for options in args.variant)]
    kinds = ['', *args.beside]
    with tempfile.TemporaryDirectory() as work_dir:
        parse = argparse.ArgumentParser()
        parse.add_argument('--options', nargs='+', action=DictAction, default={})
        given = [{}, *(parse.parse_args(['--options', *options]).options for options in args.variant)]
        variants = [
            Variant(f'{kind} {name}'.strip(), read(args, options, work_dir), kind)
            for kind in kinds
            for name, options in zip(names, given, strict=True)
        ]
        source, data_ms = batches(variants[0]), []
        for variant in variants:
            variant.runner.train_loop.start_epoch(0, 0)
        for index in track(range(args.rounds + WARM_UP), 'Measuring'):
            start = time.process_time()
            batch = next(source)
            data_ms.append(1000 * (time.process_time() - start))
            for variant in variants if index % 2 else variants[::-1]:
                variant.step(index, deepcopy(batch))
    base = {stage: np.array(times[-args.rounds :]) for stage, times in variants[0].times_ms.items()}
    rows = []
    for stage in base:
        times = [np.array(variant.times_ms.get(stage, [])[-args.rounds :]) for variant in variants]
        rows.append([stage, *(shown(each, base[stage]) for each in times)])
    memory = [np.array(variant.memory_mb[-args.rounds :]) for variant in variants]
    rows.append(['memory, MB', *(shown(each, memory[0]) for each in memory)])
    print(f'data: {np.median(data_ms[WARM_UP:]):.1f} ms per step\n')
    print(Table('', ['stage, ms (ratio)', *(variant.name for variant in variants)], rows).markdown())


def shown(values: np.ndarray, base: np.ndarray) -> str:
    """A median, and that of the ratios; nothing where there is no such stage."""
    return f'{np.median(values):.1f} ({np.median(values / base):.2f})' if len(values) else NOTHING


if __name__ == '__main__':
    main()
