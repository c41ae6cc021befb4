#!/usr/bin/env python
"""Search for the best network that keeps a latency budget on this machine.

tools/search.py configs/search/select_ade20k.py --budget-ms 15 --runtime openvino --precision bf16
tools/search.py configs/search/select_ade20k.py --budget-ms 6 --precision bf16 --minutes 60 --sample
tools/search.py configs/search/grow_ade20k.py --budget-ms 4 --sample --samplers nsga2 random --seeds 0 1 2 3 4
"""

import argparse
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    EXPORTED_PRECISIONS,
    ConfigOptions,
    Parser,
    folder_to_write,
    number,
    told_in_one_line,
    whole_number,
)

SAMPLERS = ('nsga2', 'tpe', 'random')
TEST_IMAGES = 96


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description='Search for the best network that keeps a latency budget on this machine. What is finished is '
        'skipped, what was interrupted goes on.'
    )
    add = parser.add_argument
    add('config', type=Path, metavar='SEARCH', help='search file, e.g. configs/search/select_ade20k.py')
    add('--budget-ms', type=number(above=0), required=True, help='of the exported file, for one image')
    add('--runtime', choices=('openvino', 'onnxruntime'), default='openvino', help='(default: openvino)')
    add('--precision', nargs='+', choices=EXPORTED_PRECISIONS, help='of the file (default: those of the search file)')
    add('--threads', type=whole_number(), default=1, help='of the processor (default: 1)')
    add('--cpu-time', action='store_true', help='time of the processor, on one thread: for busy machines')
    add('--max-params', type=number(above=0), metavar='M', help='million parameters')
    add('--max-macs', type=number(above=0), metavar='G', help='billion multiply-adds')
    add('--max-memory', type=number(above=0), metavar='MB', help='that opening and running the file takes')
    add('--least-score', type=number(above=0), metavar='PERCENT', help='on what is held out')
    add('--samplers', nargs='+', choices=SAMPLERS, default=['nsga2'], help='the first searches (default: nsga2)')
    add('--seeds', nargs='+', type=whole_number(0), default=[0], help='the first searches; the others are compared')
    add('--minutes', type=number(above=0), help='no network is proposed after half of them')
    add('--correlate', type=whole_number(0), default=0, metavar='N', help='train N random networks in full, too')
    add('--check-latency', action='store_true', help='of 30 networks, predict and measure it')
    add('--propose-only', action='store_true', help='train and export nothing in the end')
    add('--num-processes', type=whole_number(), default=1, help='trainings at once (default: 1)')
    add('--sample', action='store_true', help='on a small generated data set')
    add('--work-dir', type=folder_to_write, help='folder for all of it (default: work_dirs/SEARCH)')
    add('--shared', type=folder_to_write, help='that of a search with other limits, to use its latencies and trainings')
    add('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the search file')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Search, then report."""
    args = parse_args(arguments)
    with told_in_one_line('search', 'stopped; the same command continues') as outcome:
        from projects.architecture_search.command import Command, run
        from projects.architecture_search.problem import Requirements, read_problem
        from projects.architecture_search.search import Settings
        from projects.sample_data import use_sample
        from projects.sample_data.test_sets import use_new_test_images

        def prepare(cfg: object) -> None:
            if args.sample:
                use_sample(cfg)
                use_new_test_images(cfg, TEST_IMAGES)

        options = dict(args.cfg_options or {})
        if args.precision:
            options['space.precisions'] = args.precision
        limits = {
            'latency_ms': args.budget_ms,
            'params_m': args.max_params,
            'macs_g': args.max_macs,
            'memory_mb': args.max_memory,
        }
        command = Command(
            problem=read_problem(args.config, options),
            requirements=Requirements(
                {name: limit for name, limit in limits.items() if limit}, args.least_score or float('-inf')
            ),
            settings=Settings(
                args.runtime,
                args.threads,
                args.cpu_time,
                args.samplers[0],
                args.seeds[0],
                args.num_processes,
                args.minutes,
            ),
            samplers=tuple(args.samplers),
            seeds=tuple(args.seeds),
            correlate=args.correlate,
            check_latency=args.check_latency,
            propose_only=args.propose_only,
            text=shlex.join(['tools/search.py', *(arguments or sys.argv[1:])]),
        )
        work_dir = args.work_dir or Path('work_dirs') / args.config.stem
        outcome.wrote(page := run(command, prepare, work_dir, args.shared))
        print(f'report: {page}')


if __name__ == '__main__':
    main()
