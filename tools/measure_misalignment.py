#!/usr/bin/env python
"""Measure how far building labels are displaced from a reference, per height class.

tools/measure_misalignment.py --labels labels.gpkg --reference clean.gpkg --height-column height_m --out report
tools/measure_misalignment.py --labels labels.gpkg --prediction mask.tif --out report
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import MEANINGS, Parser, folder_to_write, number, told_in_one_line
from projects.storage.atomic_files import write_file


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Measure how far building labels are displaced from a reference.')
    add = parser.add_argument
    add('--labels', metavar='FILE', type=Path, required=True, help='GeoPackage, GeoJSON, Shapefile, ... of polygons')
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument('--reference', metavar='FILE', type=Path, help='polygons of the same buildings')
    reference.add_argument('--prediction', metavar='FILE', type=Path, help='mask or probabilities, one band')
    add(
        '--out',
        metavar='DIR',
        type=folder_to_write,
        required=True,
        help='folder for misalignment.json and misalignment.png',
    )
    add('--height-column', metavar='NAME', help='column of the labels with heights above ground')
    add('--structure-column', metavar='NAME', help='column that is equal for the parts of one building')
    add(
        '--assume-crs',
        metavar='CRS',
        help='coordinate system of labels and reference that state none, such as EPSG:4326',
    )
    add('--layer', metavar='NAME', help='layer of the labels (default: the only one of polygons)')
    add('--reference-layer', metavar='NAME', help='the same of the reference')
    add('--max-shift-m', type=number(above=0), default=30.0, help='longest displacement that is searched (default: 30)')
    add('--gsd-m', type=number(above=0), default=0.5, help='metres per pixel, with --reference (default: 0.5)')
    add('--min-agreement', type=number(0, 1), default=0.6, help='labels that agree less are unmatched (default: 0.6)')
    add('--threshold', type=number(0, 1), default=0.5, help='probabilities above it are building (default: 0.5)')
    add(
        '--values', choices=MEANINGS, help='what those of --prediction mean (default: as it says, or where it is plain)'
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table and write the results."""
    args = parse_args(arguments)
    with told_in_one_line('measure_misalignment') as outcome:
        from projects.building_extraction.height_classes import HeightClasses
        from projects.building_extraction.misalignment.files import measure_files
        from projects.building_extraction.misalignment.measurement import MisalignmentSettings
        from projects.building_extraction.misalignment.report import as_text, summary, write_picture
        from projects.reporting.progress import progress_bar

        classes = HeightClasses()
        settings = MisalignmentSettings(args.max_shift_m, args.gsd_m, args.min_agreement)
        with progress_bar('Matching labels', None):
            result = measure_files(
                args.labels,
                settings,
                reference_path=args.reference,
                prediction_path=args.prediction,
                height_column=args.height_column,
                structure_column=args.structure_column,
                assume_crs=args.assume_crs,
                layer=args.layer,
                reference_layer=args.reference_layer,
                threshold=args.threshold,
                values=args.values,
            )
        args.out.mkdir(parents=True, exist_ok=True)
        write_picture(result, classes, args.out / 'misalignment.png')
        options = {key: str(value) for key, value in vars(args).items() if value is not None}
        content = summary(result, classes)
        text = json.dumps({'arguments': options} | content, indent=1)
        write_file(args.out / 'misalignment.json', text)
        outcome.wrote(args.out / 'misalignment.json', args.out / 'misalignment.png', **content)
        print(as_text(result, classes))
        print(f'wrote {args.out / "misalignment.json"} and {args.out / "misalignment.png"}')


if __name__ == '__main__':
    main()
