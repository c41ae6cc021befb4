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
from projects.reporting.notices import only_warnings
from projects.reporting.progress import track
from projects.storage.folders import replacing_folder

from ..height_classes import HeightClasses
from ..mask_codes import BUILDING_GRAY, IGNORED_GRAY
from ..misalignment.alignment.align import MIN_BUILDINGS, align
from ..misalignment.alignment.aligned_labels import NO_EVIDENCE, aligned_labels
from ..misalignment.alignment.check import INVENTED_CRS
from ..misalignment.alignment.settings import AlignmentSettings

STATED, ALIGNED, TOLD, ROOFS = 'stated', 'aligned', 'told', 'roofs'
MASKS = {
    STATED: 'source/masks',
    ALIGNED: 'source/masks_aligned',
    TOLD: 'source/masks_told',
    ROOFS: 'source/roof_masks',
}
"""Folder of the masks of each kind of labels, below that of the set."""


def write_source_masks(data_root: Path, labels: str, read_city: Callable[[], City]) -> None:
    """Write the masks of other labels of a rendered source, unless they are there.

    `ROOFS` are the pixels where a roof is seen: labels without any fault. `ALIGNED` are the stated footprints, as
    `tools/align_labels.py` lays them on each tile's image, of which it is told nothing, neither angle nor heights; for
    `TOLD` it knows both, as from an image's metadata and a column of the labels. Labels of which it says that there is
    no evidence are ignored, where they were stated, where they were laid, and between. A tile with fewer than
    `MIN_BUILDINGS` keeps its labels where they are.

    Args:
        data_root: Set that `preparation.scenes.tiles.write_scenes` wrote.
        labels: `ALIGNED`, `TOLD` or `ROOFS`.
        read_city: Gives what the set was rendered of; roofs are known without.

    Raises:
        ValueError: The source's stated labels are no footprints.
    """
    folder = data_root / MASKS[labels]
    if folder.is_dir():
        return
    images = json.loads((data_root / 'source' / 'instances.json').read_text())['images']
    is_aligned = labels in (ALIGNED, TOLD)
    if is_aligned and (others := {image['label'] for image in images} - {'footprint'}):
        raise ValueError(f'labels of the source are {sorted(others)}: only footprints can be aligned')
    kept = 0
    city = read_city() if is_aligned else None
    with replacing_folder(folder) as unfinished:
        for image in track(images, f'Labels: {labels}'):
            name = f'{Path(image["file_name"]).stem}.png'
            if city is None:
                with Image.open(data_root / 'source' / 'surfaces' / name) as surfaces:
                    mask = np.where(np.asarray(surfaces) & ROOF, np.uint8(BUILDING_GRAY), np.uint8(0))
            else:
                file = data_root / 'source' / 'images' / image['file_name']
                with only_warnings():
                    mask, is_moved = _aligned(file, image, city, labels == TOLD)
                kept += not is_moved
            Image.fromarray(mask).save(unfinished / name)
    if kept:
        print_log(f'{folder}: {kept} of {len(images)} tiles keep their labels: too few buildings', logger='current')


def _aligned(file: Path, image: dict[str, Any], city: City, is_told: bool) -> tuple[np.ndarray, bool]:
    """(H, W) uint8 mask of a tile's aligned labels; and whether there were enough of them."""
    (west, north), gsd_m = image['west_north_m'], image['gsd_m']
    size_px = image['width'], image['height']
    tile = shapely.box(west, north - size_px[1] * gsd_m, west + size_px[0] * gsd_m, north)
    displacement_m = np.array(image['label_displacement_m'])
    near = city.index.query(translate(np.array([tile]), -displacement_m[None])[0], predicate='intersects')
    labels = translate(city.buildings.polygons[near], np.broadcast_to(displacement_m, (len(near), 2)))
    transform, crs = (gsd_m, 0.0, west, 0.0, -gsd_m, north), city.buildings.crs or INVENTED_CRS
    unsure = labels[:0]
    enough = len(labels) >= MIN_BUILDINGS
    if enough:
        known, columns = {}, {}
        if is_told:
            known = {'height_column': 'height_m'} | {name: image[name] for name in ('off_nadir_deg', 'azimuth_deg')}
            columns = {'height_m': city.drawn_heights_m[near]}
        with TemporaryDirectory() as name, Image.open(file) as pixels:
            folder = Path(name)
            write_geotiff(folder / 'image.tif', np.asarray(pixels), transform, crs)
            write_polygons(geopandas.GeoDataFrame(columns, geometry=labels, crs=crs), folder / 'labels.gpkg')
            settings = AlignmentSettings(folder / 'image.tif', folder / 'labels.gpkg', **known)
            roofs, _ = aligned_labels(align(settings, folder / 'aligned.gpkg'), HeightClasses())
        stated, placed = labels[roofs['label'].to_numpy() - 1], roofs.geometry.to_numpy()
        is_unsure = (roofs['status'] == NO_EVIDENCE).to_numpy()
        unsure = shapely.convex_hull(shapely.union(stated, placed)[is_unsure])
        labels = placed[~is_unsure]
    shapes = np.concatenate([unsure, labels])  # what is sure lies over what is not
    grays = np.repeat(np.array([IGNORED_GRAY, BUILDING_GRAY], np.uint8), [len(unsure), len(labels)])
    return rasterize(shapes, grays, size_px, transform, np.uint8), enough
