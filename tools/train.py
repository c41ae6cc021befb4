#!/usr/bin/env python
"""Train a config: `tools/train.py configs/shvit_maskrcnn_coco.py`."""

import argparse
import os
import sys

from mmengine.config import DictAction

from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.launch import set_up, shut_down, train


def parse_args() -> argparse.Namespace:
    """Command line, with mmdet's names."""
    parser = argparse.ArgumentParser(description='Train a config.')
    parser.add_argument('config', help='config file, e.g. configs/shvit_maskrcnn_coco.py')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and pictures (default work_dirs/CONFIG)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from CKPT, or from the newest in the work dir',
    )
    parser.add_argument('--amp', nargs='?', const='bf16', choices=['bf16', 'fp16'], help='mixed precision')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='distributed training')
    parser.add_argument('--sample', action='store_true', help='train briefly on a small generated data set')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Parse, train; exit with 130 after Ctrl-C, as shells expect."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, use_sample if args.sample else None)
    set_up(cfg, args.work_dir, args.launcher, args.amp)
    try:
        train(cfg, args.resume, validate_first=args.sample)
        shut_down()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == '__main__':
    main()
