#!/usr/bin/env python
"""Write building polygons from a georeferenced probability map, mask or instance map.

tools/vectorize.py probability.tif buildings.gpkg --min-area-m2 10 --regularise
tools/vectorize.py north/*.tif south/*.tif buildings/
tools/vectorize.py roofs.tif footprints.gpkg --heights heights.tif --off-nadir-deg 25 --azimuth-deg 110 --picture p.png

Of several rasters each gets a file of its own in a folder; those that are unfit are listed, all others done.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import (
    MEANINGS,
    USER_ERRORS,
    Parser,
    file_to_write,
    folder_to_write,
    number,
    told_in_one_line,
)
from projects.outcomes import Outcome
from projects.storage.file_names import names_apart


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description='Write building polygons from a probability map or mask.')
    add = parser.add_argument
    add('rasters', metavar='RASTER', nargs='+', type=Path, help='one band: probabilities, or a mask of 0 and 1 or 255')
    add('out', metavar='OUT', type=Path, help='.gpkg, .geojson, .fgb, .parquet, .pmtiles; of several, a folder')
    meaning = parser.add_mutually_exclusive_group().add_argument
    meaning('--values', choices=MEANINGS, help='what they mean (default: as the raster says, or where it is plain)')
    meaning('--instances', action='store_true', help='they are numbers of buildings, 0 = none')
    add('--threshold', type=number(0, 1), default=0.5, help='probabilities above it are building (default: 0.5)')
    add('--min-area-m2', type=number(at_least=0), default=0.0, help='leave out smaller buildings (default: 0)')
    add('--fill-holes-m2', type=number(at_least=0), default=0.0, help='fill smaller holes (default: 0)')
    add('--simplify-m', type=number(at_least=0), help='tolerance; 0: along the pixels (default: one pixel)')
    add('--regularise', action='store_true', help='right angles')
    add('--heights', metavar='RASTER', type=Path, help='metres above ground on the same grid; gives height_m')
    add(
        '--off-nadir-deg',
        type=number(at_least=0, below=90),
        help='the polygons are roofs: move them back to their footprints',
    )
    add('--azimuth-deg', type=number(), help='direction in which roofs lean in the image, clockwise from north')
    add('--picture', metavar='FILE', type=file_to_write, help='draw the outlines, .png or .jpg')
    add('--image', metavar='FILE', type=Path, help='image to draw on (default: the raster itself)')
    args = parser.parse_args(arguments)
    if (args.off_nadir_deg is None) != (args.azimuth_deg is None):
        parser.error('--off-nadir-deg and --azimuth-deg belong together')
    if args.off_nadir_deg is not None and args.heights is None:
        parser.error('--off-nadir-deg needs --heights: how far a roof is moved depends on its height')
    several = len(args.rasters) > 1
    if several and (args.heights or args.picture):
        parser.error('--heights and --picture belong to one raster')
    if several and args.out.suffix:
        parser.error(f'{args.out}: expected a folder for the polygons of several rasters')
    try:
        args.out = (folder_to_write if several else file_to_write)(str(args.out))
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return args


def vectorize(raster: Path, out: Path, args: argparse.Namespace, outcome: Outcome) -> None:
    """Write the polygons of one raster, and say what was written."""
    from projects.building_extraction.roof_to_footprint import move_roofs_to_footprints
    from projects.geodata.polygons.files import check_picture_name, vectorize_raster, write_picture
    from projects.geodata.polygons.vectorization import VectorizationSettings
    from projects.geodata.vector_files import check_writable, write_polygons

    settings = VectorizationSettings(
        args.threshold, args.min_area_m2, args.simplify_m, args.regularise, args.fill_holes_m2
    )
    check_writable(out)
    if args.picture is not None:
        check_picture_name(args.picture)
    options = {'heights_path': args.heights, 'is_instance_map': args.instances, 'values': args.values}
    polygons = vectorize_raster(raster, settings, **options)
    if args.off_nadir_deg is not None:
        polygons = move_roofs_to_footprints(polygons, args.off_nadir_deg, args.azimuth_deg)
    write_polygons(polygons, out)
    if args.picture is not None:
        write_picture(polygons, args.image or raster, args.picture)
    outcome.wrote(out, args.picture)
    outcome.results[str(out)] = {'buildings': len(polygons), 'area_m2': polygons['area_m2'].sum()}
    heights = f', {polygons["height_m"].notna().sum()} of known height' if args.heights else ''
    print(f'wrote {out}: {len(polygons)} buildings of {polygons["area_m2"].sum():,.0f} m² together{heights}')
    if args.picture is not None:
        print(f'wrote {args.picture}')


def main(arguments: list[str] | None = None) -> None:
    """Vectorise, and print what was written."""
    args = parse_args(arguments)
    with told_in_one_line('vectorize') as outcome:
        if len(args.rasters) == 1:
            vectorize(args.rasters[0], args.out, args, outcome)
            return
        failed = []
        for raster, name in names_of(args.rasters).items():
            out = args.out / f'{name}.gpkg'
            try:
                out.parent.mkdir(parents=True, exist_ok=True)
                vectorize(raster, out, args, outcome)
            except (*USER_ERRORS, RuntimeError) as error:
                failed.append(f'  {error}' if str(raster) in str(error) else f'  {raster}: {error}')
        if failed:
            raise ValueError('\n'.join([f'{len(failed)} of {len(args.rasters)} rasters gave no polygons:', *failed]))


def names_of(rasters: list[Path]) -> dict[Path, str]:
    """A name for the polygons of each raster, by which no two of them meet."""
    files = {raster.resolve(): raster for raster in rasters}
    folder = os.path.commonpath([file.parent for file in files])
    return dict(zip(files.values(), names_apart([file.relative_to(folder) for file in files]), strict=True))


if __name__ == '__main__':
    main()
