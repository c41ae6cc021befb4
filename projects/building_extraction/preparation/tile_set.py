"""The writer of tile sets, whatever their source: pictures and labels of tiles, what the tiles of a part share, COCO.

A part is a folder of `LAYERS`, one file for each tile in each, and `instances.json`.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api
from scipy import ndimage

from projects.storage.atomic_files import write_file

from ..mask_codes import BUILDING_GRAY, IGNORED_GRAY

LAYERS = {'images': '.png', 'masks': '.png', 'instances': '.png', 'heights': '.tif', 'buildings': '.json'}
CATEGORY_ID = 1
LICENSE_NOTE = 'LICENSE.md'


@dataclass(frozen=True)
class WrittenTile:
    """What the files of a whole part need of a tile.

    Attributes:
        image: Its COCO image entry, without id.
        annotations: Its COCO annotations, without ids.
    """

    image: dict[str, Any]
    annotations: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return Path(self.image['file_name']).stem


@dataclass(frozen=True)
class TileLabels:
    """Labels of one tile, pixel by pixel.

    Attributes:
        instances: (H, W) uint16, numbers from 1, 0 without building.
        heights_m: (H, W) float32, 0 off buildings, NaN where unknown.
        buildings: One entry per instance: `instance`, `height_m` (None is unknown), and what its source knows.
        ignored: (H, W) Pixels that are neither building nor background; None: there are none.
    """

    instances: np.ndarray
    heights_m: np.ndarray
    buildings: list[dict[str, Any]]
    ignored: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8, 255 building, 127 ignored, else 0."""
        mask = np.where(self.instances > 0, np.uint8(BUILDING_GRAY), np.uint8(0))
        if self.ignored is not None:
            mask[self.ignored & (self.instances == 0)] = IGNORED_GRAY
        return mask

    def write(self, part: Path, name: str) -> None:
        """Write all layers but the image; the folders must exist."""
        path = {layer: part / layer / f'{name}{suffix}' for layer, suffix in LAYERS.items()}
        Image.fromarray(self.mask).save(path['masks'])
        Image.fromarray(self.instances).save(path['instances'])
        Image.fromarray(self.heights_m).save(path['heights'], compression='tiff_adobe_deflate')
        path['buildings'].write_text(json.dumps(self.buildings, indent=1))

    @classmethod
    def read(cls, part: Path, name: str) -> 'TileLabels':
        """What `write` has written."""
        mask, instances, heights_m = (
            np.asarray(Image.open(part / layer / f'{name}{LAYERS[layer]}'))
            for layer in ('masks', 'instances', 'heights')
        )
        return cls(
            instances, heights_m, json.loads((part / 'buildings' / f'{name}.json').read_text()), mask == IGNORED_GRAY
        )

    def without(self, numbers: Collection[int]) -> 'TileLabels':
        """These labels with some instances as pixels to ignore."""
        hidden = np.isin(self.instances, list(numbers))
        return replace(
            self,
            instances=np.where(hidden, 0, self.instances).astype(self.instances.dtype),
            heights_m=np.where(hidden, np.float32(0), self.heights_m),
            buildings=[row for row in self.buildings if row['instance'] not in numbers],
            ignored=hidden if self.ignored is None else hidden | self.ignored,
        )


def make_folders(part: Path, *more: str) -> None:
    """Make the folders of a part, beside its layers those of others."""
    for name in (*LAYERS, *more):
        (part / name).mkdir(parents=True, exist_ok=True)


def write_image(
    folder: Path, name: str, rgb: np.ndarray, transform: Sequence[float] | None = None, crs: str | None = None
) -> dict[str, Any]:
    """Write the picture of a tile: PNG, or GeoTIFF if it is to say where it lies.

    Args:
        folder: Where to write.
        name: Of the tile.
        rgb: (H, W, 3) uint8.
        transform: From (column, row) to the coordinates of `crs`.
        crs: Coordinate system; None: PNG.

    Returns:
        What its COCO entry begins with.
    """
    height, width = rgb.shape[:2]
    if crs is None:
        file_name = f'{name}.png'
        Image.fromarray(rgb).save(folder / file_name, compress_level=1)  # pictures hardly become smaller by more
    else:
        from projects.geodata.raster_writing import write_geotiff

        file_name = f'{name}.tif'
        write_geotiff(folder / file_name, rgb, transform, crs)
    return {'file_name': file_name, 'width': width, 'height': height}


def copy_tile(tiles: Path, part: Path, name: str, ignored: Collection[int] = ()) -> None:
    """Give a part the files of a tile, which stay where they are.

    Args:
        tiles: Where the layers of all tiles are.
        part: A folder with the layers of a part, on the same disk.
        name: Of the tile.
        ignored: Instances that become pixels to ignore.
    """
    for layer, suffix in LAYERS.items():
        if layer == 'images' or not ignored:
            path, other = (place / layer / f'{name}{suffix}' for place in (tiles, part))
            try:
                other.hardlink_to(path)
            except OSError:  # of a disk that knows no second names
                shutil.copyfile(path, other)
    if ignored:
        TileLabels.read(tiles, name).without(ignored).write(part, name)


def instance_masks(instances: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """The instances of a map, by number, with what COCO says of each: `segmentation` as run lengths, `area`, `bbox`.

    Args:
        instances: (H, W) Numbers from 1; 0 is none.
    """
    by_column = np.asfortranarray(instances)
    for number, box in boxes(instances).items():
        left, top, right, bottom = box
        encoded = mask_api.encode((by_column == number).view(np.uint8))
        yield (
            number,
            {
                'category_id': CATEGORY_ID,
                'segmentation': {'size': encoded['size'], 'counts': encoded['counts'].decode('ascii')},
                'area': int(mask_api.area(encoded)),
                'bbox': [left, top, right - left, bottom - top],
            },
        )


def boxes(instances: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, right and bottom in pixels of each number that occurs in a map (H, W); 0 is none."""
    return {
        number: (place[1].start, place[0].start, place[1].stop, place[0].stop)
        for number, place in enumerate(ndimage.find_objects(instances), 1)
        if place is not None
    }


def coco_file(
    tiles: Iterable[WrittenTile], info: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The COCO instance file of some tiles.

    Args:
        tiles: In the order of the file.
        info: What the set was made with.
        after: The file of another part; ids go on from its last ones. None: they begin with 1.
    """
    first_image, first = (len(after[key]) + 1 if after else 1 for key in ('images', 'annotations'))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, tile in enumerate(tiles, first_image):
        images.append({'id': image_id} | tile.image)
        for annotation in tile.annotations:
            annotations.append({'id': first + len(annotations), 'image_id': image_id} | annotation)
    categories = [{'id': CATEGORY_ID, 'name': 'building'}]
    about = {} if info is None else {'info': info}
    return about | {'images': images, 'annotations': annotations, 'categories': categories}


@dataclass(frozen=True)
class Origin:
    """Where a part of a set comes from.

    Attributes:
        part: `images`, `labels`, or what else a set is made of.
        source: Of the part: a file, a folder, or what made it.
        license: Licence and whom to name, as the owner states it; None or empty: not stated.

    Example:
        >>> str(Origin('labels', 'outlines.gpkg'))
        '- **labels**: outlines.gpkg. Licence: not stated; ask the owner of outlines.gpkg'
    """

    part: str
    source: str
    license: str | None = None

    def __str__(self) -> str:
        license = ' '.join((self.license or '').split()) or f'not stated; ask the owner of {self.source}'
        return f'- **{self.part}**: {self.source}. Licence: {license}'


def write_license_note(path: Path, origins: Iterable[Origin]) -> None:
    """Write the note that stands beside a set: where its parts come from, and under which licence."""
    write_file(path, '\n'.join(['# Where this data comes from', '', *map(str, origins), '']))


def skyline_version() -> str:
    """The version that writes a set."""
    try:
        return metadata.version('skyline')
    except metadata.PackageNotFoundError:
        return 'not installed'
