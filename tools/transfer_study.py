#!/usr/bin/env python
"""Compare transfer methods on buildings: `tools/transfer_study.py configs/buildings/study_sample.py`."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from projects.building_extraction.transfer_study.plan import read_study
from projects.building_extraction.transfer_study.report import write_report
from projects.building_extraction.transfer_study.study import run_study
from projects.training.config import locate


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Train the teacher, the baselines, SDA, KD and DML on rendered scenes, with several seeds, and '
        'report. Runs that are finished are skipped, interrupted ones resume.'
    )
    parser.add_argument('study', help='study file, e.g. configs/buildings/study_sample.py')
    parser.add_argument('--work-dir', help='folder for scenes, runs and report (default work_dirs/STUDY)')
    parser.add_argument('--num-processes', type=int, help="runs at once (default: the study's)")
    parser.add_argument('--methods', nargs='+', help='only these, and those that they need')
    parser.add_argument('--report-only', action='store_true', help='report what has finished so far, and train nothing')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the study')
    return parser.parse_args()


def main() -> None:
    """Parse, run, report; exit with 1 if a run failed, with 130 after Ctrl-C."""
    args = parse_args()
    study = read_study(locate(args.study), args.cfg_options)
    folder = Path(args.work_dir or Path('work_dirs') / study.name)
    failed = {}
    if not args.report_only:
        try:
            failed = run_study(study, folder, args.num_processes, args.methods).failed
        except KeyboardInterrupt:
            print(f'stopped; the same command continues, --report-only reports what there is in {folder}')
            sys.exit(130)
    print(f'report: {write_report(folder)}')
    for name, reason in failed.items():
        print(f'failed: {name}: {reason}')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
