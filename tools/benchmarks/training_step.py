"""Time of each stage of a training step, as a config trains and with other options beside it.

    python tools/benchmarks/training_step.py configs/shvit_maskrcnn_coco.py --sample \
        --variant optim_wrapper.type=OptimWrapper
    python tools/benchmarks/training_step.py work_dirs/study_sample/runs/main_student_seed0 \
        --variant optim_wrapper.type=BFloat16OptimWrapper --variant optim_wrapper.optimizer.fused=False

Method: all variants start from the same weights and run in turns, in one process, on the same batches: after two rounds
of warm-up, the CPU time of each stage of each step is taken, on one thread, and the median is reported. The ratio is
the median of the rounds' ratios to the config as it is. `data` is what the network waits for without loader processes.
Checkpoints, pictures and validations are left out. The second form takes a run that `tools/transfer_study.py` has
prepared; of KD and SDA, the teacher must have been trained.
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
from torch import nn

from projects.reporting.progress import track
from projects.reporting.tables import Table
from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.experiments.runs import load_run
from projects.training.launch import set_up
from projects.training.runner import Runner

WARM_UP = 2
PARTS = ('forward', 'loss', 'loss_and_predict')  # what mmdet and mmseg call of backbone, neck and heads


class Variant:
    """A training, its stages timed."""

    def __init__(self, name: str, cfg: Config) -> None:
        self.times_ms: dict[str, list[float]] = defaultdict(list)
        self._stage: str | None = None
        cfg.experiment_name = name
        runner = self.runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        runner._init_model_weights()
        for moment in ('before_train', 'before_train_epoch'):
            runner.call_hook(moment)
        self._time_parts(runner.model, '')
        self._time_parts(getattr(runner.model, 'teacher', nn.Module()), 'teacher: ')
        self._time(runner.optim_wrapper, 'backward', 'backward')
        for name in ('step', 'zero_grad'):
            self._time(runner.optim_wrapper, name, 'optimiser')
        self._time(runner, 'call_hook', 'hooks')

    def step(self, index: int, batch: Any) -> None:
        """One iteration as the train loop has it."""
        for times in self.times_ms.values():
            times.append(0.0)
        start = time.process_time()
        self.runner.train_loop.step(index, batch)
        self._add('all', start)

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
    parser.add_argument('--rounds', type=int, default=11, help='timed steps of each variant')
    args = parser.parse_args()

    torch.set_num_threads(1)
    names = ['as it is', *(' '.join(options) for options in args.variant)]
    with tempfile.TemporaryDirectory() as work_dir:
        parse = argparse.ArgumentParser()
        parse.add_argument('--options', nargs='+', action=DictAction, default={})
        given = [{}, *(parse.parse_args(['--options', *options]).options for options in args.variant)]
        variants = [Variant(name, read(args, options, work_dir)) for name, options in zip(names, given, strict=True)]
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
        times = [np.array(variant.times_ms[stage][-args.rounds :]) for variant in variants]
        rows.append([stage, *(f'{np.median(each):.1f} ({np.median(each / base[stage]):.2f})' for each in times)])
    print(f'data: {np.median(data_ms[WARM_UP:]):.1f} ms per step\n')
    print(Table('', ['stage, ms (ratio)', *names], rows).markdown())


if __name__ == '__main__':
    main()
