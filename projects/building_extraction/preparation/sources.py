"""The sources of tile sets as sub-commands: what each can be told, and what it calls then.

Nothing heavy is imported before a source is chosen.
"""

import argparse
import glob
import json
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from projects.command_line import UsageError, file_to_write, folder_to_write, number, whole_number
from projects.reporting.progress import track


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands; what is parsed has `command`, the name, and `prepare`, to be called with it.

    `prepare` writes the set, and returns what is to be printed. It raises what the writer of its source does.
    """
    commands = parser.add_subparsers(dest='command', required=True)
    for add in (_add_geotiles, _add_geotiff, _add_scenes, _add_bonai, _add_annotations):
        add(commands)


def _add_license(parser: argparse.ArgumentParser, name: str, whose: str) -> None:
    text = f'licence of {whose}, and whom to name, for the LICENSE.md of the set (default: not stated)'
    parser.add_argument(f'--{name}', metavar='TEXT', help=text)


def _add_geotiles(commands: argparse._SubParsersAction) -> None:
    geotiles = commands.add_parser(
        'geotiles',
        help='web-mercator tiles and building polygons -> tiles with masks and COCO instances',
        description='Turn web-mercator tiles and building polygons into a set for detectors and segmentors, split by '
        'ground.',
    )
    geotiles.set_defaults(prepare=_geotiles)
    add = geotiles.add_argument
    names = 'zoom-x-y.png, zoom/x/y.png or OAM-x-y-zoom.png (png, jpg, webp, tif)'
    add('--tiles', metavar='DIR', type=Path, required=True, help=f'folder with {names}')
    add('--labels', metavar='FILE', type=Path, required=True, help='GeoJSON of building polygons, EPSG:4326')
    add('--out', metavar='DIR', type=folder_to_write, required=True, help='folder to write')
    add('--val-share', type=number(0, 1), default=0.2, help='share of the tiles for validation (default: 0.2)')
    strips = 'strip K of N, of whole rows or columns, is the test, what lies beside it validation (default: no test)'
    add('--partition', metavar=('K', 'N'), type=whole_number(), nargs=2, help=strips)
    block = 'zoom of the ground blocks that are never split (default: coarsest zoom present)'
    add('--block-zoom', type=whole_number(0), help=block)
    add('--min-area-px', type=whole_number(0), default=16, help='leave out instances with fewer pixels (default: 16)')
    hidden = 'mark instances of which a smaller share is not transparent as iscrowd, ignored (default: 0.5)'
    add('--min-visible-share', type=number(0, 1), default=0.5, help=hidden)
    add('--max-bad-share', type=number(0, 1), default=0.05, help='fail if more tiles are unreadable (default: 0.05)')
    _add_license(geotiles, 'image-license', 'the tiles')
    _add_license(geotiles, 'label-license', 'the labels, such as "ODbL 1.0, OpenStreetMap contributors"')
    add('--overwrite', action='store_true', help='replace a set that --out holds already')


def _geotiles(args: argparse.Namespace) -> object:
    from .geotiles import GeotilesSettings, convert_geotiles

    given = {field.name: getattr(args, field.name) for field in fields(GeotilesSettings)}
    settings = GeotilesSettings(**given | {'partition': args.partition and tuple(args.partition)})
    show_progress = partial(track, description='Tiles')
    licenses = {'image_license': args.image_license, 'label_license': args.label_license}
    return convert_geotiles(
        args.tiles, args.labels, args.out, settings, overwrite=args.overwrite, track=show_progress, **licenses
    )


def _add_geotiff(commands: argparse._SubParsersAction) -> None:
    geotiff = commands.add_parser(
        'geotiff',
        help='any GeoTIFF and any vector file -> building tiles with masks, instances and heights',
        description='Turn one georeferenced image and a vector file of buildings into building tiles, split by ground, '
        'optionally with the labels displaced by a stated amount. Repeat the command to go on with an interrupted run.',
    )
    geotiff.set_defaults(prepare=_geotiff)
    add = geotiff.add_argument
    several = 'GeoTIFF, VRT, JPEG 2000, ... (several: gdalbuildvrt)'
    add('--image', metavar='FILE', type=Path, nargs='+', required=True, help=several)
    add('--labels', metavar='FILE', type=Path, required=True, help='GeoPackage, GeoJSON, Shapefile, ... of polygons')
    add('--out', metavar='DIR', type=folder_to_write, required=True, help='folder to write')
    add('--height-column', metavar='NAME', help='column of the labels with heights above ground')
    add('--structure-column', metavar='NAME', help='column that is equal for the parts of one building')
    add('--assume-crs', metavar='CRS', help='coordinate system of labels that state none, such as EPSG:4326')
    add('--layer', metavar='NAME', help='layer of the labels (default: the only one of polygons)')
    bands = 'one or three bands of the image, from 1 (default: the first)'
    add('--bands', metavar='N', type=whole_number(), nargs='+', help=bands)
    add('--tile-px', type=whole_number(), default=512, help='side of a tile in pixels (default: 512)')
    add('--gsd-m', type=number(above=0), help='resample to that many metres per pixel (default: as the image is)')
    add('--val-share', type=number(0, 1), default=0.2, help='share of the tiles for validation (default: 0.2)')
    add('--test-share', type=number(0, 1), default=0.2, help='share of the tiles for testing (default: 0.2)')
    block = 'side of the squares of ground that are never split (default: from the size)'
    add('--block-m', type=number(above=0), help=block)
    margin = 'least distance of tiles of different parts (default: 0)'
    add('--margin-m', type=number(at_least=0), default=0.0, help=margin)
    add('--shift-m', metavar=('E', 'N'), type=number(), nargs=2, default=(0.0, 0.0), help='move labels east and north')
    lean = 'move labels by height x tan of this angle ...'
    add('--off-nadir-deg', type=number(at_least=0, below=90), default=0.0, help=lean)
    add('--azimuth-deg', type=number(), default=0.0, help='... in this direction, clockwise from north')
    _add_license(geotiff, 'image-license', 'the image')
    _add_license(geotiff, 'label-license', 'the labels')
    add('--overwrite', action='store_true', help='replace a set that --out holds already')


def _geotiff(args: argparse.Namespace) -> object:
    from .label_displacement import Displacement
    from .raster_blocks import BlockSettings
    from .raster_tiles import RasterTilesSettings, convert_raster

    (image, *others) = args.image
    if others or image.is_dir() or (glob.has_magic(str(image)) and not image.exists()):
        parts = str(image / '*.tif') if image.is_dir() else ' '.join(map(str, args.image))
        raise UsageError(
            f'--image takes one file; several are one as a virtual mosaic: gdalbuildvrt all.vrt {parts}, then --image '
            'all.vrt'
        )
    settings = RasterTilesSettings(
        tile_px=args.tile_px,
        gsd_m=args.gsd_m,
        bands=args.bands and tuple(args.bands),
        height_column=args.height_column,
        structure_column=args.structure_column,
        assume_crs=args.assume_crs,
        layer=args.layer,
        blocks=BlockSettings(args.val_share, args.test_share, args.block_m, args.margin_m),
        displacement=Displacement(tuple(args.shift_m), args.off_nadir_deg, args.azimuth_deg),
    )
    show_progress = partial(track, description='Tiles')
    licenses = {'image_license': args.image_license, 'label_license': args.label_license}
    return convert_raster(
        image, args.labels, args.out, settings, overwrite=args.overwrite, track=show_progress, **licenses
    )


def _add_annotations(commands: argparse._SubParsersAction) -> None:
    annotations = commands.add_parser(
        'annotations',
        help='what was drawn in Label Studio, CVAT or as COCO -> a COCO file whose names fit the images',
        description='Turn an export of Label Studio (JSON), CVAT (for images 1.1) or COCO into annotations/train.json.',
    )
    annotations.set_defaults(prepare=_annotations)
    add = annotations.add_argument
    add('--annotations', metavar='FILE', type=Path, required=True, help='.json of Label Studio or COCO, .xml of CVAT')
    add('--images', metavar='DIR', type=Path, required=True, help='folder with the images, in folders or not')
    add('--out', metavar='DIR', type=folder_to_write, required=True, help='folder to write annotations/train.json in')
    add('--overwrite', action='store_true', help='replace one that --out holds already')


def _annotations(args: argparse.Namespace) -> object:
    from projects.storage.atomic_files import write_file
    from projects.training.annotation_exports import read_export

    path = args.out / 'annotations' / 'train.json'
    if path.exists() and not args.overwrite:
        raise FileExistsError(f'{path} exists; pass --overwrite to replace it, or choose another --out')
    content, skipped = read_export(args.annotations, args.images)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps({'info': {'images': str(args.images.absolute())}} | content))
    names = ', '.join(category['name'] for category in content['categories'])
    found = f'{len(content["images"])} images, {len(content["annotations"])} objects of {names}'
    left_out = ''.join(f'\nleft out   {count} {reason}' for reason, count in skipped.items())
    return f'read       {found}{left_out}'


def _add_scenes(commands: argparse._SubParsersAction) -> None:
    scenes = commands.add_parser(
        'scenes',
        help='footprints with heights, or an invented city -> rendered off-nadir tiles with exact labels',
        description='Render a data set for domain adaptation: `source` (raw imagery, footprints as misaligned labels), '
        '`target`, `val` and `test` (near nadir, labels on the roofs that are seen), each on ground of its own.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    scenes.set_defaults(prepare=_scenes)
    add = scenes.add_argument
    add('--out', metavar='DIR', type=folder_to_write, default=Path('data/scenes'), help='folder to write')
    add('--footprints', metavar='FILE', type=Path, help='vector file of footprints (None: the invented city)')
    add('--height-column', metavar='NAME', help='its heights above ground (None: a column of a usual name)')
    add('--structure-column', metavar='NAME', help='equal for the tiers of one building (None: likewise)')
    add('--assume-crs', metavar='CRS', help='coordinate system of footprints that state none, such as EPSG:4326')
    add('--layer', metavar='NAME', help='layer of the footprints (None: the only one of polygons)')
    add('--roads', metavar='FILE', type=Path, help='vector file of roads, areas or lines (None: invented streets)')
    add('--vegetation', metavar='FILE', type=Path, help='vector file of parks and gardens (None: invented ones)')
    _add_license(scenes, 'license', 'these files')
    add('--city-m', type=number(above=0), default=4000.0, help='side of the invented city')
    add('--gsd-m', type=number(above=0), default=0.5, help='metres per pixel')
    add('--tile-px', type=whole_number(), default=256, help='side of a tile in pixels')
    for split, tiles in (('source', 3200), ('target', 800), ('val', 200), ('test', 400)):
        add(f'--{split}', metavar='N', type=whole_number(), default=tiles, help=f'tiles of {split}')
    angles = {'metavar': ('LOW', 'HIGH'), 'type': number(), 'nargs': 2}
    add('--source-off-nadir-deg', **angles, default=(10.0, 40.0), help='angles of the source, drawn for each tile')
    add('--target-off-nadir-deg', **angles, default=(0.0, 10.0), help='angles of target, val and test')
    add('--azimuth-deg', **angles, default=(0.0, 360.0), help='directions in which roofs lean, clockwise from north')
    error = "standard deviation of the source's displacement"
    add('--registration-error-m', type=number(at_least=0), default=1.5, help=error)
    add('--latitude', metavar='DEG', type=number(), help="of the sun's path (None: the footprints', or Melbourne's)")
    add('--sun-dates', metavar='MM-DD', nargs=2, default=('01-01', '12-31'), help='first and last day of the flights')
    add('--sun-hours', **angles, default=(10.0, 14.0), help='their solar time; at 12 the sun is highest')
    add('--source-label', choices=('roof', 'footprint', 'visible', 'tier'), default='footprint', help='what it labels')
    tiers = 'what target, val and test label: whole roofs, or each tier of a building by itself, as offsets demand'
    add('--target-label', choices=('roof', 'tier'), default='roof', help=tiers)
    seed = 'of the invented city, the division of the ground and the views'
    add('--seed', type=whole_number(0), default=0, help=seed)
    add('--processes', type=whole_number(), help='processes to render with (None: by the number of tiles)')


def _scenes(args: argparse.Namespace) -> object:
    from projects.city_scenes.footprints import latitude_deg, read_city
    from projects.city_scenes.procedural_city import procedural_city

    from .scenes.tiles import write_scenes

    layers = {'roads': args.roads, 'vegetation': args.vegetation}
    if args.footprints is None and any(layers.values()):
        raise ValueError('--roads and --vegetation go with --footprints; the invented city has its own')
    if args.footprints is None:
        domains = _domains(args, None)  # checked before a city is invented
        city = procedural_city(args.city_m, args.seed)
    else:
        options = {'assume_crs': args.assume_crs, 'layer': args.layer} | layers
        city = read_city(args.footprints, args.height_column, args.structure_column, **options)
        domains = _domains(args, latitude_deg(city))
    return write_scenes(
        city, domains, args.gsd_m, args.tile_px, args.out, args.seed, args.processes, license=args.license
    )


def _domains(args: argparse.Namespace, latitude_deg: float | None) -> dict[str, Any]:
    """How each split is seen and labelled, over ground of a latitude."""
    from projects.city_scenes.daylight import MELBOURNE_LATITUDE_DEG, Daylight
    from projects.city_scenes.domains import default_domains

    latitude_deg = next(deg for deg in (args.latitude, latitude_deg, MELBOURNE_LATITUDE_DEG) if deg is not None)
    seen: dict[str, Any] = {
        'azimuth_deg': tuple(args.azimuth_deg),
        'daylight': Daylight(latitude_deg, tuple(args.sun_dates), tuple(args.sun_hours)),
    }
    clean = seen | {'off_nadir_deg': tuple(args.target_off_nadir_deg), 'label': args.target_label}
    noisy = seen | {'off_nadir_deg': tuple(args.source_off_nadir_deg)}
    noisy |= {'registration_error_m': args.registration_error_m, 'label': args.source_label}
    return {
        split: replace(domain, **(noisy if split == 'source' else clean))
        for split, domain in default_domains(args.source, args.target, args.val, args.test).items()
    }


def _add_bonai(commands: argparse._SubParsersAction) -> None:
    bonai = commands.add_parser(
        'bonai',
        help="BONAI's annotation files, one for each image -> one file of its COCO layer",
        description="Join BONAI's annotation files, one for each image, to one file of its COCO layer.",
    )
    bonai.set_defaults(prepare=_bonai)
    add = partial(bonai.add_argument, type=Path)
    add('--labels', metavar='DIR', required=True, help='folder with one JSON file for each image, in subfolders too')
    add('--images', metavar='DIR', help='folder of the images, to which file names are relative (default: --labels)')
    out = 'file to write, such as coco/bonai_shanghai_trainval.json'
    add('--out', metavar='FILE', type=file_to_write, required=True, help=out)


def _bonai(args: argparse.Namespace) -> object:
    from .bonai_files import convert_bonai

    counts = convert_bonai(args.labels, args.out, args.images)
    return '\n'.join(f'{name.replace("_", " "):<16}{count}' for name, count in counts.items())
