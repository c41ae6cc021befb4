"""One map tile -> its RGB pixels, and one COCO annotation for each building in it.

Pixel coordinates start at the tile's north-west corner, so that pixel (0, 0) covers [0, 1] x [0, 1], as in pycocotools.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from pycocotools import mask as mask_api

from projects.geodata.polygonal import polygonal
from projects.storage.image_errors import PILLOW_ERRORS

from .tile_set import CATEGORY_ID, TileLabels
from .web_mercator import Tile

FILL_RGB = (0, 0, 0)
OPAQUE_ALPHA = 128  # of 255: a pixel that is at least half opaque counts as visible
EIGHT_BIT_MODES = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'YCbCr')


class UnreadableTileError(ValueError):
    """A tile image that cannot be used; the message says why."""


def read_tile(path: Path) -> tuple[Image.Image, np.ndarray]:
    """Read a tile image of any 8-bit colour mode.

    Args:
        path: An image that Pillow reads.

    Returns:
        The RGB image, with `FILL_RGB` behind transparent pixels; and which pixels are visible, boolean (H, W).

    Raises:
        UnreadableTileError: The file is no image, is truncated, is not square or has more than 8 bits per band.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except PILLOW_ERRORS as error:
        raise UnreadableTileError(str(error).replace(str(path), path.name)) from error
    if image.width != image.height:
        raise UnreadableTileError(f'{image.width}x{image.height} pixels; a tile is square')
    if image.mode not in EIGHT_BIT_MODES:
        raise UnreadableTileError(f'pixel format {image.mode}; expected 8 bits per band')
    rgba = image.convert('RGBA')
    visible = np.asarray(rgba.getchannel('A')) >= OPAQUE_ALPHA
    backdrop = Image.new('RGBA', image.size, (*FILL_RGB, 255))
    return Image.alpha_composite(backdrop, rgba).convert('RGB'), visible


def annotate_tile(
    tile: Tile,
    polygons: np.ndarray,
    features: np.ndarray,
    visible: np.ndarray,
    *,
    min_area_px: int,
    min_visible_share: float,
    left_out: Counter[str],
) -> list[dict[str, Any]]:
    """Clip buildings to a tile and write them as COCO annotations, without `id` and `image_id`.

    Args:
        tile: The tile.
        polygons: (N,) Valid outlines in grid units that meet the tile.
        features: (N,) Their numbers, kept as `feature`.
        visible: (H, W) Which pixels are not transparent.
        min_area_px: Instances with fewer mask pixels are left out.
        min_visible_share: Instances of which a smaller share is visible get `iscrowd` 1; invisible ones are left out.
        left_out: Counts the instances left out, by reason.

    Returns:
        Annotations whose `area` (pixels) and `bbox` ([left, top, width, height]) are those of the rasterised mask.
    """
    height, width = visible.shape
    west, north, east, south = tile.bounds()
    to_pixels = np.array([width, height]) * 2**tile.zoom
    clipped = shapely.intersection(polygons, shapely.box(west, north, east, south))
    clipped = shapely.transform(clipped, lambda grid: (grid - (west, north)) * to_pixels)
    annotations = []
    for outline, feature in zip(clipped, features, strict=True):
        parts = polygonal(outline)
        if parts.is_empty:  # it only touches the tile
            continue
        segmentation, rle = rasterize(parts, height, width)
        area_px = int(mask_api.area(rle))
        if area_px < min_area_px:
            left_out[f'smaller than {min_area_px} px'] += 1
            continue
        visible_share = visible[mask_api.decode(rle).astype(bool)].mean() if not visible.all() else 1.0
        if visible_share == 0:
            left_out['wholly transparent'] += 1
            continue
        annotations.append(
            {
                'category_id': CATEGORY_ID,
                'segmentation': segmentation,
                'area': area_px,
                'bbox': mask_api.toBbox(rle).tolist(),
                'iscrowd': int(visible_share < min_visible_share),
                'feature': int(feature),
            }
        )
    return annotations


def rasterize(parts: shapely.Geometry, height: int, width: int) -> tuple[Any, dict[str, Any]]:
    """A Polygon or MultiPolygon in pixels as COCO segmentation, and its mask as compressed RLE.

    Args:
        parts: Polygons within the image.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The segmentation for a JSON file: one list [x1, y1, x2, y2, …] for each part, rounded to 0.01 px, or
        compressed RLE if a part has holes; and pycocotools' RLE of the same mask.
    """

    def fill(*rings: shapely.LinearRing) -> dict[str, Any]:
        return mask_api.merge(mask_api.frPyObjects([_flat(ring) for ring in rings], height, width))

    polygons = shapely.get_parts(parts)
    rle = fill(*(polygon.exterior for polygon in polygons))
    if not any(polygon.interiors for polygon in polygons):
        return [_flat(polygon.exterior) for polygon in polygons], rle
    mask = np.zeros((height, width), dtype=np.uint8, order='F')
    for polygon in polygons:
        part = mask_api.decode(fill(polygon.exterior))
        if polygon.interiors:
            part &= 1 - mask_api.decode(fill(*polygon.interiors))
        mask |= part
    rle = mask_api.encode(mask)
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}, rle


def paint_labels(annotations: list[dict[str, Any]], visible: np.ndarray) -> TileLabels:
    """The labels of a tile pixel by pixel, of unknown heights.

    Instances are numbered as the annotations, from 1; where they overlap the later one has the pixel. Those with
    `iscrowd` and the transparent pixels are ignored.

    Args:
        annotations: Of `annotate_tile`.
        visible: (H, W) Which pixels are not transparent.
    """
    instances, hidden = np.zeros(visible.shape, np.uint16), ~visible
    for number, annotation in enumerate(annotations, 1):
        mask = _mask(annotation, visible.shape)
        hidden = hidden | mask if annotation['iscrowd'] else hidden
        instances[mask] = 0 if annotation['iscrowd'] else number
    instances[~visible] = 0
    buildings = [
        {'instance': number, 'height_m': None, 'area_px': annotation['area'], 'building': annotation['feature']}
        for number, annotation in enumerate(annotations, 1)
        if not annotation['iscrowd']
    ]
    heights_m = np.where(instances > 0, np.float32(np.nan), np.float32(0))
    return TileLabels(instances, heights_m, buildings, hidden)


def building_share(annotations: list[dict[str, Any]], visible: np.ndarray) -> float:
    """Share of the visible pixels (H, W) of a tile that its annotations cover together."""
    covered = np.zeros(visible.shape, bool)
    for annotation in annotations:
        covered |= _mask(annotation, visible.shape)
    return float(covered[visible].mean())


def _mask(annotation: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    segmentation = annotation['segmentation']
    if isinstance(segmentation, list):
        segmentation = mask_api.merge(mask_api.frPyObjects(segmentation, *shape))
    return mask_api.decode(segmentation).astype(bool)


def _flat(ring: shapely.LinearRing) -> list[float]:
    return shapely.get_coordinates(ring)[:-1].round(2).ravel().tolist()
