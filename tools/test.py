#!/usr/bin/env python
"""Score a checkpoint or an exported file.

`tools/test.py configs/shvit_maskrcnn_coco.py work_dirs/shvit_maskrcnn_coco/epoch_12.pth`
`tools/test.py configs/shvit_maskrcnn_coco.py shvit_maskrcnn_coco.onnx --runtime openvino`
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    PRECISIONS,
    RUNTIMES,
    ConfigOptions,
    Parser,
    folder_to_write,
    told_in_one_line,
    whole_number,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line, with mmdet's names."""
    parser = Parser(description='Score a checkpoint or an exported file.')
    parser.add_argument('config', help='config file')
    parser.add_argument('file', help='checkpoint (.pth), or what tools/export.py made of it (.onnx, .xml)')
    parser.add_argument(
        '--runtime',
        choices=RUNTIMES,
        help='what runs the model (default: by the name of an exported file; mmengine runs a checkpoint)',
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='of the runtime (default cpu)')
    parser.add_argument('--precision', choices=PRECISIONS, help="of the runtime (default: the file's)")
    parser.add_argument(
        '--threads', type=whole_number(), help="of the runtime on a processor (default: the runtime's own choice)"
    )
    parser.add_argument('--work-dir', type=folder_to_write, help='folder for the log (default work_dirs/CONFIG)')
    parser.add_argument(
        '--show-dir', type=folder_to_write, help='draw ground truth beside predictions of every image into this folder'
    )
    parser.add_argument(
        '--out',
        metavar='PATH',
        help='write detections to PATH.bbox.json and PATH.segm.json, scores per height class to PATH.json, other label '
        'maps into folder PATH',
    )
    parser.add_argument('--tta', action='store_true', help='average over several scales and flips')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the config'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='distributed testing')
    parser.add_argument('--sample', action='store_true', help='test on the small generated data set')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Parse and test."""
    args = parse_args(arguments)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    runtime = {name: getattr(args, name) for name in ('runtime', 'device', 'precision', 'threads')}
    with told_in_one_line('test') as outcome:
        from projects.deployment.scoring import scores_of
        from projects.sample_data import use_sample
        from projects.training.config import load_config
        from projects.training.launch import set_up, shut_down, write_results

        cfg = load_config(args.config, args.cfg_options, use_sample if args.sample else None)
        if args.show_dir:
            cfg.default_hooks.visualization.folder = str(args.show_dir)
        if args.out:
            write_results(cfg, args.out)
        set_up(cfg, args.work_dir, args.launcher)
        scores = scores_of(cfg, args.file, augment=args.tta, **runtime)
        outcome.wrote(cfg.work_dir, args.show_dir, scores=scores)
        shut_down()


if __name__ == '__main__':
    main()
