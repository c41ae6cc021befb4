#!/usr/bin/env python
"""Lay building labels on the buildings of an off-nadir image, without clean labels.

tools/align_labels.py --image city.tif --labels footprints.gpkg --out aligned.gpkg
tools/align_labels.py --image city.tif --labels footprints.gpkg --height-column height_m --off-nadir-deg 25 --out a.gpkg

tools/align_labels.py --check footprints.gpkg

Needs no clean labels and no training. Writes roofs and footprints as two layers, with a table in JSON, a picture and a
map (`--html`) beside. An interrupted run goes on where it was. `--check` measures it on rendered scenes of a city.
"""

import argparse
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    MEANINGS,
    Parser,
    command_of,
    file_to_write,
    number,
    told_in_one_line,
    whole_number,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Lay building labels on the buildings of an image.')
    add = parser.add_argument
    add('--image', metavar='FILE', type=Path, help='GeoTIFF or another raster, north up')
    add('--labels', metavar='FILE', type=Path, help='GeoPackage, GeoJSON, Shapefile, ... of polygons')
    add('--out', metavar='FILE', type=file_to_write, help='.gpkg with layers of roofs and footprints')
    add('--height-column', metavar='NAME', help='column of the labels with heights above ground, of some or all')
    add('--off-nadir-deg', type=number(), help='angle between line of sight and vertical, if known')
    add('--azimuth-deg', type=number(), help='direction in which roofs lean, clockwise from north, if known')
    add(
        '--registration-m',
        metavar=('EAST', 'NORTH'),
        nargs=2,
        type=number(),
        help='from a label to where the ground below it is seen, if known',
    )
    add(
        '--sun-deg',
        metavar=('ELEVATION', 'AZIMUTH'),
        nargs=2,
        type=number(),
        help='the sun above the horizon, and the direction towards it, clockwise from north: heights from shadows',
    )
    add('--max-shift-m', type=number(above=0), default=8.0, help='longest such shift that is searched (default: 8)')
    add('--max-height-m', type=number(above=0), help='of buildings that are looked for (default: as stated, or 80)')
    add('--probabilities', metavar='RASTER', type=Path, help='of roof, as tools/predict.py writes: a second round')
    add(
        '--model',
        metavar='FILE',
        help='exported segmentor of buildings: predicts those probabilities, beside the output',
    )
    add('--values', choices=MEANINGS, help='what those mean (default: as the raster says, or where it is plain)')
    add('--bands', metavar='N', nargs='+', type=whole_number(), help='of the image: one, or red, green and blue')
    add('--layer', metavar='NAME', help='layer of the labels (default: the only one of polygons)')
    add('--assume-crs', metavar='CRS', help='coordinate system of labels that state none, such as EPSG:4326')
    add('--processes', metavar='N', type=whole_number(), default=1, help='that work on parts of it (default: 1)')
    add('--html', action='store_true', help='a map to look around on, beside the output')
    add('--overwrite', action='store_true', help='forget what an interruption with other settings left')
    add(
        '--check',
        metavar='FOOTPRINTS',
        nargs='?',
        const='',
        help='measure it on scenes of these; of none: an invented city',
    )
    add('--repeats', metavar='N', type=whole_number(), default=1, help='times 16 scenes for --check (default: 1)')
    args = parser.parse_args(arguments)
    if args.check is not None:
        return args
    if args.repeats != 1:
        parser.error('--repeats is for --check')
    if missing := [f'--{name}' for name in ('image', 'labels', 'out') if getattr(args, name) is None]:
        parser.error(f'the following arguments are required: {", ".join(missing)}')
    if args.model and args.probabilities:
        parser.error('--model predicts what --probabilities names: give one of them')
    if args.out.suffix.lower() != '.gpkg':
        parser.error(f'--out {args.out}: expected a name that ends in .gpkg, which holds both layers')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Align, print a table and write the results."""
    args = parse_args(arguments)
    with told_in_one_line('align_labels', 'stopped; the same command goes on') as outcome:
        if args.check is not None:
            from projects.building_extraction.misalignment.alignment.check import check_all, check_table

            scenes = check_all(args.check, args.height_column, args.repeats)
            outcome.wrote(scenes=scenes)
            print(check_table(scenes).markdown())
            return
        from projects.building_extraction.misalignment.alignment.align import align
        from projects.building_extraction.misalignment.alignment.results import write_results
        from projects.building_extraction.misalignment.alignment.settings import AlignmentSettings

        bands = args.bands and tuple(args.bands)
        if args.model:
            from projects.deployment.prediction.command import predict_probability

            folder = args.out.with_name(f'{args.out.stem}_prediction')
            args.probabilities = predict_probability(args.model, args.image, bands, folder)
        settings = AlignmentSettings(
            args.image,
            args.labels,
            args.height_column,
            args.off_nadir_deg,
            args.azimuth_deg,
            args.registration_m and tuple(args.registration_m),
            args.sun_deg and tuple(args.sun_deg),
            args.max_shift_m,
            args.max_height_m,
            args.probabilities,
            args.values,
            bands,
            args.layer,
            args.assume_crs,
        )
        result = align(settings, args.out, args.processes, overwrite=args.overwrite)
        command = shlex.join([*command_of('align_labels'), *(sys.argv[1:] if arguments is None else arguments)])
        text, content, files = write_results(result, settings, args.out, command if args.html else None)
        outcome.wrote(*files, **content)
        print(text)
        print(f'wrote {", ".join(map(str, files))}')


if __name__ == '__main__':
    main()
