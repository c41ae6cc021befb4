#!/usr/bin/env python
"""Score building polygons against true ones, matched one to one, in metres on the ground.

tools/score_polygons.py buildings.gpkg true.gpkg --height-column height_m --out work_dirs/polygons
tools/score_polygons.py buildings.gpkg true.gpkg --area labeled_area.geojson --out work_dirs/polygons
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import Parser, folder_to_write, number, told_in_one_line
from projects.storage.atomic_files import write_file


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Score building polygons against true ones.')
    add = parser.add_argument
    add('found', metavar='PREDICTED', type=Path, help='GeoPackage, GeoJSON, Shapefile, ... of polygons')
    add('true', metavar='TRUE', type=Path, help='the true ones, in any coordinate system')
    add(
        '--out',
        metavar='DIR',
        type=folder_to_write,
        required=True,
        help='folder for polygon_scores.json and polygon_scores.png',
    )
    add('--height-column', metavar='NAME', help='column of the true ones with heights above ground, for classes')
    add('--score-column', metavar='NAME', help='column of the others with scores (default: score, if there is one)')
    add('--band-m', type=number(above=0), default=1.0, help='width of the band of the boundary IoU (default: 1)')
    add('--assume-crs', metavar='CRS', help='coordinate system of files that state none, such as EPSG:4326')
    add('--layer', metavar='NAME', help='layer of the predicted ones (default: the only one of polygons)')
    add('--true-layer', metavar='NAME', help='the same of the true ones')
    area = parser.add_mutually_exclusive_group()
    area.add_argument(
        '--area',
        metavar='FILE',
        type=Path,
        help='polygons of the area where the true ones are complete. True ones count that lie in it to half at least; '
        'what is matched counts where its true one does; a false alarm where half of it lies in the area',
    )
    area.add_argument(
        '--bounds',
        metavar=('WEST', 'SOUTH', 'EAST', 'NORTH'),
        nargs=4,
        type=number(),
        help='the same, of a rectangle in the coordinate system of the true ones',
    )
    args = parser.parse_args(arguments)
    if args.bounds and not (args.bounds[0] < args.bounds[2] and args.bounds[1] < args.bounds[3]):
        parser.error('--bounds: expected WEST below EAST and SOUTH below NORTH')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Score, print tables and write the results."""
    args = parse_args(arguments)
    with told_in_one_line('score_polygons') as outcome:
        from projects.building_extraction.evaluation.polygon_files import score_files
        from projects.building_extraction.evaluation.polygon_report import as_text, summary, write_picture
        from projects.building_extraction.height_classes import HeightClasses
        from projects.reporting.progress import progress_bar

        classes = HeightClasses()
        with progress_bar('Scoring polygons', None):
            result = score_files(
                args.found,
                args.true,
                classes,
                band_m=args.band_m,
                height_column=args.height_column,
                score_column=args.score_column,
                assume_crs=args.assume_crs,
                layer=args.layer,
                true_layer=args.true_layer,
                area=args.area or (args.bounds and tuple(args.bounds)),
            )
            content = summary(result, classes, args.band_m)
        args.out.mkdir(parents=True, exist_ok=True)
        write_picture(result.comparison, classes, args.out / 'polygon_scores.png')
        options = {key: str(value) for key, value in vars(args).items() if value is not None}
        text = json.dumps({'arguments': options} | content, indent=1, allow_nan=False)
        write_file(args.out / 'polygon_scores.json', text)
        outcome.wrote(args.out / 'polygon_scores.json', args.out / 'polygon_scores.png', **content)
        print(as_text(content))
        print(f'wrote {args.out / "polygon_scores.json"} and {args.out / "polygon_scores.png"}')


if __name__ == '__main__':
    main()
