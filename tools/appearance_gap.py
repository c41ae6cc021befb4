#!/usr/bin/env python
"""Tell two folders of pictures apart, such as rendered and real tiles, and say by what.

tools/appearance_gap.py data/scenes/source/images data/real/train/images
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import Parser, told_in_one_line, whole_number


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Tell two folders of pictures apart, and say by what.')
    parser.add_argument('first', type=Path, help='folder of pictures, such as rendered tiles')
    parser.add_argument('second', type=Path, help='another one, such as real tiles of the same metres per pixel')
    size = 'side of the patches that are compared (default: 256)'
    parser.add_argument('--patch-px', metavar='N', type=whole_number(64), default=256, help=size)
    parser.add_argument('--features', metavar='N', type=whole_number(), default=12, help='rows of the table')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    args = parse_args(arguments)
    with told_in_one_line('appearance_gap') as outcome:
        from projects.building_extraction.appearance_gap.gap import measure_gap

        gap = measure_gap(args.first, args.second, args.patch_px)
        outcome.wrote(**vars(gap))
        print(gap.table(('first', 'second'), args.features).markdown())


if __name__ == '__main__':
    main()
