#!/usr/bin/env python
"""Compare token mixers: cost against the number of tokens, and what they learn in one pyramid.

tools/compare_mixers.py
tools/compare_mixers.py --mixers softmax window efficient --kernels eager openvino --work-dir work_dirs/three_mixers
tools/compare_mixers.py --learn ade20k --seeds 0 1 2
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projects.deployment.mixer_comparison.costs import Plan

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import Parser, folder_to_write, number, told_in_one_line, whole_number

TASKS = ('ade20k', 'coco')
WORK_DIR = Path('work_dirs/compare_mixers')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description='Measure what token mixers cost, and on request what networks learn that differ in them alone; '
        'then report. What is finished is skipped, what was interrupted goes on.'
    )
    add = parser.add_argument
    add('--mixers', nargs='+', metavar='NAME', help='only these (default: all)')
    add('--tokens', nargs='+', type=whole_number(), metavar='N', help='squares (default: 256 1024 4096 16384)')
    add('--kernels', nargs='+', metavar='NAME', help='runtimes and precisions (default: all that the device has)')
    add('--channels', type=whole_number(), default=128, help='of the maps (default: 128)')
    add('--threads', type=whole_number(), default=1, help='of the processor (default: 1)')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--seconds', type=number(above=0), default=0.5, help='for each measurement (default: 0.5)')
    add('--cpu-time', action='store_true', help='time of the processor, on one thread: for busy machines')
    add('--no-memory', action='store_true', help='do not measure peak memory, which opens every mixer once more')
    add('--learn', nargs='+', choices=TASKS, metavar='TASK', help=f'train at {" or ".join(TASKS)}, too')
    add('--learn-mixers', nargs='+', metavar='NAME', help='train only these of the mixers (default: all)')
    add('--seeds', nargs='+', type=whole_number(0), default=[0, 1, 2], help='of the trainings (default: 0 1 2)')
    add('--length', type=whole_number(), help="of each training, in iterations or epochs (default: the sample's)")
    add('--images', type=whole_number(), default=96, help='newly drawn, to score on (default: 96)')
    add('--num-processes', type=whole_number(), default=1, help='trainings at once (default: 1)')
    add('--report-only', action='store_true', help='report what there is so far, and measure nothing')
    add('--work-dir', type=folder_to_write, default=WORK_DIR, help=f'folder for all of it (default: {WORK_DIR})')
    args = parser.parse_args(arguments)
    if args.learn_mixers and not args.learn:
        parser.error('--learn-mixers trains only with --learn')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Measure, train, report; exit with 1 if a training failed."""
    args = parse_args(arguments)
    failed: dict[str, str] = {}
    with told_in_one_line('compare_mixers', 'stopped; the same command continues') as outcome:
        from projects.deployment.benchmark.comparison import import_networks, progress
        from projects.deployment.mixer_comparison.costs import measure_costs
        from projects.deployment.mixer_comparison.report import read_plan, write_plan, write_report

        if args.report_only:
            outcome.wrote(page := write_report(read_plan(args.work_dir), args.work_dir))
            print(f'report: {page}')
            return
        plan = plan_of(args)
        learners = tuple(args.learn_mixers or plan.mixers)
        if others := [name for name in learners if name not in plan.mixers]:
            raise ValueError(f'--learn-mixers has {", ".join(others)}; expected some of {", ".join(plan.mixers)}')
        import_networks()
        write_plan(plan, args.work_dir)
        with progress() as note:
            measure_costs(plan, args.work_dir, note)
        if args.learn:
            failed = train(args, learners)
        outcome.wrote(page := write_report(plan, args.work_dir))
        print(f'report: {page}')
        outcome.end(failed)


def plan_of(args: argparse.Namespace) -> 'Plan':
    """What the command says to measure."""
    from projects.deployment.mixer_comparison.costs import CPU_KERNELS, GPU_KERNELS, Plan
    from projects.efficient_models.token_mixers import TOKEN_MIXERS

    return Plan(
        mixers=tuple(args.mixers or TOKEN_MIXERS),
        tokens=tuple(args.tokens or Plan.tokens),
        kernels=tuple(args.kernels or (GPU_KERNELS if args.device == 'cuda' else CPU_KERNELS)),
        channels=args.channels,
        threads=args.threads,
        device=args.device,
        seconds=args.seconds,
        memory=not args.no_memory,
        cpu_time=args.cpu_time,
    )


def train(args: argparse.Namespace, mixers: tuple[str, ...]) -> dict[str, str]:
    """Train what is not trained yet, and score it on new images; return what failed, and why."""
    from mmengine.config import Config

    from projects.deployment.mixer_comparison.learning import learn, plan_runs
    from projects.sample_data import use_sample
    from projects.sample_data.test_sets import use_new_test_images

    def prepare(cfg: Config) -> None:
        use_sample(cfg)
        use_new_test_images(cfg, args.images)
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator

    runs = plan_runs(args.work_dir / 'configs', args.learn, mixers, args.seeds, prepare, args.images, args.length)
    return learn(runs, args.work_dir, args.num_processes).failed


if __name__ == '__main__':
    main()
