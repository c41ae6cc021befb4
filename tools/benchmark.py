#!/usr/bin/env python
"""Time models side by side, or check what papers claim about speed.

tools/benchmark.py timm:shvit_s4 timm:mobilevitv2_100 --size 256x256 --runtime eager onnxruntime openvino
tools/benchmark.py configs/shvit_fpn_ade20k.py@best.pth shvit_fpn.onnx --runtime eager openvino --precision fp32 bf16
tools/benchmark.py --claims --write
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    PRECISIONS,
    TIMED_RUNTIMES,
    Parser,
    folder_to_write,
    image_size,
    number,
    told_in_one_line,
    whole_number,
)

PAGE = Path(__file__).resolve().parents[1] / 'projects/deployment/speed_claims/README.md'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description='Time models side by side: latency, throughput, memory, share of the machine. An interrupted run '
        'continues where it was.'
    )
    add = parser.add_argument
    add(
        'subjects',
        nargs='*',
        metavar='SUBJECT',
        help="a config (CONFIG@CHECKPOINT for its weights), 'timm:NAME', 'torchvision:NAME', 'backbone:CLASS/ARCH', "
        "'mixer:NAME/CHANNELS', or an exported .onnx or .xml file; the first is what the others are compared with",
    )
    add('--claims', action='store_true', help='check the speed claims of the papers instead')
    add(
        '--write',
        action='store_true',
        help='with --claims: put the table into the page of projects/deployment/speed_claims',
    )
    add('--runtime', nargs='+', choices=TIMED_RUNTIMES, help='traced: fused and traced, the protocol of the authors')
    add(
        '--precision', nargs='+', choices=PRECISIONS, default=[], help="(default: fp32, and a file's own; on a GPU all)"
    )
    size = 'of the images, in pixels (default: 512x512)'
    add('--size', type=image_size, default=(512, 512), metavar='HxW', help=size)
    batches = '(default: 1 2 4 8, on a GPU 1 8 64 256; with --claims: as the authors)'
    add('--batch-sizes', nargs='+', type=whole_number(), metavar='N', help=batches)
    add('--threads', nargs='+', type=whole_number(), default=[1], metavar='N', help='of the processor (default: 1)')
    gpu = 'cuda: all runtimes but OpenVINO and all precisions at batch sizes 1 to 256 unless said otherwise'
    add('--device', choices=('cpu', 'cuda'), default='cpu', help=gpu)
    layout = 'PyTorch keeps the channels of a pixel together (default: on a GPU)'
    add('--channels-last', action=argparse.BooleanOptionalAction, help=layout)
    length = parser.add_mutually_exclusive_group().add_argument
    length('--seconds', type=number(above=0), help='for each model, runtime and batch size (default: 5; claims: 1.5)')
    length('--rounds', type=whole_number(), help='a fixed number of rounds instead')
    add('--no-memory', action='store_true', help='do not measure peak memory, which opens every model once more')
    layers = "also time the layers of OpenVINO's graphs beside what the processor reaches, and show the N slowest"
    add('--layers', type=whole_number(), default=0, metavar='N', help=layers)
    add('--out', type=folder_to_write, help='folder of results (default: work_dirs/benchmark, work_dirs/speed_claims)')
    args = parser.parse_args(arguments)
    if bool(args.subjects) == args.claims:
        parser.error('name one SUBJECT at least, or --claims alone')
    if args.write and not args.claims:
        parser.error('--write belongs to --claims')
    if args.layers and (args.claims or args.device != 'cpu' or 'openvino' not in (args.runtime or ['openvino'])):
        parser.error('--layers belongs to --runtime openvino, on the processor and without --claims')
    return args


def settings_given(args: argparse.Namespace) -> dict[str, Any]:
    """What was typed of a benchmark's settings; all else is as usual."""
    several = {
        'runtimes': args.runtime,
        'precisions': args.precision,
        'batch_sizes': args.batch_sizes,
        'threads': args.threads,
    }
    given: dict[str, Any] = {name: tuple(values) for name, values in several.items() if values}
    given |= {'device': args.device, 'memory': not args.no_memory}
    if args.channels_last is not None:
        given['channels_last'] = args.channels_last
    if args.rounds or args.seconds:
        given |= {'rounds': args.rounds, 'seconds': args.seconds}
    return given


def main(arguments: list[str] | None = None) -> None:
    """Measure, then print and write the results."""
    args = parse_args(arguments)
    with told_in_one_line('benchmark', 'stopped; the same command continues') as outcome:
        if args.claims:
            from projects.deployment.speed_claims.run import check_claims

            path = check_claims(settings_given(args), args.out, PAGE if args.write else None)
        else:
            from projects.deployment.benchmark.comparison import compare

            path = compare(args.subjects, args.size, settings_given(args), args.out, args.layers)
        outcome.wrote(path, path.with_name('table.md'), **json.loads(path.read_text()))


if __name__ == '__main__':
    main()
