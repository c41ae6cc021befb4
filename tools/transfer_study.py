#!/usr/bin/env python
"""Compare transfer methods on buildings.

tools/transfer_study.py configs/buildings/study_sample.py
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import ConfigOptions, Parser, folder_to_write, told_in_one_line, whole_number


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description='Prepare tiles, choose the hyper-parameters of the teacher, the baselines, SDA, KD and DML, train '
        'them on several replicates, and report. Runs that are finished are skipped, interrupted ones resume.'
    )
    parser.add_argument('study', help='study file, e.g. configs/buildings/study_sample.py')
    parser.add_argument(
        '--work-dir', type=folder_to_write, help='folder for tiles, runs and report (default work_dirs/STUDY)'
    )
    parser.add_argument('--num-processes', type=whole_number(), help="runs at once (default: the study's)")
    parser.add_argument('--methods', nargs='+', help='only these, and those that they need')
    parser.add_argument('--report-only', action='store_true', help='report what has finished so far, and train nothing')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the study'
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Parse, run, report; exit with 1 if a run failed."""
    args = parse_args(arguments)
    with told_in_one_line(
        'transfer_study', 'stopped; the same command continues, with --report-only it reports what there is'
    ) as outcome:
        from projects.building_extraction.transfer_study.report import write_report
        from projects.building_extraction.transfer_study.study import run_study
        from projects.building_extraction.transfer_study.study_file import read_study
        from projects.storage.locations import locate

        study = read_study(locate(args.study), args.cfg_options)
        folder = args.work_dir or Path('work_dirs') / study.name
        failed = {} if args.report_only else run_study(study, folder, args.num_processes, args.methods).failed
        outcome.wrote(page := write_report(folder))
        print(f'report: {page}')
        outcome.end(failed)


if __name__ == '__main__':
    main()
