#!/usr/bin/env python
"""Turn a map of building probabilities, a mask or an instance map into georeferenced polygons.

tools/vectorize.py probability.tif buildings.gpkg --min-area-m2 10 --regularise
tools/vectorize.py roofs.tif footprints.gpkg --heights heights.tif --off-nadir-deg 25 --azimuth-deg 90
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Turn a map of building probabilities into georeferenced polygons.')
    add = parser.add_argument
    add('raster', type=Path, help='probabilities 0 to 1, bytes 0 to 255, or a mask, of one band, with georeference')
    add('out', type=Path, help='.gpkg, or .geojson (in longitude and latitude)')
    add('--instances', action='store_true', help='the raster holds instance numbers, 0 is background')
    add('--threshold', type=float, default=0.5, help='building from this probability on (default: 0.5)')
    add('--min-area-m2', type=float, default=0.0, help='leave out smaller buildings, fill smaller holes (default: 0)')
    add('--simplify-m', type=float, help='how far outlines may lie from the pixels, 0: exact (default: one pixel)')
    add('--regularise', action='store_true', help='make angles right and edges parallel')
    add('--heights', metavar='RASTER', type=Path, help='metres above ground; fills the column height_m')
    add('--off-nadir-deg', type=float, help='roofs are moved back to the ground by their height (needs --heights)')
    add('--azimuth-deg', type=float, default=0.0, help='where roofs lean, clockwise from north (default: 0)')
    add('--picture', metavar='PNG', type=Path, help='draw the outlines here')
    add('--image', metavar='FILE', type=Path, help='what they are drawn over (default: the raster)')
    args = parser.parse_args(arguments)
    if args.off_nadir_deg is not None and args.heights is None:
        parser.error('--off-nadir-deg needs --heights: how far a roof is displaced depends on its height')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Trace, write and say what was found."""
    args = parse_args(arguments)
    try:
        from projects.building_extraction.roof_to_footprint import footprints_from_roofs
        from projects.building_extraction.vector_files import check_writable, write_polygons
        from projects.building_extraction.vectorization import VectorizationSettings
        from projects.building_extraction.vectorization_files import vectorize_raster, write_picture
        from projects.building_extraction.view import View

        check_writable(args.out)
        settings = VectorizationSettings(args.threshold, args.min_area_m2, args.simplify_m, args.regularise)
        view = None if args.off_nadir_deg is None else View(1.0, args.off_nadir_deg, args.azimuth_deg)
        show_progress = partial(track, description='Windows', console=Console(stderr=True))
        frame = vectorize_raster(
            args.raster, settings, instances=args.instances, heights_path=args.heights, track=show_progress
        )
        if view is not None:
            frame = footprints_from_roofs(frame, view)
        write_polygons(frame, args.out)
        if args.picture:
            write_picture(frame, args.image or args.raster, args.picture)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'vectorize: {error}')
    print(f'{len(frame)} polygons, {frame["area_m2"].sum():.1f} m² -> {args.out} ({frame.crs.to_string()})')
    if view is not None:
        print(f'{int(frame["moved"].sum())} moved to the ground, {int((~frame["moved"]).sum())} of unknown height')
    if args.picture:
        print(f'wrote {args.picture}')


if __name__ == '__main__':
    main()
