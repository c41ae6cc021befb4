#!/usr/bin/env python
"""Rank networks for buildings, by encoder, decoder and data.

tools/benchmark_grid.py configs/buildings/grid.py --encoders all
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import ConfigOptions, Parser, folder_to_write, told_in_one_line, whole_number


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description='Train and score combinations of encoder, decoder, loss and optimiser, and rank them. Axes '
        "that are not given keep the grid's default. Runs that are finished are skipped, interrupted ones resume."
    )
    parser.add_argument('grid', help='grid file, e.g. configs/buildings/grid.py')
    for axis in ('encoders', 'decoders', 'losses', 'optimizers'):
        parser.add_argument(f'--{axis}', nargs='+', metavar='NAME', help=f"{axis} of the grid, or 'all'")
    parser.add_argument(
        '--one-by-one', action='store_true', help='vary each given axis with the others at their default'
    )
    parser.add_argument('--work-dir', type=folder_to_write, help='folder for runs and ranking (default work_dirs/GRID)')
    parser.add_argument('--num-processes', type=whole_number(), help="runs at once (default: the grid's)")
    parser.add_argument('--list', action='store_true', help='only say which networks would be trained')
    parser.add_argument('--report-only', action='store_true', help='rank what has finished so far, and train nothing')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the grid')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Parse, run, rank; exit with 1 if a run failed."""
    args = parse_args(arguments)
    with told_in_one_line(
        'benchmark_grid', 'stopped; the same command continues, with --report-only it ranks what there is'
    ) as outcome:
        from projects.building_extraction.network_ranking.grid import AXES, read_grid
        from projects.building_extraction.network_ranking.ranking import write_ranking
        from projects.building_extraction.transfer_study.study import run_study
        from projects.storage.locations import locate

        chosen = {axis: vars(args)[axis] for axis in AXES}
        grid = read_grid(locate(args.grid), chosen, args.cfg_options, one_by_one=args.one_by_one)
        if args.list:
            print('\n'.join(grid.methods))
            outcome.wrote(runs=list(grid.methods))
            return
        folder = args.work_dir or Path('work_dirs') / grid.name
        failed = {} if args.report_only else run_study(grid, folder, args.num_processes).failed
        outcome.wrote(page := write_ranking(folder))
        print(f'ranking: {page}')
        outcome.end(failed)


if __name__ == '__main__':
    main()
