"""Other labels of a rendered source: laid on its buildings by alignment, and the roofs that are really seen."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import shapely
from mmengine.logging import print_log
from PIL import Image

from projects.city_scenes.city import City
from projects.city_scenes.labeled_tile import ROOF
from projects.geodata.polygonal import translate
from projects.geodata.raster_writing import rasterize, write_geotiff
from projects.geodata.vector_files import geopandas, write_polygons
from projects.reporting.progress import track
from projects.storage.folders import replacing_folder

from ..height_classes import HeightClasses
from ..mask_codes import BUILDING_GRAY
from ..misalignment.alignment.align import MIN_BUILDINGS, align
from ..misalignment.alignment.aligned_labels import aligned_labels
from ..misalignment.alignment.check import INVENTED_CRS
from ..misalignment.alignment.settings import AlignmentSettings

STATED, ALIGNED, ROOFS = 'stated', 'aligned', 'roofs'
MASKS = {STATED: 'source/masks', ALIGNED: 'source/aligned_masks', ROOFS: 'source/roof_masks'}
"""Folder of the masks of each kind of labels, below that of the set."""


def write_source_masks(data_root: Path, labels: str, read_city: Callable[[], City]) -> None:
    """Write the masks of other labels of a rendered source, unless they are there.

    `ROOFS` are the pixels where a roof is seen: labels without any fault. `ALIGNED` are the stated footprints, as
    `tools/align_labels.py` lays them on each tile's image, of which it is told nothing, neither angle nor heights. A
    tile with fewer than `MIN_BUILDINGS` keeps its labels where they are.

    Args:
        data_root: Set that `preparation.scenes.tiles.write_scenes` wrote.
        labels: `ALIGNED` or `ROOFS`.
        read_city: Gives what the set was rendered of; roofs are known without.

    Raises:
        ValueError: The source's stated labels are no footprints.
    """
    folder = data_root / MASKS[labels]
    if folder.is_dir():
        return
    images = json.loads((data_root / 'source' / 'instances.json').read_text())['images']
    if labels == ALIGNED and (others := {image['label'] for image in images} - {'footprint'}):
        raise ValueError(f'labels of the source are {sorted(others)}: only footprints can be aligned')
    kept = 0
    city = read_city() if labels == ALIGNED else None
    with replacing_folder(folder) as unfinished:
        for image in track(images, f'Labels: {labels}'):
            name = f'{Path(image["file_name"]).stem}.png'
            if city is None:
                with Image.open(data_root / 'source' / 'surfaces' / name) as surfaces:
                    seen = (np.asarray(surfaces) & ROOF) > 0
            else:
                seen, is_aligned = _aligned(data_root / 'source' / 'images' / image['file_name'], image, city)
                kept += not is_aligned
            Image.fromarray(np.where(seen, np.uint8(BUILDING_GRAY), np.uint8(0))).save(unfinished / name)
    if kept:
        print_log(f'{folder}: {kept} of {len(images)} tiles keep their labels: too few buildings', logger='current')


def _aligned(file: Path, image: dict[str, Any], city: City) -> tuple[np.ndarray, bool]:
    """(H, W) boolean mask of a tile's aligned labels; and whether there were enough of them."""
    (west, north), gsd_m = image['west_north_m'], image['gsd_m']
    size_px = image['width'], image['height']
    tile = shapely.box(west, north - size_px[1] * gsd_m, west + size_px[0] * gsd_m, north)
    displacement_m = np.array(image['label_displacement_m'])
    near = city.index.query(translate(np.array([tile]), -displacement_m[None])[0], predicate='intersects')
    labels = translate(city.buildings.polygons[near], np.broadcast_to(displacement_m, (len(near), 2)))
    transform, crs = (gsd_m, 0.0, west, 0.0, -gsd_m, north), city.buildings.crs or INVENTED_CRS
    enough = len(labels) >= MIN_BUILDINGS
    if enough:
        with TemporaryDirectory() as name, Image.open(file) as pixels:
            folder = Path(name)
            write_geotiff(folder / 'image.tif', np.asarray(pixels), transform, crs)
            write_polygons(geopandas.GeoDataFrame(geometry=labels, crs=crs), folder / 'labels.gpkg')
            found = align(AlignmentSettings(folder / 'image.tif', folder / 'labels.gpkg'), folder / 'aligned.gpkg')
        labels = aligned_labels(found, HeightClasses())[0].geometry.to_numpy()
    return rasterize(labels, np.ones(len(labels), np.uint8), size_px, transform, np.uint8) > 0, enough
