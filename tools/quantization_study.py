#!/usr/bin/env python
"""Compare quantisers on trained networks.

tools/quantization_study.py configs/quantization/hybrids_sample.py
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import ConfigOptions, Parser, folder_to_write, told_in_one_line, whole_number


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description='Train networks with several seeds, quantise each by several methods, bits and calibration sets, '
        'and report. What is finished is skipped, what was interrupted goes on.'
    )
    parser.add_argument('study', help='study file, e.g. configs/quantization/hybrids_sample.py')
    parser.add_argument('--work-dir', type=folder_to_write, help='folder for all of it (default work_dirs/STUDY)')
    parser.add_argument('--num-processes', type=whole_number(), help="trainings at once (default: the study's)")
    parser.add_argument('--networks', nargs='+', default=[], help='only these')
    parser.add_argument('--methods', nargs='+', default=[], help='only these')
    parser.add_argument('--report-only', action='store_true', help='report what there is so far, and measure nothing')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override the study'
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Parse, run, report; exit with 1 if something failed."""
    args = parse_args(arguments)
    with told_in_one_line(
        'quantization_study', 'stopped; the same command continues, with --report-only it reports what there is'
    ) as outcome:
        from projects.deployment.quantization_study.plan import read_study
        from projects.deployment.quantization_study.report import write_report
        from projects.deployment.quantization_study.study import run_study
        from projects.sample_data import use_sample
        from projects.sample_data.test_sets import use_new_test_images
        from projects.storage.locations import locate

        study = read_study(locate(args.study), args.cfg_options)
        folder = args.work_dir or Path('work_dirs') / study.name
        failed = {}
        if not args.report_only:
            changes = {'prepare': use_sample, 'renew_test': partial(use_new_test_images, number=study.test_images)}
            trained = run_study(
                study, folder, args.num_processes, args.networks, args.methods, **(changes if study.sample else {})
            )
            failed = trained.failed
        outcome.wrote(page := write_report(study, folder))
        print(f'report: {page}')
        outcome.end(failed)


if __name__ == '__main__':
    main()
