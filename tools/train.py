#!/usr/bin/env python
"""Train a config.

tools/train.py configs/shvit_maskrcnn_coco.py
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import ConfigOptions, Parser, folder_to_write, told_in_one_line


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line, with mmdet's names."""
    parser = Parser(description='Train a config.')
    parser.add_argument('config', help='config file, e.g. configs/shvit_maskrcnn_coco.py')
    parser.add_argument(
        '--work-dir',
        type=folder_to_write,
        help='folder for logs, checkpoints and pictures (default work_dirs/CONFIG)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from CKPT, or from the newest in the work dir',
    )
    parser.add_argument('--amp', nargs='?', const='bf16', choices=['bf16', 'fp16'], help='mixed precision')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the config'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='distributed training')
    parser.add_argument('--sample', action='store_true', help='train briefly on a small generated data set')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Parse and train."""
    args = parse_args(arguments)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    with told_in_one_line('train') as outcome:
        from projects.sample_data import use_sample
        from projects.training.checkpoints import latest_checkpoint
        from projects.training.config import load_config
        from projects.training.launch import set_up, shut_down, train

        cfg = load_config(args.config, args.cfg_options, use_sample if args.sample else None)
        set_up(cfg, args.work_dir, args.launcher, args.amp)
        scores = train(cfg, args.resume, validate_first=args.sample)
        outcome.wrote(latest_checkpoint(cfg.work_dir), cfg.work_dir, scores=scores)
        shut_down()


if __name__ == '__main__':
    main()
