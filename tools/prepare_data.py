#!/usr/bin/env python
"""Prepare real data or scenes for training.

tools/prepare_data.py geotiles|geotiff|scenes|bonai|annotations --out PATH ...
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.building_extraction.preparation.sources import add_sources
from projects.command_line import Parser, command_of, told_in_one_line


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Prepare real data for training.')
    add_sources(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run one sub-command."""
    args = parse_args(arguments)
    with told_in_one_line(f'prepare_data {args.command}') as outcome:
        from projects.building_extraction.preparation.training_commands import training_command

        report = args.prepare(args)
        print(report)
        next_command = training_command(args.command, args.out, command_of('train'))
        outcome.wrote(args.out, report=report, train_with=next_command)
        overview = args.out / 'overview.png'
        print(f'wrote      {args.out}' + (f' (look at {overview})' if overview.exists() else ''))
        print(f'train with {next_command}')


if __name__ == '__main__':
    main()
