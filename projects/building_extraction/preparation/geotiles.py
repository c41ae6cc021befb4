"""Web-mercator image tiles and building outlines -> a set that detectors and segmentors train on.

What is written: `images/zoom-x-y.png` (RGB) and for each part a COCO file `annotations/train.json` (one category,
`building`, id 1), as detectors of any code read them; for each part a folder `train/` with the layers of every tile set
(`tile_set`: images, which are the same files, masks, instances, unknown heights, buildings, `instances.json`);
`overview.png` and `LICENSE.md`. Beside the COCO fields an image has `tile` ([zoom, x, y]) and `gsd_m`, an annotation
has `feature` (position of its outline in the GeoJSON, from 0), and `info` holds settings and counts.

Decisions:

* The split is by ground: all tiles of one block, of whatever zoom, go to the same side (see `spatial_split`).
* A building that crosses the border between training and validation ground is seen in part by both. Its training
  part stays. Its validation parts get `iscrowd` 1 and are ignored in the mask: scores then neither reward nor punish
  finding them, so that every building that counts in one is one of which training saw no pixel; likewise the test.
  Similar roofs nearby remain: the score speaks for new ground in the same district and flight, not for another town.
* Transparent pixels become black: the usual no-data value of orthophotos, and what tiles without an alpha channel
  show there. (Some tile servers also make dark pixels inside the image transparent; black is what those were.)
* A polygon keeps its outline below transparent pixels, so that such specks leave no holes in a roof; but where less
  than `min_visible_share` of its pixels in the tile can be seen it gets `iscrowd` 1, and where none can it is left
  out. mmdet trains on no `iscrowd` instance, and its default assigners count that area as background.
* Polygons with holes are stored as RLE, since COCO polygons cannot have holes; all others as polygons.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import shapely

from projects.geodata.degrees import SWAPPED
from projects.storage.folders import check_folder, replacing_folder

from .annotated_tiles import AnnotatedTile, split_tiles, write_annotations
from .building_polygons import (
    BuildingPolygons,
    describe_extent,
    read_building_polygons,
)
from .geotiles_report import GeotilesReport
from .set_pictures import OverviewMap
from .tile_instances import (
    UnreadableTileError,
    annotate_tile,
    building_share,
    paint_labels,
    read_tile,
)
from .tile_set import LAYERS, LICENSE_NOTE, Origin, copy_tile, make_folders, write_image, write_license_note
from .web_mercator import Tile, find_tiles, to_grid, to_lon_lat_deg

SET_ENTRIES = {'images', 'annotations', 'overview.png', LICENSE_NOTE, 'train', 'val', 'test'}


@dataclass(frozen=True)
class GeotilesSettings:
    """How tiles become a training set.

    Attributes:
        val_share: Share of the tiles wanted for validation, where no partition is asked for.
        partition: (2, 4): of 4 strips of whole rows or columns the second is the test, the row or column beside it
            validation, all else training. None: there is no test.
        block_zoom: Zoom of the ground blocks that are never split; None: the coarsest zoom among the tiles.
        min_area_px: Instances with fewer mask pixels in their tile (slivers at its border) are left out.
        min_visible_share: Instances of which a smaller share is visible are marked `iscrowd`.
        max_bad_share: A larger share of unreadable tiles is an error.
    """

    val_share: float = 0.2
    partition: tuple[int, int] | None = None
    block_zoom: int | None = None
    min_area_px: int = 16
    min_visible_share: float = 0.5
    max_bad_share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.val_share < 1:
            raise ValueError(f'val_share is {self.val_share}; expected a number between 0 and 1, such as 0.2')
        if self.partition is not None and not 1 <= self.partition[0] <= self.partition[1] != 1:
            raise ValueError(f'partition is {self.partition}; expected which strip of how many, such as 2 of 4')
        if self.min_area_px < 1:
            raise ValueError(f'min_area_px is {self.min_area_px}; expected at least 1')
        for name in ('min_visible_share', 'max_bad_share'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} is {getattr(self, name)}; expected a number from 0 to 1')


def convert_geotiles(
    tiles_dir: str | Path,
    labels_path: str | Path,
    out_dir: str | Path,
    settings: GeotilesSettings,
    *,
    overwrite: bool = False,
    image_license: str | None = None,
    label_license: str | None = None,
    track: Callable[[Sequence[Tile]], Iterable[Tile]] = iter,
) -> GeotilesReport:
    """Write the COCO set of a folder of tiles; the module's docstring says what it holds.

    One image is in memory at a time; the annotations of all are. `out_dir` appears complete or not at all: the set is
    written beside it and renamed.

    Args:
        tiles_dir: Folder with `zoom-x-y.png` or `zoom/x/y.png` (png, jpg, webp, tif).
        labels_path: GeoJSON FeatureCollection of building polygons in longitude and latitude (EPSG:4326).
        out_dir: Folder to write.
        settings: How to convert.
        overwrite: Replace a set that `out_dir` holds already.
        image_license: Licence of the tiles, and whom to name; see `Origin`.
        label_license: Likewise of the labels.
        track: Wraps the sequence of tiles, to show progress.

    Returns:
        What was read, written and left out.

    Raises:
        FileNotFoundError: `tiles_dir` or `labels_path` is missing.
        FileExistsError: `out_dir` is in use.
        ValueError: The tiles or labels are unfit, do not overlap, or cannot be split.
    """
    sources = {'tiles': str(tiles_dir), 'labels': str(labels_path)}
    origins = Origin('images', sources['tiles'], image_license), Origin('labels', sources['labels'], label_license)
    tiles_dir, labels_path, out_dir = (Path(path).resolve() for path in (tiles_dir, labels_path, out_dir))
    check_folder(out_dir, SET_ENTRIES, (tiles_dir, labels_path), overwrite)
    tiles, unnamed = find_tiles(tiles_dir)
    block_zoom = _block_zoom(settings.block_zoom, tiles)
    labels = read_building_polygons(labels_path)
    meeting = _match(list(tiles), labels, tiles_dir, labels_path)
    report = GeotilesReport(
        len(tiles), [str(path.relative_to(tiles_dir)) for path in unnamed], labels.counts, block_zoom
    )
    overview = OverviewMap(tiles)
    with replacing_folder(out_dir) as folder:
        make_folders(folder, 'annotations')
        written: list[AnnotatedTile] = []
        left_out: Counter[str] = Counter()
        for tile in track(list(tiles)):
            name = str(tiles[tile].relative_to(tiles_dir))
            try:
                rgb, visible = read_tile(tiles[tile])
            except UnreadableTileError as error:
                report.bad.append(f'{name}: {error}')
                continue
            if not visible.any():
                report.transparent.append(name)
                continue
            numbers = meeting[tile]
            annotations = annotate_tile(
                tile,
                labels.polygons[numbers],
                labels.features[numbers],
                visible,
                min_area_px=settings.min_area_px,
                min_visible_share=settings.min_visible_share,
                left_out=left_out,
            )
            image = write_image(folder / 'images', '-'.join(map(str, tile)), np.asarray(rgb))
            image |= {'tile': list(tile), 'gsd_m': tile.gsd_m(rgb.width)}
            paint_labels(annotations, visible).write(folder, Path(image['file_name']).stem)
            overview.paste(tile, rgb)
            seen = set(labels.features[numbers].tolist())
            written.append(AnnotatedTile(image, annotations, seen, building_share(annotations, visible)))
        report.left_out = dict(left_out)
        _check_bad_share(report, settings.max_bad_share)
        splits = split_tiles(written, settings.val_share, settings.partition, report)
        _write_parts(folder, splits)
        for zoom in sorted({tile.tile.zoom for tile in written}):
            report.gsd_m[zoom] = float(np.mean([tile.image['gsd_m'] for tile in written if tile.tile.zoom == zoom]))
        write_annotations(folder, splits, sources | asdict(settings), report)
        split_of = {tile.tile: name for name, part in splits.items() for tile in part}
        overview.save(folder / 'overview.png', split_of, labels.polygons)
        write_license_note(folder / LICENSE_NOTE, origins)
    return report


def _block_zoom(asked: int | None, tiles: Iterable[Tile]) -> int:
    coarsest = min(tile.zoom for tile in tiles)
    if asked is not None and not 0 <= asked <= coarsest:
        raise ValueError(f'block_zoom is {asked}; expected 0 to {coarsest}, the coarsest zoom among the tiles')
    return coarsest if asked is None else asked


def _match(tiles: list[Tile], labels: BuildingPolygons, tiles_dir: Path, labels_path: Path) -> dict[Tile, np.ndarray]:
    bounds = np.array([tile.bounds() for tile in tiles])
    tree = shapely.STRtree(labels.polygons)
    tile_numbers, polygon_numbers = tree.query(shapely.box(*bounds.T), predicate='intersects')
    if not len(tile_numbers):
        extent = describe_extent(np.array([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)]))
        raise ValueError(
            f'no polygon meets a tile. {_swapped(labels, bounds)}Tiles in {tiles_dir}: {extent}. '
            f'Polygons in {labels_path}: {labels.extent()}. '
            'Tiles numbered from the south (TMS) must be renumbered: y -> 2**zoom - 1 - y'
        )
    order = np.lexsort((polygon_numbers, tile_numbers))
    starts = np.searchsorted(tile_numbers[order], np.arange(1, len(tiles)))
    return dict(zip(tiles, np.split(polygon_numbers[order], starts), strict=True))


def _swapped(labels: BuildingPolygons, tile_bounds: np.ndarray) -> str:
    """That polygons would meet tiles if latitude and longitude changed places; '' if they would not."""
    degrees = shapely.transform(labels.polygons, to_lon_lat_deg)
    grid = shapely.transform(degrees, lambda points: to_grid(points[:, ::-1]))
    return f'In the labels {SWAPPED}. ' if shapely.intersects(shapely.box(*tile_bounds.T), grid[0]).any() else ''


def _write_parts(folder: Path, splits: dict[str, list[AnnotatedTile]]) -> None:
    """Give each part its tiles, with what it ignores; the layers beside the images go from the folder itself."""
    for name, part in splits.items():
        make_folders(folder / name)
        for tile in part:
            ignored = [number for number, annotation in enumerate(tile.annotations, 1) if annotation['iscrowd']]
            copy_tile(folder, folder / name, tile.name, ignored)
    for layer in LAYERS.keys() - {'images'}:
        shutil.rmtree(folder / layer)


def _check_bad_share(report: GeotilesReport, max_bad_share: float) -> None:
    if len(report.bad) > max_bad_share * report.found:
        raise ValueError(
            f'{len(report.bad)} of {report.found} tiles cannot be read, more than the {max_bad_share:.0%} that '
            f'max_bad_share allows: {"; ".join(report.bad[:5])}'
        )
    if len(report.bad) + len(report.transparent) == report.found:
        raise ValueError(
            f'no tile is left: {len(report.transparent)} are wholly transparent, {len(report.bad)} unreadable'
        )
