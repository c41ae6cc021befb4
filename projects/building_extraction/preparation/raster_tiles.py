"""A georeferenced image and a vector file of buildings -> building tiles, split by ground.

The image is read once, window by window; one tile is in memory at a time, the building outlines are all the while.
Tiles are written into a hidden folder beside the set first, so that a run that was interrupted goes on where it
stopped, and moved into their part in the end: only then is it known which windows are broken or empty, and the split
can promise that every part holds buildings.

Tiles are PNG without georeference, since OpenCV warns of each GeoTIFF tag whenever training reads one; `transform` of
each image in `instances.json` says where it lies, in the coordinate system that `parameters.json` names.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from projects.geodata.coordinate_systems import meters_per_unit
from projects.geodata.raster_files import Raster, UnreadableWindowError, open_raster
from projects.geodata.vector_files import geopandas, read_buildings, write_polygons
from projects.storage.atomic_files import replacing
from projects.storage.folders import check_folder, take_place, working_folder

from ..mask_codes import IGNORED_GRAY
from .label_displacement import Displacement, displace
from .raster_blocks import PARTS, BlockSettings, split_grid
from .raster_tile_labels import LabelIndex
from .raster_tiles_report import RasterTilesReport
from .set_pictures import write_contact_sheet
from .tile_set import (
    LICENSE_NOTE,
    Origin,
    WrittenTile,
    coco_file,
    copy_tile,
    make_folders,
    skyline_version,
    write_image,
    write_license_note,
)

SET_ENTRIES = {*PARTS, 'labels', 'parameters.json', 'overview.png', LICENSE_NOTE}
MIN_VALID_SHARE = 0.1  # tiles of which less has data, at the edge of a flight, are left out
MAX_TILES = 1_000_000  # of the grid; an image with as many is a mosaic of places far apart
TALLEST_M = 1000.0  # above all buildings there are: labels are read that far around an image, as heights may move them


@dataclass(frozen=True)
class RasterTilesSettings:
    """How an image becomes building tiles.

    Attributes:
        tile_px: Side of a tile.
        gsd_m: Ground sample distance to resample to; None: the image's.
        bands: Bands to read instead of the first ones (see `open_raster`).
        height_column: Column of the labels with metres above ground.
        structure_column: Column that is equal for the parts of one building.
        assume_crs: Coordinate system of labels that state none, or a wrong one.
        layer: Of the labels' file; None: the only one of polygons.
        blocks: How the ground is split.
        displacement: How the labels are moved before they are drawn.
    """

    tile_px: int = 512
    gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    height_column: str | None = None
    structure_column: str | None = None
    assume_crs: str | None = None
    layer: str | None = None
    blocks: BlockSettings = field(default_factory=BlockSettings)
    displacement: Displacement = field(default_factory=Displacement)

    def __post_init__(self) -> None:
        if self.tile_px < 32:
            raise ValueError(f'tile_px = {self.tile_px}: expected at least 32 pixels, such as 512')


@dataclass(frozen=True)
class RasterTile(WrittenTile):
    """A tile of an image.

    Attributes:
        valid_px: Its pixels with data.
        ignored: Instances that belong to another part.
    """

    valid_px: int
    ignored: tuple[int, ...] = ()

    def ignoring(self, buildings: Set[int]) -> 'RasterTile':
        """The tile in which these buildings belong to another part: `iscrowd` is set."""
        hidden = [annotation['instance'] for annotation in self.annotations if annotation['building'] in buildings]
        annotations = [
            annotation | {'iscrowd': 1} if annotation['instance'] in hidden else annotation
            for annotation in self.annotations
        ]
        return replace(self, annotations=annotations, ignored=tuple(hidden))


def convert_raster(
    image_path: str | Path,
    labels_path: str | Path,
    out_dir: str | Path,
    settings: RasterTilesSettings,
    *,
    overwrite: bool = False,
    image_license: str | None = None,
    label_license: str | None = None,
    track: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]] = iter,
) -> RasterTilesReport:
    """Write the building tiles of an image.

    Args:
        image_path: Any image that GDAL reads, with a coordinate system.
        labels_path: Any vector file that GDAL reads; reprojected to the image's coordinate system.
        out_dir: Folder to write; appears complete or not at all.
        settings: How to convert.
        overwrite: Replace a set that `out_dir` holds, and forget an interrupted run with other settings.
        image_license: Licence of the image, and whom to name; see `Origin`.
        label_license: Likewise of the labels.
        track: Wraps the sequence of tiles, to show progress.

    Returns:
        What was read, written and left out.

    Raises:
        FileNotFoundError: The image or the labels are missing.
        FileExistsError: `out_dir` is in use.
        ValueError: The image or labels are unfit, do not overlap, or cannot be split.
    """
    image_path, labels_path, out_dir = Path(image_path), Path(labels_path), Path(out_dir)
    check_folder(out_dir, SET_ENTRIES, (image_path, labels_path), overwrite)
    with open_raster(image_path, bands=settings.bands, gsd_m=settings.gsd_m) as raster:
        clean, labels = _read_labels(raster, labels_path, settings)
        parameters = _parameters(raster, (image_path, labels_path), clean, settings)
        with working_folder(out_dir, _made_with(parameters, image_path, labels_path), overwrite) as tiles:
            report = RasterTilesReport(gsd_m=raster.gsd_m(), buildings=len(labels), notes=raster.notes)
            records = _write_tiles(raster, LabelIndex(labels), image_path.stem, settings.tile_px, tiles, track)
            shutil.rmtree(tiles / 'set', ignore_errors=True)
            _write_set(tiles, tiles / 'set', records, (clean, labels), parameters, settings, report)
            origins = Origin('image', str(image_path), image_license), Origin('labels', str(labels_path), label_license)
            write_license_note(tiles / 'set' / LICENSE_NOTE, origins)
            take_place(tiles / 'set', out_dir)
    return report


def _made_with(parameters: dict[str, Any], *sources: Path) -> dict[str, Any]:
    """What tiles depend on: not on how they are split."""
    settings = {key: value for key, value in parameters['settings'].items() if key != 'blocks'}
    files = [[path.stat().st_size, path.stat().st_mtime_ns] for path in sources]
    return parameters | {'settings': settings, 'files': files}


def _write_set(
    tiles: Path,
    out: Path,
    records: dict[str, dict[str, Any]],
    labels: tuple[geopandas.GeoDataFrame, geopandas.GeoDataFrame],
    parameters: dict[str, Any],
    settings: RasterTilesSettings,
    report: RasterTilesReport,
) -> None:
    """Split the tiles and write what a set consists of."""
    report.bad = {name: record['error'] for name, record in records.items() if 'error' in record}
    kept = [RasterTile(**record) for record in records.values() if 'image' in record]
    report.found, report.empty = len(records), len(records) - len(kept) - len(report.bad)
    if not kept:
        raise ValueError(f'no tile of {parameters["image"]} has data; unreadable: {report.bad or "none"}')
    tile_m = settings.tile_px * report.gsd_m
    split = split_grid(
        np.array([tile.image['cell'] for tile in kept]),
        [{a['building']: a['area'] for a in tile.annotations} for tile in kept],
        tile_m,
        settings.blocks,
    )
    report.block_m = split.block_tiles * tile_m
    kept = [tile.ignoring(buildings) for tile, buildings in zip(kept, split.ignored, strict=True)]
    for part in (*PARTS, 'dropped'):
        own = [tile for tile, its in zip(kept, split.parts, strict=True) if its == part]
        report.count(part, own)
        if not own or part == 'dropped':
            continue
        make_folders(out / part)
        for tile in own:
            copy_tile(tiles, out / part, tile.name, tile.ignored)
        info = {'description': 'Buildings in tiles of one image', 'parameters': parameters}
        (out / part / 'instances.json').write_text(json.dumps(coco_file(own, info)))
    (out / 'labels').mkdir()
    clean, drawn = labels
    write_polygons(clean, out / 'labels' / 'clean.gpkg')
    if drawn is not clean:
        write_polygons(drawn, out / 'labels' / 'displaced.gpkg')
    shown = [
        (tile.name, part if part in PARTS else 'left out', tile.image['transform'])
        for tile, part in zip(kept, split.parts.tolist(), strict=True)
    ]
    write_contact_sheet(out, shown, settings.tile_px, clean, drawn)
    (out / 'parameters.json').write_text(json.dumps(parameters | {'result': asdict(report)}, indent=1))


def _read_labels(
    raster: Raster, path: Path, settings: RasterTilesSettings
) -> tuple[geopandas.GeoDataFrame, geopandas.GeoDataFrame]:
    """The labels that lie on the image before or after they are moved, as they were and as they are then."""
    displacement = settings.displacement
    reach_m = np.abs(displacement.offsets_m(np.array([0.0, TALLEST_M]))).max()
    corners = np.array(raster.bounds).reshape(2, 2)
    west, south, east, north = (
        corners + np.array([[-1], [1]]) * reach_m / meters_per_unit(raster.crs, corners)
    ).ravel()
    clean = read_buildings(
        path,
        settings.height_column,
        settings.structure_column,
        raster.crs,
        (west, south, east, north),
        assume_crs=settings.assume_crs,
        layer=settings.layer,
    )
    labels = clean if displacement.is_none else displace(clean, displacement)
    image = shapely.box(*raster.bounds)
    on_image = (clean.intersects(image) | labels.intersects(image)).to_numpy()
    if not on_image.any():
        raise ValueError(
            f'no building of {path} lies on the image, whose bounds are {tuple(round(x, 6) for x in raster.bounds)} in '
            f'{raster.crs}; check the coordinate systems of both (--assume-crs sets that of the labels)'
        )
    clean, labels = (frame[on_image].reset_index(drop=True) for frame in (clean, labels))
    return clean, clean if displacement.is_none else labels


def _parameters(
    raster: Raster, sources: tuple[Path, Path], clean: geopandas.GeoDataFrame, settings: RasterTilesSettings
) -> dict[str, Any]:
    return {
        'skyline': skyline_version(),
        'image': str(sources[0]),
        'labels': str(sources[1]),
        'settings': asdict(settings),
        'size_px': list(raster.size_px),
        'crs': raster.crs,
        'transform': list(raster.transform[:6]),
        'gsd_m': raster.gsd_m(),
        'unknown_heights': int(clean['height_m'].isna().sum()),
        'displacement_of_unknown_heights': 'shift_m alone',
        'pixels_without_data': {'masks': IGNORED_GRAY, 'instances': 0, 'heights': 0.0},
    }


def _write_tiles(
    raster: Raster, index: LabelIndex, stem: str, tile_px: int, staging: Path, track: Callable[[Sequence[Any]], Any]
) -> dict[str, dict[str, Any]]:
    """Write all tiles, those of an interrupted run excepted; what was found out about each, by name."""
    columns, rows = (-(-side // tile_px) for side in raster.size_px)
    if columns * rows > MAX_TILES:
        width, height = raster.size_px
        raise ValueError(
            f'{stem} has {width} x {height} pixels from {raster.bounds[:2]} to {raster.bounds[2:]} in {raster.crs}: '
            f'{columns * rows} tiles, more than {MAX_TILES}; of a mosaic of places far apart prepare each by itself '
            '(gdal_translate -projwin ...), or use larger tiles'
        )
    make_folders(staging, 'records')
    records = {}
    for column, row in track([(column, row) for row in range(rows) for column in range(columns)]):
        name = f'{stem.replace(" ", "_")}_{row:04d}_{column:04d}'
        done = staging / 'records' / f'{name}.json'
        if not done.exists():
            record = _write_tile(raster, index, (column, row), tile_px, staging, name)
            with replacing(done) as temporary:
                temporary.write_text(json.dumps(record))
        records[name] = json.loads(done.read_text())
    return records


def _write_tile(
    raster: Raster, index: LabelIndex, cell: tuple[int, int], tile_px: int, staging: Path, name: str
) -> dict[str, Any]:
    left, top = cell[0] * tile_px, cell[1] * tile_px
    try:
        rgb, valid = raster.read(left, top, tile_px, tile_px)
    except UnreadableWindowError as error:
        return {'error': str(error)}
    if valid.mean() < MIN_VALID_SHARE:
        return {}
    transform = raster.window_transform(left, top)
    labels, annotations = index.label_tile(transform, valid)
    image = write_image(staging / 'images', name, rgb)
    labels.write(staging, name)
    image |= {'gsd_m': raster.gsd_m(left + tile_px / 2, top + tile_px / 2), 'cell': cell}
    image |= {'transform': list(transform[:6])}
    return {'image': image, 'annotations': annotations, 'valid_px': int(valid.sum())}
