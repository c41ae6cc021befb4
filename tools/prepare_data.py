#!/usr/bin/env python
"""Prepare real data for training: `tools/prepare_data.py geotiles --tiles DIR --labels FILE.geojson --out DIR`."""

import argparse
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

from rich.progress import track

from projects.building_extraction.datasets.geotiles import GeotilesSettings, convert_geotiles


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Prepare real data for training.')
    commands = parser.add_subparsers(dest='command', required=True)
    geotiles = commands.add_parser(
        'geotiles',
        help='web-mercator tiles and building polygons -> COCO instance set',
        description='Turn web-mercator tiles and building polygons into a COCO instance set with a spatial split.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = GeotilesSettings()
    required = geotiles.add_argument_group('input and output')
    # argparse.SUPPRESS keeps '(default: None)' out of the help of required arguments
    add = partial(required.add_argument, type=Path, required=True, default=argparse.SUPPRESS)
    add('--tiles', metavar='DIR', help='folder with zoom-x-y.png or zoom/x/y.png (png, jpg, webp, tif)')
    add('--labels', metavar='FILE', help='GeoJSON FeatureCollection of building polygons, EPSG:4326')
    add('--out', metavar='DIR', help='folder to write')
    geotiles.add_argument(
        '--val-share', type=float, default=default.val_share, help='share of the tiles for validation'
    )
    geotiles.add_argument(
        '--block-zoom', type=int, help='zoom of the ground blocks that are never split (None: coarsest zoom present)'
    )
    geotiles.add_argument(
        '--min-area-px', type=int, default=default.min_area_px, help='leave out instances with fewer pixels in a tile'
    )
    geotiles.add_argument(
        '--min-visible-share',
        type=float,
        default=default.min_visible_share,
        help='mark instances of which a smaller share is not transparent as iscrowd (ignored)',
    )
    geotiles.add_argument(
        '--max-bad-share',
        type=float,
        default=default.max_bad_share,
        help='fail if a larger share of tiles is unreadable',
    )
    geotiles.add_argument('--overwrite', action='store_true', help='replace a set that --out holds already')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run one sub-command."""
    args = parse_args(arguments)
    try:
        settings = GeotilesSettings(**{field.name: getattr(args, field.name) for field in fields(GeotilesSettings)})
        show_progress = partial(track, description='Tiles')
        report = convert_geotiles(
            args.tiles, args.labels, args.out, settings, overwrite=args.overwrite, track=show_progress
        )
    except (ValueError, OSError) as error:
        sys.exit(f'prepare_data {args.command}: {error}')
    print(report)
    print(f'wrote      {args.out} (look at {args.out / "overview.png"})')


if __name__ == '__main__':
    main()
