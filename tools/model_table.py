#!/usr/bin/env python
"""Count parameters and multiply-adds of every config, beside the published figures.

tools/model_table.py --write
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import Parser, told_in_one_line

ROOT = Path(__file__).resolve().parents[1]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Count parameters and MACs of configs and compare them with the published figures.')
    parser.add_argument('configs', nargs='*', type=Path, help='print these alone (default: all in configs/)')
    action = parser.add_mutually_exclusive_group()
    page = ROOT / 'configs' / 'README.md'
    path = {'nargs': '?', 'type': Path, 'const': page, 'metavar': 'FILE'}
    action.add_argument('--write', **path, help='put the table into FILE (configs/README.md), between its markers')
    action.add_argument('--check', **path, help='fail if the table in FILE (configs/README.md) is stale')
    args = parser.parse_args(arguments)
    if args.configs and (args.write or args.check):
        parser.error('--write and --check are for the table of all configs')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Count, then print, write or check."""
    args = parse_args(arguments)
    paths = args.configs or sorted((ROOT / 'configs').glob('*.py'))
    warnings.filterwarnings('ignore', category=UserWarning, module='mmseg')  # of its own deprecated calls
    with told_in_one_line('model_table') as outcome:
        from projects.deployment.model_table.table import FLAG, SECTION, read_row, render, stale_lines
        from projects.reporting.progress import track
        from projects.reporting.sections import replace_section

        rows = [read_row(path) for path in track(paths, 'Counting')]
        table = render(rows, (args.write or args.check or ROOT / 'README.md').parent)
        flagged = sum(FLAG in ''.join(row.cells(ROOT)) for row in rows)
        outcome.wrote(args.write, configs=len(rows), deviating=flagged, rows=rows)
        summary = f'{len(rows)} configs, of which {flagged} deviate from published figures'
        if args.write:
            replace_section(args.write, SECTION, table)
            print(f'wrote {args.write}: {summary}')
        elif args.check:
            if stale := stale_lines(args.check, table):
                command = f'tools/model_table.py --write {os.path.relpath(args.check)}'
                sys.exit('\n  '.join([f'The model table in {args.check} is stale; run `{command}`:', *stale]))
            print(f'{args.check} is up to date: {summary}')
        else:
            print(table)


if __name__ == '__main__':
    main()
