#!/usr/bin/env python
"""Write building polygons from a georeferenced probability map, mask or instance map.

tools/vectorize.py probability.tif buildings.gpkg --min-area-m2 10 --regularise
tools/vectorize.py roofs.tif footprints.gpkg --heights heights.tif --off-nadir-deg 25 --azimuth-deg 110 --picture p.png
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before a `projects` of an OpenMMLab checkout
from projects.command_line import file_to_write, number, told_in_one_line
from projects.geodata.raster_values import MEANINGS as VALUES


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Write building polygons from a probability map or mask.')
    add = parser.add_argument
    add('raster', metavar='RASTER', type=Path, help='one band: probabilities, or a mask of 0 and 1 or 255')
    add('out', metavar='OUT', type=file_to_write, help='.gpkg, or .geojson (in longitude and latitude)')
    meaning = parser.add_mutually_exclusive_group().add_argument
    meaning('--values', choices=VALUES, help='what they mean (default: as the raster says, or where it is plain)')
    meaning('--instances', action='store_true', help='they are numbers of buildings, 0 = none')
    add('--threshold', type=number(0, 1), default=0.5, help='probabilities above it are building (default: 0.5)')
    add('--min-area-m2', type=number(at_least=0), default=0.0, help='leave out smaller buildings (default: 0)')
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
    return args


def main(arguments: list[str] | None = None) -> None:
    """Vectorise, and print what was written."""
    args = parse_args(arguments)
    with told_in_one_line('vectorize'):
        from projects.building_extraction.roof_to_footprint import move_roofs_to_footprints
        from projects.building_extraction.vectorization import VectorizationSettings
        from projects.building_extraction.vectorization_files import check_picture_name, vectorise_raster, write_picture
        from projects.geodata.vector_files import check_writable, write_polygons

        settings = VectorizationSettings(args.threshold, args.min_area_m2, args.simplify_m, args.regularise)
        check_writable(args.out)
        if args.picture is not None:
            check_picture_name(args.picture)
        polygons = vectorise_raster(
            args.raster, settings, heights_path=args.heights, is_instance_map=args.instances, values=args.values
        )
        if args.off_nadir_deg is not None:
            polygons = move_roofs_to_footprints(polygons, args.off_nadir_deg, args.azimuth_deg)
        write_polygons(polygons, args.out)
        if args.picture is not None:
            write_picture(polygons, args.image or args.raster, args.picture)
    heights = f', {polygons["height_m"].notna().sum()} of known height' if args.heights else ''
    print(f'wrote {args.out}: {len(polygons)} buildings of {polygons["area_m2"].sum():,.0f} m² together{heights}')
    if args.picture is not None:
        print(f'wrote {args.picture}')


if __name__ == '__main__':
    main()
