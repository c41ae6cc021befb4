"""Building labels from files and polygons: class masks, and in evaluation the buildings with their heights.

Evaluation samples carry two arrays in their metainfo, so that they stay on the processor and are not collated:

- `building_ids`: (H, W) int32 at the size of the image file, 0 where there is no building
- `building_heights_m`: (largest id + 1,) float32, indexed by id; NaN where unknown, and at 0
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image
from pycocotools import mask as mask_api

from projects.pixels.decoding import UnreadableImageError
from projects.storage.image_errors import PILLOW_ERRORS
from projects.training.datasets import LoadImage
from projects.training.label_survey import IGNORED
from projects.training.segmentation_datasets import LoadSegmentation

from ..mask_codes import BUILDING
from .mask_values import MaskValues


def known_heights_m(heights_m: Iterable[float | None]) -> np.ndarray:
    """Heights of which absent, infinite, zero and negative ones are unknown.

    Note:
        No building is 0 m high: sets write it where they know nothing, as 7.2 % of DFC2023's footprints have it
        (github.com/ahmad-naghavi-ozu/DFC2023-annotation-issue) and BONAI's heights are unreliable
        (github.com/opendatalab/MLS-BRN, issue 20).

    Args:
        heights_m: Metres above ground; None or NaN where unknown.

    Returns:
        (N,) float32, NaN where unknown.

    Raises:
        TypeError: A height is neither a number nor None.
    """
    values = [math.nan if height is None else height for height in heights_m]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f'height {value!r} is neither a number of metres nor null')
    heights = np.array(values, np.float32)
    heights[~(np.isfinite(heights) & (heights > 0))] = np.nan
    return heights


@TRANSFORMS.register_module()
class LoadAerialImage(LoadImage):
    """`LoadImage` that reads TIFF by pillow: OpenCV prints five warnings for each GeoTIFF.

    Raises:
        UnreadableImageError: As `LoadImage` does.
    """

    def transform(self, results: dict) -> dict:
        self.imdecode_backend = 'pillow' if results['img_path'].lower().endswith(('.tif', '.tiff')) else 'cv2'
        try:
            return super().transform(results)
        except (SyntaxError, ValueError) as error:  # of pillow
            raise UnreadableImageError(f'{results["img_path"]}: {error}') from error


@TRANSFORMS.register_module()
class LoadBuildingMask(LoadSegmentation):
    """Reads the masks of a `BuildingMaskDataset`: grey or coloured, of values that its config states.

    Raises:
        UnreadableImageError: As `LoadSegmentation` does, and for coloured masks where grey values are stated.
    """

    @staticmethod
    def _read(path: str, shape: tuple[int, int], lookup: MaskValues) -> np.ndarray:  # type: ignore[override]
        labels = lookup.read(path)
        if labels.shape != shape:
            raise UnreadableImageError(f'{path}: a mask must have the size of its image, {shape}; got {labels.shape}')
        return labels


@TRANSFORMS.register_module()
class LoadBuildings(BaseTransform):
    """Reads the buildings of a tile from `instances/TILE.png` and `buildings/TILE.json`, for evaluation.

    A sample without `instances_path` stays as it is. In a sample marked `unreadable`, which stands in for a bad one,
    bad files make all pixels ignored. Stands behind `LoadBuildingMask`.

    Raises:
        UnreadableImageError: A file is absent or broken, the instance map does not have the image's size, or holds
            numbers that the table lacks; names the file and what is wrong.
    """

    def transform(self, results: dict) -> dict:
        if 'instances_path' not in results:
            return results
        shape = results['ori_shape'][:2]
        try:
            ids = _read_ids(results['instances_path'], shape)
            heights_m = _read_heights_m(results['buildings_path'], ids)
        except UnreadableImageError:
            if not results.get('unreadable', False):
                raise
            ids, heights_m = np.zeros(shape, np.int32), np.full(1, np.nan, np.float32)
            results['gt_seg_map'][:] = IGNORED
        return results | {'building_ids': ids, 'building_heights_m': heights_m}


def _read_ids(path: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            ids = np.asarray(image)
    except PILLOW_ERRORS as error:
        raise UnreadableImageError(f'{path}: {error}') from error
    if ids.dtype.kind not in 'ui' or ids.shape != shape:
        raise UnreadableImageError(
            f'{path}: an instance map must hold one integer per pixel of its image of {shape}; this one is '
            f'{ids.dtype} of {ids.shape}'
        )
    return ids.astype(np.int32)


def _read_heights_m(path: str, ids: np.ndarray) -> np.ndarray:
    """Heights by id, of a list of objects with `instance` and `height_m`."""
    try:
        with open(path, 'rb') as file:  # noqa: PTH123 (a path as text, once per image)
            table = json.load(file)
        numbers = np.array([row['instance'] for row in table], int)
        values = known_heights_m(row['height_m'] for row in table)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UnreadableImageError(
            f'{path}: expected a list of objects with "instance" and "height_m": {type(error).__name__}: {error}'
        ) from error
    unlisted = np.setdiff1d(ids, [0, *numbers])
    if len(unlisted) or (numbers < 1).any() or len(set(numbers.tolist())) < len(numbers):
        raise UnreadableImageError(
            f'{path}: expected one entry for each instance, numbered from 1; the instance map has '
            f'{unlisted[:5].tolist()} besides, the file lists {len(set(numbers.tolist()))} different numbers in '
            f'{len(numbers)} entries, the lowest is {numbers.min(initial=1)}'
        )
    heights_m = np.full(numbers.max(initial=0) + 1, np.nan, np.float32)
    heights_m[numbers] = values
    return heights_m


@TRANSFORMS.register_module()
class DrawBuildingMask(BaseTransform):
    """Draws the polygons of a sample's `buildings` as class mask `gt_seg_map`: 0, 1 for buildings, 255 for ignored.

    Pixels of a building are no ignored ones, whatever else covers them. The pixels are those of pycocotools, so that
    the mask is the union of the instances that Mask R-CNN is trained on.
    """

    def transform(self, results: dict) -> dict:
        labels = np.zeros(results['ori_shape'][:2], np.uint8)
        for ignored, label in ((True, IGNORED), (False, BUILDING)):
            for building in results['buildings']:
                if building['ignored'] == ignored:
                    paint(labels, building['segmentation'], label)
        results['gt_seg_map'] = labels
        results['seg_fields'] = [*results.get('seg_fields', []), 'gt_seg_map']
        return results


@TRANSFORMS.register_module()
class DrawBuildings(BaseTransform):
    """Draws the polygons of a sample's `buildings` as `building_ids` with `building_heights_m`, for evaluation.

    Ids count from 1 in the order of the annotations, ignored ones left out. Where buildings overlap, the later one has
    the pixel; one that is wholly covered keeps its id and no pixel. A sample without `buildings` stays as it is.
    """

    def transform(self, results: dict) -> dict:
        if 'buildings' not in results:
            return results
        buildings = [building for building in results['buildings'] if not building['ignored']]
        ids = np.zeros(results['ori_shape'][:2], np.int32)
        for number, building in enumerate(buildings, start=1):
            paint(ids, building['segmentation'], number)
        results['building_ids'] = ids
        results['building_heights_m'] = np.array(
            [math.nan, *(building['height_m'] for building in buildings)], np.float32
        )
        return results


def paint(canvas: np.ndarray, segmentation: Sequence[Sequence[float]] | dict[str, Any], value: int) -> None:
    """Set the pixels of a COCO segmentation, those that pycocotools gives it.

    Args:
        canvas: (H, W), changed in place.
        segmentation: Polygons [x1, y1, x2, y2, …] in pixels, or run lengths, compressed or not.
        value: What the pixels become.
    """
    height, width = canvas.shape
    if isinstance(segmentation, dict):
        if isinstance(segmentation['counts'], list):
            segmentation = mask_api.frPyObjects(segmentation, height, width)
        canvas[mask_api.decode(segmentation).astype(bool)] = value
        return
    for ring in segmentation:  # in a window of its own: decoding whole images takes a millisecond per megapixel
        points = np.asarray(ring, float).reshape(-1, 2)
        left, top = np.clip(np.floor(points.min(0)).astype(int) - 1, 0, (width, height))
        right, bottom = np.clip(np.ceil(points.max(0)).astype(int) + 2, 0, (width, height))
        if left < right and top < bottom:
            (run_lengths,) = mask_api.frPyObjects([(points - (left, top)).ravel().tolist()], bottom - top, right - left)
            canvas[top:bottom, left:right][mask_api.decode(run_lengths).astype(bool)] = value
