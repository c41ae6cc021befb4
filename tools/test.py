#!/usr/bin/env python
"""Score a checkpoint: `tools/test.py configs/shvit_maskrcnn_coco.py work_dirs/shvit_maskrcnn_coco/epoch_12.pth`."""

import argparse
import os
from pathlib import Path

from mmengine.config import ConfigDict, DictAction

from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.launch import set_up, shut_down, test


def parse_args() -> argparse.Namespace:
    """Command line, with mmdet's names."""
    parser = argparse.ArgumentParser(description='Score a checkpoint.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for the log (default work_dirs/CONFIG)')
    parser.add_argument('--show-dir', help='draw ground truth beside predictions of every image into this folder')
    parser.add_argument(
        '--out',
        metavar='PATH',
        help='write detections to PATH.bbox.json and PATH.segm.json, scores per height class to PATH.json, other label '
        'maps into folder PATH',
    )
    parser.add_argument('--tta', action='store_true', help='average over several scales and flips')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='distributed testing')
    parser.add_argument('--sample', action='store_true', help='test on the small generated data set')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_to(evaluator: ConfigDict, out: str) -> None:
    """Let an evaluator write what it is given."""
    if evaluator.type in ('CocoScores', 'BonaiScores'):
        evaluator.outfile_prefix = out
    elif evaluator.type == 'HeightClassScores':
        evaluator.out_file = f'{out}.json'
    else:
        Path(out).mkdir(parents=True, exist_ok=True)  # mmseg's first process makes it, too late for the others
        evaluator.output_dir = out


def main() -> None:
    """Parse and test."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, use_sample if args.sample else None)
    if args.show_dir:
        cfg.default_hooks.visualization.folder = args.show_dir
    if args.out:
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        for evaluator in evaluators:
            write_to(evaluator, args.out)
    set_up(cfg, args.work_dir, args.launcher)
    test(cfg, args.checkpoint, args.tta)
    shut_down()


if __name__ == '__main__':
    main()
